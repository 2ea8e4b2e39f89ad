"""Graphs in Python: who depends on whom, and where parameters come from."""

from __future__ import annotations

import asyncio

import pytest

from ripresa import DAG, GraphError, PayloadError, Retry, RunFailed, Terminal, step, task
from ripresa.author.graph.dag import Tasks
from tests.author.graph.graphs import statuses


def validate(order_id, params):
    return {"id": order_id, "params": params}


def charge(validate):
    return validate["id"] * 2


def ship(charge, context):
    return [charge, sorted(context["outputs"]), context["params"]]


async def notify(charge, greeting="hello"):
    return f"{greeting} {charge}"


def order_processing(**options):
    with DAG("order_processing", schedule="@daily", **options) as dag:
        a = task(validate)
        b = task(charge)
        c, d = task(ship), task(notify)
        a >> b >> [c, d]
    return dag


def edges(dag):
    return {name: sorted(one.node for one in node.depends_on) for name, node in dag.graph.by_name.items()}


async def test_parameters_are_bound_by_name(world):
    dag = order_processing()
    app = await world.open(dag)
    run = await app.start(dag, {"order_id": 7})
    assert await run.result("30s") == {
        "ship": [14, ["charge", "validate"], {"order_id": 7}],
        "notify": "hello 14",
    }


async def test_a_param_is_given_where_the_function_asks_for_it(world):
    dag = order_processing()
    app = await world.open(dag)
    run = await app.start(dag, {"order_id": 7, "greeting": "bonjour"})
    assert (await run.result("30s"))["notify"] == "bonjour 14"


async def test_a_run_without_a_param_that_is_needed_does_not_start(world):
    dag = order_processing()
    app = await world.open(dag)
    with pytest.raises(PayloadError, match="order_id is missing"):
        await app.start(dag)


async def test_declared_params_have_defaults(world):
    dag = order_processing(params={"order_id": 3})
    app = await world.open(dag)
    assert (await (await app.start(dag)).result("30s"))["notify"] == "hello 6"


def test_a_parameter_that_nothing_gives_is_told():
    dag = order_processing(params={"region": "eu"})
    with pytest.raises(GraphError, match="its tasks need order_id, and params has none of these"):
        _ = dag.graph


async def test_a_declared_param_may_have_no_default(world):
    dag = order_processing(params={"order_id": ..., "greeting": "hello"})
    assert dag.signature.input_schema()["required"] == ["order_id"]
    app = await world.open(dag)
    with pytest.raises(PayloadError, match="order_id is missing"):
        await app.start(dag)
    assert (await (await app.start(dag, {"order_id": 3})).result("30s"))["notify"] == "hello 6"


