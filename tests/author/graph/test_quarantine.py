"""Nodes that are set aside: the others go on, and a person decides."""

from __future__ import annotations

import asyncio

import pytest

from ripresa import Quarantine, Retry, RunCancelled, RunError, RunFailed, RunQuarantined, Terminal, step
from tests.author.graph.graphs import call, each, flow, output_of, signal, statuses


def good(value=1):
    return value


class Sick:
    """Work that is set aside until it is well."""

    def __init__(self):
        self.well = False
        self.tries = 0

    def __call__(self):
        self.tries += 1
        if not self.well:
            raise Quarantine("the file looks wrong")
        return "well"


def with_sick(sick, *nodes, **options):
    @step
    def work():
        return sick()

    return flow(
        call("sick", None, step=work),
        call("after", good, "sick", with_=lambda v: {"value": v["steps"]["sick"]["output"]}),
        call("other", good),
        call("alarm", good, ("sick", "quarantined")),
        *nodes,
        **{"output": output_of("after"), **options},
    )


async def set_aside(world, graph):
    app = await world.open(graph)
    run = await app.start(graph, {}, id="the-run")
    with pytest.raises(RunQuarantined, match="the file looks wrong"):
        await run.result("30s")
    return app, run


async def test_the_others_go_on_and_what_depends_on_it_waits(world):
    app, run = await set_aside(world, with_sick(Sick()))
    assert await statuses(app, run) == {"sick": "quarantined", "other": "succeeded", "alarm": "succeeded"}


async def test_a_release_repeats_the_node_and_the_run_goes_on(world):
    sick = Sick()
    app, run = await set_aside(world, with_sick(sick))
    sick.well = True
    await app.release(run)
    assert await run.result("30s") == "well"
    assert await statuses(app, run) == {
        "sick": "succeeded", "after": "succeeded", "other": "succeeded", "alarm": "skipped",
    }  # fmt: skip
    assert [event.operation for event in await app.history(run) if event.kind == "step_completed"].count("other") == 1


async def test_a_release_that_does_not_help_sets_it_aside_again(world):
    sick = Sick()
    app, run = await set_aside(world, with_sick(sick))
    await app.release(run)
    with pytest.raises(RunQuarantined):
        await run.result("30s")
    sick.well = True
    await app.release(run)
    assert await run.result("30s") == "well"
    assert sick.tries == 3


async def test_a_person_may_give_the_output(world):
    sick = Sick()
    app, run = await set_aside(world, with_sick(sick))
    await app.release(run, output="by hand")
    assert await run.result("30s") == "by hand"
    assert sick.tries == 1


async def test_what_is_discarded_fails_the_run(world):
    app, run = await set_aside(
        world, with_sick(Sick(), finally_=[call("last", world.did, with_=lambda _: {"what": 1})])
    )
    assert world.ledger == []  # the run has not come to its end
    await app.release(run, discard=True)
    with pytest.raises(RunFailed, match="the file looks wrong"):
        await run.result("30s")
    assert world.ledger == [1]


async def test_what_is_set_aside_can_be_cancelled_and_is_undone(world):
    graph = with_sick(
        Sick(),
        call("done", lambda: 5, compensate="undo"),
        call("undo", world.did, with_=lambda v: {"what": v["steps"]["done"]["output"]}),
    )
    app, run = await set_aside(world, graph)
    assert world.ledger == []
    await app.cancel(run)
    with pytest.raises(RunCancelled):
        await run.result("30s")
    assert world.ledger == [5]


async def test_a_crash_leaves_it_set_aside(world):
    sick = Sick()
    graph = with_sick(sick)
    app, run = await set_aside(world, graph)
    app = await world.crash(app)
    run = await app.get("the-run")
    assert run.status == "quarantined"
    sick.well = True
    await app.release(run)
    assert await run.result("30s") == "well"


async def test_on_error_quarantine_sets_aside_what_failed_for_good(world):
    broken = [True]

    @step(retry=Retry(max_attempts=2, delay="1s"))
    def work():
        if broken:
            raise OSError("disk")
        return 4

    graph = flow(call("a", None, step=work, on_error="quarantine"), call("b", good, "a"))
    app = await world.open(graph)
    run = await app.start(graph, {})
    with pytest.raises(RunQuarantined, match="disk"):
        await run.result("30s")
    broken.clear()
    await app.release(run)
    assert await run.result("30s") == 1


async def test_a_signal_that_did_not_come_may_be_waited_for_again(world):
    graph = flow(signal("approval", timeout_us=60_000_000, on_error="quarantine"))
    app = await world.open(graph)
    run = await app.start(graph, {})
    with pytest.raises(RunQuarantined, match="took longer than 1m"):
        await run.result("30s")
    with pytest.raises(RunError, match="is no step"):
        await app.release(run, output=1)
    await app.release(run)
    await app.signal(run, "approval", "yes")
    assert await run.result("30s") == "yes"


async def test_an_item_that_is_set_aside_sets_its_node_aside_and_is_repeated_alone(world):
    sick = Sick()
    done = []

    @step
    def work(value):
        if value == 2:
            sick()
        done.append(value)
        return value

    graph = flow(
        call("f", None, step=work, with_=lambda v: {"value": v["item"]}, for_each=each([1, 2, 3], max_parallel=1)),
        call("g", good, "f"),
    )
    app = await world.open(graph)
    run = await app.start(graph, {})
    with pytest.raises(RunQuarantined):
        await run.result("30s")
    assert done == [1]
    sick.well = True
    await app.release(run)
    await run.result("30s")
    assert done == [1, 2, 3]


async def test_a_failure_beside_it_is_tried_again_with_it(world):
    sick, broken = Sick(), [True]

    def fails():
        if broken:
            raise Terminal("no")

    app, run = await set_aside(world, with_sick(sick, call("fails", fails)))
    sick.well = True
    broken.clear()
    await app.release(run)
    await run.result("30s")
    await asyncio.sleep(0)
    assert (await statuses(app, run))["fails"] == "succeeded"
