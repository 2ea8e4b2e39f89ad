"""Context-first workflows: steps in order, and what each sees."""

import asyncio
import os
import subprocess
import sys
import threading
from itertools import pairwise

import pytest

from ripresa import (
    App,
    ErrorPolicy,
    NotInWorkflow,
    PartitionKey,
    Retry,
    RetryPolicy,
    RunFailed,
    RunStatus,
    Step,
    StepResult,
    Terminal,
    WaitStep,
    Workflow,
    WorkflowContext,
    child,
    context,
    workflow,
)
from ripresa.contracts.errors import TemplateError
from ripresa.kernel import history as h
from ripresa.testing import run_both_ways


def count(context):
    return {"rows": context.get_param("n", 3)}


async def double(context, config):
    return StepResult.ok(context.get_output("count", "rows") * config["by"], context_updates={"doubled": True})


async def finish(world, *steps, params=None, name="w", **options):
    flow = Workflow(name, steps, **options)
    app = await world.open(flow)
    run = await app.start(flow, params or {}, id="r")
    return app, run, await run.result("30s")


async def failed(world, *steps, params=None, **options):
    flow = Workflow("w", steps, **options)
    app = await world.open(flow)
    run = await app.start(flow, params or {}, id="r")
    with pytest.raises(RunFailed) as caught:
        await run.result("30s")
    return app, run, caught.value


async def test_each_step_sees_what_those_before_it_left(every_world):
    steps = [Step.lambda_("count", count), Step.lambda_("double", double, config={"by": 2})]
    _, run, context = await finish(every_world, *steps, params={"n": 4})
    assert context.outputs == {"count": {"rows": 4}, "double": 8}
    assert context.params == {"n": 4, "doubled": True}
    assert context.run_id == "r"
    assert run.status == RunStatus.SUCCEEDED


async def test_the_context_says_whose_and_which_data_it_is(memory):
    flow = Workflow("w", [Step.lambda_("look", lambda context: context.to_json())])
    app = await memory.open(flow)
    given = WorkflowContext.new(
        {"a": 1}, batch_id="b", trace_id="t", partition={"region": "eu"}, as_of_date="2026-01-31", capture_id="c"
    )
    run = await app.start(flow, given)
    context = await run.result("30s")
    assert context.get_output("look") == {
        "run_id": run.id,
        "workflow_name": "w",
        "params": {"a": 1},
        "outputs": {},
        "batch_id": "b",
        "trace_id": "t",
        "partition": {"region": "eu"},
        "as_of_date": "2026-01-31",
        "capture_id": "c",
    }
    assert context.partition == PartitionKey(region="eu")


async def test_ids_that_were_not_given_are_the_runs_own(memory):
    flow = Workflow("w", [Step.lambda_("count", count)])
    app = await memory.open(flow)
    run = await app.start(flow, {}, id="r", correlation_id="trace-1")
    context = await run.result("30s")
    assert (context.batch_id, context.trace_id) == ("r", "trace-1")


async def test_a_def_runs_in_a_thread_and_an_async_def_in_the_loop(memory):
    seen = {}

    def plain(_):
        seen["plain"] = threading.current_thread() is threading.main_thread()

    async def awaited(_):
        await asyncio.sleep(0)
        seen["awaited"] = threading.current_thread() is threading.main_thread()

    class Called:
        async def __call__(self, _):
            seen["called"] = threading.current_thread() is threading.main_thread()

    await finish(memory, Step.lambda_("a", plain), Step.lambda_("b", awaited), Step.lambda_("c", Called()))
    assert seen == {"plain": False, "awaited": True, "called": True}


async def test_a_step_knows_its_attempt_and_key(memory):
    keys = []

    def flaky(_):
        keys.append(context().idempotency_key)
        assert context().attempt == 3, "not yet"

    await finish(memory, Step.lambda_("a", flaky, on_error=ErrorPolicy.RETRY))
    assert len(keys) == 3
    assert len(set(keys)) == 1