def test_arrows_and_lists_on_both_sides():
    with DAG("arrows") as dag:
        a, b, c, d, e, f = (task(nothing, name) for name in "abcdef")
        a >> [b, c] >> d
        [e, f] << d
        e << Tasks([a])
    assert edges(dag) == {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"], "e": ["a", "d"], "f": ["d"]}


def test_lists_can_be_linked_in_a_chain():
    with DAG("chain") as dag:
        a, b, c, d, e = (task(nothing, name) for name in "abcde")
        a >> [b, c] >> Tasks([d, e])
    assert edges(dag) == {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"], "e": ["b", "c"]}


def nothing():
    return None


def test_a_cycle_is_told_when_the_dag_is_first_used():
    with DAG("round") as dag:
        a, b = task(nothing, "a"), task(nothing, "b")
        a >> b >> a
    with pytest.raises(GraphError, match="a cycle: a -> b -> a"):
        _ = dag.graph


def test_two_tasks_of_one_name_are_refused():
    with DAG("twice") as dag:
        task(nothing)
        task(nothing)
    with pytest.raises(GraphError, match="two tasks are called 'nothing'"):
        _ = dag.graph


def test_a_task_outside_of_a_dag_is_refused():
    with pytest.raises(GraphError, match="no DAG is open here"):
        task(nothing)


def test_a_dag_in_use_takes_no_more_tasks():
    dag = order_processing()
    _ = dag.graph
    with pytest.raises(GraphError, match="in use already"):
        dag.task(nothing)


def test_a_task_of_another_dag_is_refused():
    with DAG("one"):
        a = task(nothing)
    with DAG("two"), pytest.raises(ValueError, match="belongs to another DAG, 'two'"):
        task(nothing) >> a


def test_what_is_no_task_is_refused():
    with DAG("one"), pytest.raises(TypeError, match="is not a task"):
        task(nothing) >> nothing


def test_an_unknown_option_is_told_with_the_nearest():
    with DAG("one"), pytest.raises(TypeError, match='did you mean "retry"'):
        task(nothing, retri=Retry())


async def test_dags_are_open_where_they_are_written():
    """A context variable, not a global: two tasks of asyncio write two DAGs at once."""
    found = {}

    async def write(name):
        with DAG(name) as dag:
            for number in range(3):
                await asyncio.sleep(0)
                task(nothing, f"{name}{number}")
        found[name] = list(dag.graph.by_name)

    await asyncio.gather(write("a"), write("b"))
    assert found == {"a": ["a0", "a1", "a2"], "b": ["b0", "b1", "b2"]}


# --- conditions and fan-out -------------------------------------------------------------------


def files(count):
    return [f"f{number}" for number in range(count)]


def resize(item, index, size=1):
    return f"{item}@{index}x{size}"


def collect(resize):
    return ",".join(resize)


async def test_a_task_is_done_for_each_item_of_anothers_output(world):
    with DAG("images") as dag:
        listed = task(files)
        resized = task(resize).map(listed, max_parallel=2)
        resized >> task(collect)
    app = await world.open(dag)
    run = await app.start(dag, {"count": 3, "size": 9})
    assert await run.result("30s") == "f0@0x9,f1@1x9,f2@2x9"
    operations = {event.operation for event in await app.history(run) if event.kind == "step_completed"}
    assert operations == {"files", "collect", "resize[0]", "resize[1]", "resize[2]"}


def double(value):
    return value * 2


async def test_the_item_goes_to_the_parameter_that_is_left(world):
    with DAG("doubles") as dag:
        task(double).map([1, 2, 3])
    app = await world.open(dag)
    assert await (await app.start(dag)).result("30s") == [2, 4, 6]


async def test_the_items_may_be_a_param(world):
    with DAG("doubles") as dag:
        task(double).map("numbers")
    app = await world.open(dag)
    assert await (await app.start(dag, {"numbers": [5]})).result("30s") == [10]
    with pytest.raises(PayloadError, match="numbers is missing"):
        await app.start(dag)


async def test_a_task_runs_if_its_condition_holds(world):
    with DAG("conditions") as dag:
        first = task(double)
        second = task(nothing, "second").when(lambda double, limit: double > limit)
        first >> second
    app = await world.open(dag)
    for limit, expected in ((3, "succeeded"), (30, "skipped")):
        run = await app.start(dag, {"value": 2, "limit": limit})
        await run.result("30s")
        assert (await statuses(app, run))["second"] == expected


def maybe(double=None):
    return double


async def test_the_output_of_a_skipped_task_is_the_default(world):
    with DAG("defaults") as dag:
        task(double).when(lambda wanted: wanted) >> task(maybe, run_if="none_failed")
    app = await world.open(dag)
    assert await (await app.start(dag, {"value": 2, "wanted": False})).result("30s") is None


async def test_the_output_of_a_skipped_task_fails_one_that_cannot_do_without(world):
    with DAG("defaults") as dag:
        task(double).when(lambda wanted: wanted) >> task(needy, run_if="none_failed")
    app = await world.open(dag)
    run = await app.start(dag, {"value": 2, "wanted": False})
    with pytest.raises(RunFailed, match="double was skipped, so it has no output") as failed:
        await run.result("30s")
    assert failed.value.cause.code == "input_missing"


def needy(double):
    return double


# --- options ----------------------------------------------------------------------------------


async def test_a_step_keeps_its_options_and_a_task_may_change_them(world):
    tries = []

    @step(retry=Retry(max_attempts=3, delay="1h"))
    def flaky():
        tries.append(1)
        if len(tries) < 3:
            raise OSError("again")
        return len(tries)

    with DAG("options") as dag:
        task(flaky)
    with DAG("once") as once:
        task(flaky, retry=Retry(max_attempts=1))
    app = await world.open(dag, once)
    assert await (await app.start(dag)).result("30s") == 3
    tries.clear()
    with pytest.raises(RunFailed):
        await (await app.start(once)).result("30s")
    assert len(tries) == 1


async def test_a_task_may_depend_on_the_failure_of_another(world):
    def broken():
        raise Terminal("no")

    with DAG("alarm") as dag:
        a = task(broken, on_error="continue")
        task(nothing, "alarm", depends_on=[(a, "failed")])
        task(nothing, "party").after(a, when="succeeded")
    app = await world.open(dag)
    run = await app.start(dag)
    await run.result("30s")
    assert await statuses(app, run) == {"broken": "failed", "alarm": "succeeded", "party": "skipped"}


async def test_what_a_task_did_is_undone_when_the_run_fails(world):
    undone = []

    def book(seat):
        return f"booked {seat}"

    def unbook(seat, result):
        undone.append((seat, result))

    def broken(book):
        raise Terminal("no")

    with DAG("trip") as dag:
        task(book, compensate=unbook) >> task(broken)
    app = await world.open(dag)
    run = await app.start(dag, {"seat": "12A"})
    with pytest.raises(RunFailed):
        await run.result("30s")
    assert undone == [("12A", "booked 12A")]
    assert (await statuses(app, run))["book"] == "compensated"


def test_the_version_is_that_of_the_tasks_and_their_code():
    assert order_processing().version == order_processing().version
    assert order_processing().version != order_processing(on_failure="abort").version


def test_a_dag_has_a_schedule_for_who_starts_runs():
    assert order_processing().schedule == {"cron": "@daily", "timezone": "UTC"}


async def test_thousands_of_tasks_in_a_chain_run_without_recursion(memory, places):
    with DAG("long") as dag:
        before = None
        for number in range(10_000 if places is None else 2_000):
            one = task(tick, f"t{number}")
            if before is not None:
                before >> one
            before = one
    app = await memory.open(dag)
    assert await (await app.start(dag)).result("60s") == 1


async def tick():
    return 1
