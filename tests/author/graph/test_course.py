"""What nodes do: wait, take signals, run workflows, fan out, run out of time, are undone; and `finally`."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime

import pytest

from ripresa import Retry, RunCancelled, RunFailed, Terminal, step, workflow
from ripresa.author.graph.works import NamedWorkflow, Pause
from ripresa.testing.clock import EPOCH_US
from tests.author.graph.graphs import call, each, flow, node, notes, signal, statuses, steps, sub, wait


def good(value=1):
    return value


def bad():
    raise Terminal("it is broken")


async def hang():
    await asyncio.sleep(3600)


async def started(world, graph, params=None, *, with_=()):
    app = await world.open(graph, *with_)
    return app, await app.start(graph, params or {}, id="the-run")


async def until(holds, app, run):
    """Wait until the journal shows it."""
    while not holds(await statuses(app, run)):  # noqa: ASYNC110 - there is no event for it
        await asyncio.sleep(0.001)


# --- waiting ----------------------------------------------------------------------------------


async def test_a_wait_takes_its_time(world):
    app, run = await started(world, flow(wait("pause", 3600), call("after", lambda: 7, "pause")))
    assert await run.result("30s") == 7
    fired = [event for event in await app.history(run) if event.kind == "timer_fired"]
    assert [(event.operation, event.at - EPOCH_US) for event in fired] == [("pause", 3_600_000_000)]


async def test_a_wait_until_a_moment_ends_then(world):
    moment = datetime.fromtimestamp(EPOCH_US / 1e6 + 60, UTC)
    app, run = await started(world, flow(node("pause", Pause(until=lambda _: moment.isoformat()))))
    await run.result("30s")
    assert (await app.history(run))[-1].at >= EPOCH_US + 60_000_000


async def test_a_signal_gives_its_value(world):
    app, run = await started(world, flow(signal("approval"), call("after", good, "approval")))
    await app.signal(run, "approval", {"by": "ann"})
    await run.result("30s")
    assert (await steps(app, run))["approval"].output == {"by": "ann"}


async def test_a_signal_that_came_early_is_kept(world):
    app, run = await started(world, flow(wait("pause", 60), signal("approval", "pause")))
    await app.signal(run, "approval", 5)
    assert await run.result("30s") == 5


@pytest.mark.also_on_postgres
async def test_a_signal_that_does_not_come_in_time_fails_its_node(world):
    graph = flow(signal("approval", timeout_us=60_000_000), call("alarm", good, ("approval", "failed")))
    app, run = await started(world, graph)
    with pytest.raises(RunFailed) as failed:
        await run.result("30s")
    assert (failed.value.cause.step, failed.value.cause.code) == ("approval", "timeout")
    assert await statuses(app, run) == {"approval": "failed", "alarm": "succeeded"}


@pytest.mark.also_on_postgres
async def test_a_run_that_is_tried_again_waits_for_its_signal_once_more(world):
    app, run = await started(world, flow(signal("approval", timeout_us=60_000_000)))
    with pytest.raises(RunFailed):
        await run.result("30s")
    await app.retry(run)
    await app.signal(run, "approval", "yes")
    assert await run.result("30s") == "yes"


# --- other workflows --------------------------------------------------------------------------


@workflow
async def doubled(value: int) -> int:
    return value * 2


async def test_another_workflow_runs_as_a_child(world):
    graph = flow(sub("twice", NamedWorkflow("doubled"), params=lambda _: {"value": 4}))
    app, run = await started(world, graph, with_=(doubled,))
    assert await run.result("30s") == 8
    (child,) = await app.list(parent=run)
    assert child.definition == "doubled"


async def test_a_graph_may_be_another_graphs_node(world):
    inner = flow(call("one", good, with_=lambda v: {"value": v["params"]["n"]}), name="inner")
    graph = flow(
        sub("subs", NamedWorkflow("inner"), params=lambda v: {"n": v["item"]}, for_each=each([1, 2, 3], max_parallel=2))
    )
    app, run = await started(world, graph, with_=(inner,))
    assert await run.result("30s") == [1, 2, 3]
    assert (await steps(app, run))["subs"].output == [1, 2, 3]


async def test_a_workflow_that_nobody_knows_fails_its_node(world):
    app, run = await started(world, flow(sub("lost", NamedWorkflow("nowhere"))))
    with pytest.raises(RunFailed, match="nowhere"):
        await run.result("30s")
    assert await statuses(app, run) == {"lost": "failed"}


async def test_params_that_the_other_workflow_does_not_take_fail_the_node(world):
    graph = flow(sub("twice", NamedWorkflow("doubled"), params=lambda _: {"value": "many"}))
    _, run = await started(world, graph, with_=(doubled,))
    with pytest.raises(RunFailed, match="value"):
        await run.result("30s")


async def test_a_child_that_fails_fails_its_node(world):
    inner = flow(call("one", bad), name="inner")
    app, run = await started(world, flow(sub("child", NamedWorkflow("inner"))), with_=(inner,))
    with pytest.raises(RunFailed, match="it is broken"):
        await run.result("30s")
    assert await statuses(app, run) == {"child": "failed"}


@pytest.mark.also_on_postgres
async def test_another_workflow_is_started_anew_as_its_policy_says(world):
    tries = []

    def often():
        tries.append(1)
        if len(tries) < 3:
            raise Terminal("not yet")
        return len(tries)

    inner = flow(call("one", often), name="inner")
    graph = flow(sub("child", NamedWorkflow("inner"), retry=Retry(max_attempts=3, delay="1h")))
    app, run = await started(world, graph, with_=(inner,))
    assert await run.result("30s") == 3
    assert [child.status for child in await app.list(parent=run)] == ["succeeded", "failed", "failed"]
    waits = [event.operation for event in await app.history(run) if event.kind == "timer_fired"]
    assert waits == ["child/retry", "child/retry#2"]


async def test_a_policy_that_is_spent_fails_the_node(world):
    inner = flow(call("one", bad), name="inner")
    graph = flow(sub("child", NamedWorkflow("inner"), retry=Retry(max_attempts=2, delay="1h")))
    app, run = await started(world, graph, with_=(inner,))
    with pytest.raises(RunFailed, match="it is broken"):
        await run.result("30s")
    assert len(await app.list(parent=run)) == 2


async def test_a_wait_for_the_next_attempt_is_cancelled_with_the_run(world):
    inner = flow(call("one", bad), name="inner")
    graph = flow(sub("child", NamedWorkflow("inner"), retry=Retry(max_attempts=9, delay="1d")))
    clock = world.clock_that_stands()
    app = await world.open(graph, inner, clock=clock)
    run = await app.start(graph, {})
    while not [one for one in await app.list(parent=run) if one.status == "failed"]:  # noqa: ASYNC110 - as above
        await asyncio.sleep(0.001)
    await app.cancel(run)
    with pytest.raises(RunCancelled):
        await run.result("30s")
    assert await statuses(app, run) == {"child": "cancelled"}


# --- fan-out ----------------------------------------------------------------------------------


def item_value(values):
    return {"value": values["item"]}


async def test_outputs_are_in_the_order_of_the_items(world):
    app, run = await started(world, flow(call("f", good, with_=item_value, for_each=each([3, 1, 2], max_parallel=2))))
    assert await run.result("30s") == [3, 1, 2]
    assert {event.operation for event in await app.history(run) if event.kind == "step_completed"} == {
        "f[0]", "f[1]", "f[2]",
    }  # fmt: skip


async def test_no_more_than_max_parallel_run_at_once(memory):
    now = most = 0

    async def busy(value):
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.001)
        now -= 1

    graph = flow(call("f", busy, with_=item_value, for_each=each(list(range(20)), max_parallel=3)))
    _, run = await started(memory, graph)
    await run.result("30s")
    assert most == 3


async def test_items_may_come_in_batches(world):
    _, run = await started(world, flow(call("f", good, with_=item_value, for_each=each([1, 2, 3, 4, 5], batch=2))))
    assert await run.result("30s") == [[1, 2], [3, 4], [5]]


async def test_no_items_are_no_work(world):
    app, run = await started(world, flow(call("f", good, for_each=each([]))))
    assert await run.result("30s") == []
    assert {name: (one.status, one.output) for name, one in (await steps(app, run)).items()} == {"f": ("succeeded", [])}


def odd_fails(value):
    if value % 2:
        raise Terminal(f"{value} is odd")
    return value


async def test_the_first_failure_is_the_nodes_and_names_the_item(world):
    graph = flow(call("f", odd_fails, with_=item_value, for_each=each([2, 3, 4], max_parallel=1)), call("g", good, "f"))
    app, run = await started(world, graph)
    with pytest.raises(RunFailed, match="3 is odd") as failed:
        await run.result("30s")
    assert failed.value.cause.step == "f[1]"
    found = await statuses(app, run)
    assert (found["f"], found["g"], "f[2]" in found) == ("failed", "skipped", False)


@pytest.mark.also_on_postgres
async def test_min_success_lets_some_items_fail(world):
    graph = flow(call("f", odd_fails, with_=item_value, for_each=each([1, 2, 3, 4], min_success=2)))
    app, run = await started(world, graph)
    assert await run.result("30s") == [None, 2, None, 4]
    assert (await steps(app, run))["f"].output == [None, 2, None, 4]


async def test_fewer_than_min_success_fail_the_node(world):
    graph = flow(call("f", odd_fails, with_=item_value, for_each=each([1, 2, 3], min_success=2)))
    _, run = await started(world, graph)
    with pytest.raises(RunFailed, match="1 is odd"):
        await run.result("30s")


@pytest.mark.parametrize("items", ["abc", {"a": 1}, 5, None])
async def test_what_is_no_list_fails_the_node(world, items):
    _, run = await started(world, flow(call("f", good, for_each=each(items))))
    with pytest.raises(RunFailed, match="is not a list"):
        await run.result("30s")


async def test_ten_thousand_items_run(memory):
    async def quick(value):
        return value

    _, run = await started(memory, flow(call("f", quick, with_=item_value, for_each=each(list(range(10_000))))))
    assert await run.result("60s") == list(range(10_000))


# --- time limits ------------------------------------------------------------------------------


async def test_a_node_that_takes_too_long_fails_whatever_it_does(world):
    @step(retry=Retry(max_attempts=100, delay="20s"))
    def flaky():
        raise OSError("again")

    app, run = await started(world, flow(call("f", None, step=flaky, timeout_us=60_000_000)))
    with pytest.raises(RunFailed, match="it took longer than 1m") as failed:
        await run.result("30s")
    assert (failed.value.cause.code, failed.value.cause.step) == ("timeout", "f")
    assert await statuses(app, run) == {"f": "failed"}


@pytest.mark.also_on_postgres
async def test_a_run_that_takes_too_long_fails_and_starts_nothing_more(world):
    graph = flow(wait("long", 7200), call("after", good, "long"), call("clean", good), timeout_us=3_600_000_000)
    app, run = await started(world, graph)
    with pytest.raises(RunFailed, match="the run took longer than 1h") as failed:
        await run.result("30s")
    assert failed.value.cause.code == "timeout"
    assert await statuses(app, run) == {"long": "cancelled", "after": "skipped", "clean": "succeeded"}


async def test_a_run_that_is_tried_again_has_its_time_again(world):
    graph = flow(wait("one", 2400), wait("two", 2400, "one"), timeout_us=3_600_000_000)
    app, run = await started(world, graph)
    with pytest.raises(RunFailed):
        await run.result("30s")
    await app.retry(run)
    assert await run.result("30s") is None


# --- undoing ----------------------------------------------------------------------------------


def undoable(world, *nodes, **options):
    """Nodes a and b, undone by undo_a and undo_b, and others."""

    def undo(name):
        return lambda values: {"what": [name, values["steps"][name]["output"]]}

    return flow(
        call("a", lambda: "A", compensate="undo_a"),
        call("b", lambda: "B", "a", compensate="undo_b"),
        call("undo_a", world.did, with_=undo("a")),
        call("undo_b", world.did, with_=undo("b")),
        *nodes,
        **options,
    )


async def test_what_was_done_is_undone_in_reverse_when_the_run_fails(world):
    app, run = await started(world, undoable(world, call("c", bad, "b")))
    with pytest.raises(RunFailed, match="it is broken"):
        await run.result("30s")
    assert world.ledger == [["b", "B"], ["a", "A"]]
    found = await statuses(app, run)
    assert (found["a"], found["b"], found["c"]) == ("compensated", "compensated", "failed")


async def test_nothing_is_undone_when_all_went_well(world):
    app, run = await started(world, undoable(world))
    assert await run.result("30s") == "B"
    assert world.ledger == []
    assert set(await statuses(app, run)) == {"a", "b"}


@pytest.mark.also_on_postgres
async def test_a_cancelled_run_is_undone(world):
    app, run = await started(world, undoable(world, signal("never", "b"), call("after", good, "never")))
    await until(lambda found: "b" in found, app, run)
    await app.cancel(run)
    with pytest.raises(RunCancelled):
        await run.result("30s")
    assert world.ledger == [["b", "B"], ["a", "A"]]
    found = await steps(app, run)
    assert (found["never"].status, found["after"].status) == ("cancelled", "skipped")
    assert found["after"].reason == "the run was cancelled"


@pytest.mark.also_on_postgres
async def test_what_was_undone_is_done_anew_when_the_run_is_tried_again(world):
    broken = [True]

    def once():
        if broken:
            raise Terminal("still broken")
        return 3

    app, run = await started(world, undoable(world, call("c", once, "b")))
    with pytest.raises(RunFailed):
        await run.result("30s")
    broken.clear()
    await app.retry(run)
    assert await run.result("30s") == 3
    completed = [e.operation for e in await app.history(run) if e.kind == "step_completed"]
    assert completed == ["a", "b", "undo:b", "undo:a", "a", "b", "c"]


async def test_each_item_that_was_done_is_undone(world):
    graph = flow(
        call("f", odd_fails, with_=item_value, for_each=each([2, 4, 5], max_parallel=1), compensate="undo"),
        call("undo", world.did, with_=lambda v: {"what": v["item"]}),
    )
    _, run = await started(world, graph)
    with pytest.raises(RunFailed):
        await run.result("30s")
    assert world.ledger == [4, 2]


async def test_a_child_that_was_done_is_undone(world):
    graph = flow(
        sub("twice", NamedWorkflow("doubled"), params=lambda _: {"value": 4}, compensate="undo"),
        call("undo", world.did, with_=lambda v: {"what": v["steps"]["twice"]["output"]}),
        call("c", bad, "twice"),
    )
    _, run = await started(world, graph, with_=(doubled,))
    with pytest.raises(RunFailed):
        await run.result("30s")
    assert world.ledger == [8]


# --- finally ----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["well", "badly", "cancelled"])
async def test_finally_runs_whatever_happened(world, how):
    work = {"well": call("a", good), "badly": call("a", bad), "cancelled": signal("a")}[how]
    last = [call("tell", world.did, with_=lambda v: {"what": v["steps"]["a"]["status"]}), call("sweep", good, "tell")]
    app, run = await started(world, flow(work, finally_=last))
    if how == "cancelled":
        await app.cancel(run)
    with contextlib.suppress(RunFailed, RunCancelled):
        await run.result("30s")
    await run.refresh()
    assert run.status == {"well": "succeeded", "badly": "failed", "cancelled": "cancelled"}[how]
    assert world.ledger == [{"well": "succeeded", "badly": "failed", "cancelled": "cancelled"}[how]]
    assert (await statuses(app, run))["sweep"] == "succeeded"


@pytest.mark.also_on_postgres
async def test_finally_comes_after_undoing(world):
    graph = undoable(world, call("c", bad, "b"), finally_=[call("last", world.did, with_=lambda _: {"what": "last"})])
    _, run = await started(world, graph)
    with pytest.raises(RunFailed):
        await run.result("30s")
    assert world.ledger == [["b", "B"], ["a", "A"], "last"]


async def test_a_failure_in_finally_fails_the_run(world):
    _, run = await started(
        world,
        flow(call("a", good), finally_=[call("last", bad), call("other", world.did, with_=lambda _: {"what": 1})]),
    )
    with pytest.raises(RunFailed, match="it is broken"):
        await run.result("30s")
    assert world.ledger == [1]


async def test_a_cancellation_does_not_stop_finally(world):
    graph = flow(
        call("a", good), finally_=[wait("rest", 60), call("last", world.did, "rest", with_=lambda _: {"what": 1})]
    )
    clock = world.clock_that_stands()
    app = await world.open(graph, clock=clock)
    run = await app.start(graph, {})
    await until(lambda found: "a" in found, app, run)
    await app.cancel(run)
    await clock.advance(minutes=2)
    with pytest.raises(RunCancelled):
        await run.result("30s")
    assert world.ledger == [1]


# --- what is recorded -------------------------------------------------------------------------


async def test_the_journal_says_what_became_of_each_node_once(world):
    graph = flow(
        call("a", good, when=lambda _: False), call("b", good, "a"), wait("c", 60), call("d", good, "c"), signal("e")
    )
    app, run = await started(world, graph)
    await app.signal(run, "e", 1)
    await run.result("30s")
    events = await app.history(run)
    noted = [event.operation for event in events if event.kind == "node_settled"]
    assert sorted(noted) == ["a", "b", "c", "e"]
    assert notes(events)["b"]["reason"] == "a was skipped"


async def test_the_query_graph_tells_how_the_nodes_stand(world):
    app, run = await started(world, flow(call("a", good), signal("b", "a"), call("c", good, "b")))
    await until(lambda found: "a" in found, app, run)
    assert await app.query(run, "graph") == {
        "a": {"status": "succeeded"}, "b": {"status": "pending"}, "c": {"status": "pending"},
    }  # fmt: skip