async def test_a_condition_and_the_list_of_a_map_are_tried_again_too(memory):
    asked = []

    def flaky(value):
        def look(_):
            asked.append(value)
            assert len(asked) in (2, 4), "not yet"
            return value

        return look

    _, _, final = await finish(
        memory,
        Step.choice("route", flaky(True), then_step="each", on_error=ErrorPolicy.RETRY),
        Step.map("each", flaky([1, 2]), lambda seen: seen.item, on_error=ErrorPolicy.RETRY),
    )
    assert asked == [True, True, [1, 2], [1, 2]]
    assert final.get_output("each") == [1, 2]


async def test_steps_are_recorded_and_not_done_again_after_a_crash(every_world):
    def effect(context):
        every_world.did("effect")
        return 1

    there = asyncio.Event()

    async def hang(context):
        if not there.is_set():
            there.set()
            await asyncio.Event().wait()
        return context.get_output("effect")

    flow = Workflow("w", [Step.lambda_("effect", effect), Step.lambda_("hang", hang)])
    app = await every_world.open(flow)
    run = await app.start(flow, {}, id="r")
    await there.wait()
    app = await every_world.crash(app)
    context = await (await app.get("r")).result("30s")
    assert context.outputs == {"effect": 1, "hang": 1}
    assert every_world.count("effect") == 1
    assert run.id == "r"


# --- choices, jumps, waits ---------------------------------------------------------------------


def big(context):
    return context.get_output("count", "rows") > 10


@pytest.mark.parametrize(
    "condition", [big, "steps.count.output.rows > 10", "{{ params.n > 10 }}", "is_big"], ids=range(4)
)
@pytest.mark.parametrize(("n", "taken"), [(11, ["many"]), (3, ["few"])])
async def test_a_choice_goes_one_way(memory, condition, n, taken):
    steps = [
        Step.lambda_("count", count),
        Step.choice("route", condition, then_step="many", else_step="few"),
        Step.lambda_("many", lambda _: 1, next_step=Step.END),
        Step.lambda_("few", lambda _: 1),
    ]
    _, _, context = await finish(memory, *steps, params={"n": n}, conditions={"is_big": big})
    assert [name for name in context.outputs if name not in {"count", "route"}] == taken
    assert context.get_output("route") is (n > 10)


async def test_a_choice_without_a_way_goes_on_with_the_next_step(memory):
    steps = [Step.choice("skip", "params.skip", then_step=Step.END), Step.lambda_("count", count)]
    app, _, context = await finish(memory, *steps, params={"skip": False})
    assert context.get_output("count") == {"rows": 3}
    run = await app.start(app.workflows[0], {"skip": True})
    assert (await run.result("30s")).outputs == {"skip": True}


async def test_a_choice_is_asked_once(every_world):
    def asked(_):
        every_world.did("asked")
        return True

    steps = [Step.choice("route", asked, then_step="cool"), Step.wait("cool", "1h"), Step.lambda_("count", count)]
    flow = Workflow("w", steps)
    app = await every_world.open(flow)
    await app.start(flow, {}, id="r")
    app = await every_world.crash(app)
    await (await app.get("r")).result("30s")
    assert every_world.count("asked") == 1


async def test_a_result_may_name_the_step_that_follows(memory):
    def again(context):
        n = context.get_param("n") + 1
        return StepResult.ok(n, context_updates={"n": n}, next_step="again" if n < 5 else Step.END)

    _, run, context = await finish(memory, Step.lambda_("again", again), Step.lambda_("never", count), params={"n": 0})
    assert context.params == {"n": 5}
    assert "never" not in context.outputs
    events = await memory.apps[0].history(run)
    assert [event.operation for event in events if event.operation] == [
        "again",
        "again#2",
        "again#3",
        "again#4",
        "again#5",
    ]


async def test_a_loop_that_does_not_end_is_ended(memory):
    _, _, error = await failed(memory, Step.lambda_("again", count, next_step="again"), max_steps=7)
    assert "step again would be step 8, and max_steps is 7" in str(error.cause)


async def test_a_step_that_follows_must_be_there(memory):
    steps = [Step.lambda_("a", lambda _: StepResult.ok(next_step="lod")), Step.lambda_("load", count)]
    app, run, error = await failed(memory, *steps)
    assert "did you mean 'load'?" in str(error.cause)
    assert [event.kind for event in await app.history(run)][1:] == [h.STEP_FAILED, h.FINISHED]


async def test_a_wait_survives_a_crash(every_world):
    flow = Workflow("w", [Step.wait("long", "30d"), Step.lambda_("count", count)])
    app = await every_world.open(flow, clock=every_world.clock_that_stands())
    await app.start(flow, {}, id="r")
    app = await every_world.crash(app, clock=every_world.clock)
    run = await app.get("r")
    assert (await run.result("30s")).get_output("count") == {"rows": 3}
    assert run.row.finished_at - run.row.created_at >= 30 * 86_400_000_000


async def test_a_wait_may_be_until_a_moment(memory):
    _, run, _ = await finish(memory, Step.wait("morning", until="2026-01-02T09:00:00+01:00"))
    assert run.row.finished_at == 1_767_340_800_000_000


async def test_a_moment_that_is_over_is_waited_for_and_recorded(memory):
    app, run, _ = await finish(memory, Step.wait("past", until="2020-01-01T00:00:00Z"), Step.wait("none", 0))
    assert [event.operation for event in await app.history(run) if event.kind == h.TIMER_FIRED] == ["past", "none"]


# --- maps --------------------------------------------------------------------------------------


async def square(context):
    return context.item**2


@pytest.mark.parametrize("items", [[1, 2, 3], "params.items", lambda context: context.params["items"]], ids=range(3))
async def test_a_map_runs_a_step_for_each_item_in_order(every_world, items):
    _, _, context = await finish(every_world, Step.map("all", items, square), params={"items": [1, 2, 3]})
    assert context.get_output("all") == [1, 4, 9]
    assert (context.item, context.index) == (None, None)


async def test_a_map_of_nothing_gives_nothing(memory):
    _, _, context = await finish(memory, Step.map("all", [], square), Step.lambda_("count", count))
    assert context.outputs == {"all": [], "count": {"rows": 3}}


@pytest.mark.parametrize("width", [1, 2, 5])
async def test_a_map_keeps_its_width(memory, width):
    running = [0, 0]

    async def busy(context):
        running[0] += 1
        running[1] = max(running)
        await asyncio.sleep(0.001)
        running[0] -= 1
        return context.index

    step = Step.map("all", list("abcdefg"), Step.lambda_("busy", busy), max_parallel=width)
    _, _, context = await finish(memory, step)
    assert context.get_output("all") == list(range(7))
    assert running == [0, width]


async def test_the_first_item_that_fails_fails_the_map(memory):
    async def odd(context):
        if context.item == 2:
            raise Terminal("not two")
        await asyncio.Event().wait()

    _, _, error = await failed(memory, Step.map("all", [1, 2, 3], odd))
    assert "not two" in str(error.cause)


async def test_a_map_may_go_on_without_the_items_that_failed(memory):
    def odd(context):
        if context.item == 2:
            return StepResult.fail("not two", "validation")
        if context.item == 3:
            raise Terminal("not three")
        return context.item

    step = Step.map("all", [1, 2, 3, 4], odd, on_error=ErrorPolicy.CONTINUE)
    _, _, context = await finish(memory, step)
    assert context.get_output("all") == [1, None, None, 4]


async def test_two_items_may_not_write_the_same_name(every_world):
    def write(context):
        return StepResult.ok(context_updates={f"only_{context.index}": 1, "last": context.item})

    _, _, error = await failed(every_world, Step.map("all", [1, 2], write))
    assert "items 0 and 1 both write 'last': which came last would be chance" in str(error.cause)


async def test_items_that_write_different_names_are_joined(memory):
    def write(context):
        return StepResult.ok(context_updates={f"seen_{context.item}": context.index})

    _, _, context = await finish(memory, Step.map("all", ["b", "a"], write))
    assert context.params == {"seen_b": 0, "seen_a": 1}


@pytest.mark.parametrize("items", ["params.n", lambda _: "text", lambda _: {"a": 1}, lambda _: None], ids=range(4))
async def test_items_must_be_a_list(memory, items):
    _, _, error = await failed(memory, Step.map("all", items, square), params={"n": 3})
    assert "is no list" in str(error.cause)


async def test_a_map_goes_on_after_a_crash_with_the_items_that_are_left(every_world):
    there = asyncio.Event()

    async def each(context):
        every_world.did(context.item)
        if context.item == "c" and not there.is_set():
            there.set()
            await asyncio.Event().wait()
        return context.item

    flow = Workflow("w", [Step.map("all", ["a", "b", "c", "d"], each, max_parallel=1)])
    app = await every_world.open(flow)
    await app.start(flow, {}, id="r")
    await there.wait()
    app = await every_world.crash(app)
    context = await (await app.get("r")).result("30s")
    assert context.get_output("all") == ["a", "b", "c", "d"]
    assert every_world.ledger == ["a", "b", "c", "c", "d"]


# --- failures ----------------------------------------------------------------------------------


async def test_a_failed_step_ends_the_workflow_and_its_updates_count_for_nothing(memory):
    def bad(_):
        return StepResult.fail("no such tier", "validation", output={"seen": 1}, context_updates={"seen": 1})

    app, run, error = await failed(memory, Step.lambda_("bad", bad, retry=RetryPolicy()), Step.lambda_("count", count))
    assert "no such tier (validation)" in str(error.cause)
    event = (await app.history(run))[1]
    assert event.kind == h.STEP_FAILED
    assert event.attempt == 1
    assert '"details":{"success":false,"output":{"seen":1}' in event.error


async def test_a_category_that_may_pass_is_tried_again(memory):
    attempts = []

    def flaky(_):
        attempts.append(context().attempt)
        return StepResult.fail("busy", "transient") if len(attempts) < 3 else StepResult.ok(len(attempts))

    _, _, left = await finish(memory, Step.lambda_("flaky", flaky, on_error=ErrorPolicy.RETRY))
    assert left.get_output("flaky") == 3
    assert attempts == [1, 2, 3]


async def test_without_a_policy_a_step_is_attempted_once(memory):
    attempts = []

    def flaky(_):
        attempts.append(1)
        raise OSError("gone")

    await failed(memory, Step.lambda_("flaky", flaky))
    assert attempts == [1]


@pytest.mark.parametrize("how", ["result", "exception"])
async def test_continue_goes_on_with_what_the_failed_step_had_to_say(every_world, how):
    def bad(_):
        if how == "exception":
            raise Terminal("broken")
        return StepResult.fail(
            "broken", "validation", output={"partial": 7}, context_updates={"seen": 1}, events=["half"]
        )

    def after(context):
        return [context.get_output("bad"), context.get_param("seen")]

    steps = [Step.lambda_("bad", bad, on_error=ErrorPolicy.CONTINUE), Step.lambda_("after", after)]
    app, _, context = await finish(every_world, *steps)
    assert context.get_output("after") == ([{"partial": 7}, 1] if how == "result" else [None, None])
    assert [one.type for one in await app.store.outgoing(limit=9)] == (["half"] if how == "result" else [])


async def test_continue_comes_after_the_last_attempt(memory):
    attempts = []

    def bad(_):
        attempts.append(1)
        raise OSError("gone")

    step = Step.lambda_("bad", bad, on_error=ErrorPolicy.CONTINUE, retry=RetryPolicy(max_attempts=4))
    await finish(memory, step)
    assert len(attempts) == 4


async def test_a_retried_run_goes_on_from_the_failed_step(every_world):
    def good(_):
        every_world.did("good")

    def bad(_):
        every_world.did("bad")
        if every_world.count("bad") == 1:
            raise Terminal("mend me")

    flow = Workflow("w", [Step.lambda_("good", good), Step.lambda_("bad", bad)])
    app = await every_world.open(flow)
    run = await app.start(flow, {})
    with pytest.raises(RunFailed):
        await run.result("30s")
    await app.retry(run)
    await run.result("30s")
    assert every_world.ledger == ["good", "bad", "bad"]


@pytest.mark.parametrize(
    ("output", "says"),
    [
        (float("nan"), "is not JSON"),
        ({"rows": object()}, "cannot be written as JSON"),
        ("x" * 100_000_000, "the limit is 33,554,432"),
        ({"rows": {1, 2, "x".join}}, "cannot be written"),
    ],
    ids=["nan", "object", "100 MB", "set"],
)
async def test_an_output_that_cannot_be_recorded_is_a_terminal_failure(memory, output, says):
    app, run, error = await failed(memory, Step.lambda_("bad", lambda _: output, on_error=ErrorPolicy.RETRY))
    assert says in str(error.cause)
    assert error.cause.code == "output_invalid"
    assert (await app.history(run))[1].attempt == 1


async def test_reserved_names_are_refused_in_a_step(memory):
    def bad(_):
        return StepResult.ok(context_updates={"run_id": "other"})

    _, _, error = await failed(memory, Step.lambda_("bad", bad, on_error=ErrorPolicy.RETRY))
    assert "'run_id' is a name of the context itself" in str(error.cause)


async def test_a_step_cannot_change_what_later_steps_see(memory):
    def vandal(context):
        context.outputs["list"].append(4)

    steps = [Step.lambda_("list", lambda _: [1, 2, 3]), Step.lambda_("vandal", vandal)]
    _, _, error = await failed(memory, *steps)
    assert "cannot be changed" in str(error.cause)


async def test_a_time_limit_stops_a_step(memory):
    async def hang(_):
        await asyncio.Event().wait()

    _, _, error = await failed(memory, Step.lambda_("hang", hang, timeout=0.01))
    assert error.cause.code == "timeout"


@pytest.mark.parametrize(
    ("policy", "waits"),
    [
        (RetryPolicy(max_attempts=5), [1, 2, 4, 8]),
        (RetryPolicy(max_attempts=5, backoff="linear", initial_delay=3, max_delay=8), [3, 6, 8, 8]),
        (RetryPolicy(max_attempts=5, backoff="constant", initial_delay=0.5), [0.5, 0.5, 0.5, 0.5]),
        (RetryPolicy(max_attempts=9, max_delay=4), [1, 2, 4, 4, 4, 4, 4, 4]),
        (Retry(max_attempts=3, delay="2s"), [2, 4]),
    ],
)
async def test_attempts_are_as_far_apart_as_the_policy_says(memory, policy, waits):
    def bad(_):
        raise OSError("gone")

    app, run, _ = await failed(memory, Step.lambda_("bad", bad, retry=policy))
    started = [attempt.started_at for attempt in await app.store.attempts(run.uuid)]
    assert [(b - a) / 1e6 for a, b in pairwise(started)] == waits


# --- events, children, eviction ----------------------------------------------------------------


async def test_events_are_published_once_the_result_is_recorded(every_world):
    def tell(_):
        return StepResult.ok(events=["loaded", {"type": "counted", "data": {"rows": 3}}])

    app, run, _ = await finish(every_world, Step.lambda_("tell", tell))
    assert [(one.type, one.data) for one in await app.store.outgoing(limit=9)] == [
        ("loaded", "null"),
        ("counted", '{"rows":3}'),
    ]
    assert [event.kind for event in await app.history(run)][1:4] == [
        h.STEP_COMPLETED,
        h.EVENT_PUBLISHED,
        h.EVENT_PUBLISHED,
    ]


async def test_a_workflow_may_be_a_child(memory):
    flow = Workflow("steps", [Step.lambda_("count", count)])

    @workflow
    async def parent() -> int:
        context = await child(flow, {"n": 8})
        return int(context.get_output("count", "rows"))

    app = await memory.open(parent, flow)
    assert await (await app.start(parent)).result("30s") == 8


async def test_eviction_makes_no_difference():
    steps = [
        Step.lambda_("count", count),
        Step.choice("route", "steps.count.output.rows > 2", then_step="all"),
        Step.lambda_("never", count),
        Step.map("all", "[1, 2, 3]", Step.lambda_("square", square), max_parallel=2),
        Step.wait("cool", "10m"),
        Step.lambda_("bad", lambda _: StepResult.fail("no", "validation", output=1), on_error=ErrorPolicy.CONTINUE),
        Step.lambda_("tell", lambda _: StepResult.ok(events=["done"], quality={"record_count": 3})),
    ]
    outcome = await run_both_ways(Workflow("w", steps), WorkflowContext.new(trace_id="t"))
    assert outcome.status == "succeeded"
    (history,) = outcome.histories.values()
    assert len(history) > 10


async def test_a_long_loop_begins_anew_and_goes_on(memory, monkeypatch):
    monkeypatch.setattr("ripresa.author.steps.program.ANEW_AFTER", 10)

    async def again(context):
        n = context.get_param("n") + 1
        return StepResult.ok(context_updates={"n": n}, next_step="again" if n < 35 else None)

    app, run, context = await finish(memory, Step.lambda_("again", again), params={"n": 0}, max_steps=35)
    assert context.get_param("n") == 35
    assert sum(event.kind == h.CONTINUED for event in await app.history(run)) == 3


async def test_the_bound_holds_over_new_beginnings(memory, monkeypatch):
    monkeypatch.setattr("ripresa.author.steps.program.ANEW_AFTER", 10)
    _, _, error = await failed(memory, Step.lambda_("again", count, next_step="again"), max_steps=25)
    assert "max_steps is 25" in str(error.cause)


# --- definitions -------------------------------------------------------------------------------

ONE = Step.lambda_("count", count)


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: Workflow("w", []), ValueError, "it has no steps"),
        (lambda: Workflow("w", [ONE, ONE]), ValueError, r"steps\[1\]: two steps are called 'count'"),
        (lambda: Workflow("w", [count]), TypeError, r"steps\[0\]: .* is no step"),
        (lambda: Workflow("a b", [ONE]), ValueError, "'a b' is not a name"),
        (lambda: Workflow("w", [ONE], max_steps=0), ValueError, "max_steps=0 would never start"),
        (lambda: Workflow("w", [Step.lambda_("a", count, next_step="cont"), ONE]), ValueError, "did you mean 'count'"),
        (lambda: Workflow("w", [Step.choice("a", "item", then_step="b")]), ValueError, "no step 'b'; there are: a"),
        (lambda: Workflow("w", [Step.choice("a", "x", then_step="a")]), ValueError, "no condition 'x' .* are: none"),
        (lambda: Workflow("w", [Step.choice("a", "bg", then_step="a")], conditions={"big": big}), ValueError, "'big'?"),
        (lambda: Workflow("w", [Step.choice("a", "x(", then_step="a")]), TemplateError, "w: step a"),
        (lambda: Workflow("w", [Step.choice("a", "'x' * 9", then_step="a")]), TemplateError, "w: step a"),
        (lambda: Step.choice("a", 3, then_step="b"), TypeError, "neither a function"),
        (lambda: Step.choice("a", "x"), ValueError, "a choice needs then_step="),
        (lambda: Step.lambda_("a#2", count), ValueError, "'a#2' is not a name"),
        (lambda: Step.lambda_("a", 3), TypeError, "handler=3 is not a function"),
        (lambda: Step.lambda_("a", count, on_error="explode"), ValueError, "is not one of stop, continue, retry"),
        (lambda: Step.lambda_("a", count, timeout="soon"), ValueError, "step a: timeout"),
        (lambda: Step.wait("a"), ValueError, "a duration or until="),
        (lambda: Step.wait("a", "1h", until="2026-01-01T00:00:00Z"), ValueError, "a duration or until="),
        (lambda: Step.wait("a", "soon"), ValueError, "step a: duration: 'soon'"),
        (lambda: Step.wait("a", until="2026-01-01"), ValueError, "no moment with a time zone"),
        (lambda: Step.map("a", [1], WaitStep("b", "1s")), TypeError, "not a wait step"),
        (lambda: Step.map("a", [1], count, max_parallel=0), ValueError, "would never start"),
        (lambda: RetryPolicy(backoff="fast"), ValueError, "'fast' is not"),
        (lambda: RetryPolicy(max_attempts=0), ValueError, "max_attempts: 0"),
        (Step, TypeError, "Step makes steps"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_when_it_is_written(make, error, says):
    with pytest.raises(error, match=says):
        make()


def test_a_change_of_any_step_is_another_version():
    def made(**options):
        return Workflow("w", [Step.lambda_("a", count, **options)], version="1").version

    assert made() == made()
    assert len({made(), made(config={"a": 1}), made(timeout="1m"), made(on_error=ErrorPolicy.RETRY)}) == 4
    assert Workflow("w", [Step.lambda_("a", big)], version="1").version != made()


def test_a_function_without_a_source_has_the_same_version_everywhere():
    def made(text):
        return Workflow("w", [Step.lambda_("a", eval(text))], version="1").version

    text = 'lambda c: [x for x in (c.params or ()) if x in {"a", "b", "c"}]'
    code = f"from ripresa import Step, Workflow; print(Workflow('w', [Step.lambda_('a', {text})], version='1').version)"
    run = [sys.executable, "-c", code]
    assert {
        subprocess.run(
            run, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    } == {made(text) + "\n"}
    assert made("lambda c: c.params") != made("lambda c: c.run_id")


def test_a_workflow_is_started_not_called():
    flow = Workflow("w", [ONE])
    with pytest.raises(NotInWorkflow, match=r"App\.start"):
        flow({})
    assert repr(flow) == "<workflow w: count>"


@pytest.mark.parametrize("given", [[1], "text", 3])
async def test_params_are_a_mapping(memory, given):
    flow = Workflow("w", [ONE])
    app = await memory.open(flow)
    with pytest.raises(TypeError, match="is no mapping of names"):
        await app.start(flow, given)


async def test_the_definition_is_kept_with_its_steps_and_its_input(memory):
    app, _, _ = await finish(memory, ONE, Step.wait("cool", "1s"))
    (kept,) = await app.store.definitions()
    assert kept.kind == "steps"
    assert '"duration": "1s"' in kept.body
    assert "def count(context)" in kept.body
    assert '"params"' in kept.input_schema


async def test_a_workflow_runs_on_an_app_that_knows_other_kinds(memory):
    @workflow
    async def plain() -> int:
        return 1

    flow = Workflow("w", [ONE])
    async with App("memory://", [plain, flow]) as app:
        assert (await (await app.start(flow)).result("30s")).get_output("count") == {"rows": 3}
        assert await (await app.start(plain)).result("30s") == 1


async def test_a_fork_sees_its_steps_as_done(every_world):
    def effect(_):
        every_world.did("effect")
        return 1

    def tell(context):
        every_world.did("tell")
        return [context.run_id, context.batch_id]

    flow = Workflow("w", [Step.lambda_("effect", effect), Step.map("all", [1, 2], square), Step.lambda_("tell", tell)])
    app = await every_world.open(flow)
    run = await app.start(flow, {}, id="r")
    await run.result("30s")
    fork = await app.fork(run, from_step="tell", id="f")
    assert (await fork.result("30s")).get_output("tell") == ["f", "f"]
    assert every_world.ledger == ["effect", "tell", "tell"]


async def test_a_wide_map_over_a_long_list_is_done_in_time(memory):
    flow = [
        Step.lambda_("list", lambda _: list(range(3_000))),
        Step.map("all", "steps.list.output", Step.lambda_("each", square), max_parallel=100),
    ]
    _, _, context = await finish(memory, *flow)
    assert context.get_output("all")[-1] == 2_999**2


def test_a_workflow_is_found_by_its_own_name():
    assert Workflow("weekly", [ONE]).function.__name__ == "weekly"
    assert Workflow("weekly", [ONE]).signature.names[-1] == "params"
