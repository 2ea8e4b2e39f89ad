"""A graph that changed goes on with runs that were started before: names are what counts."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from ripresa import RunBlocked, RunError
from tests.author.graph.graphs import call, each, flow, signal, statuses


def first(world):
    return flow(
        call("a", world.did, with_=lambda _: {"what": "a"}),
        call("b", world.did, "a", with_=lambda v: {"what": v["item"]}, for_each=each(["x", "y"])),
        signal("go", "b"),
        call("c", world.did, "go", with_=lambda _: {"what": "c"}),
    )


async def halfway(world):
    app = await world.open(first(world))
    run = await app.start(app.workflows[0], {}, id="r")
    while len(world.ledger) < 3 or "b" not in await statuses(app, run):  # noqa: ASYNC110 - as below
        await asyncio.sleep(0.001)
    return app


async def test_another_order_and_a_new_node_are_compatible(world):
    app = await halfway(world)
    changed = flow(
        call("new", world.did, with_=lambda _: {"what": "new"}),
        call("c", world.did, "go", with_=lambda _: {"what": "c"}),
        signal("go", "b"),
        call("b", world.did, "a", with_=lambda v: {"what": v["item"]}, for_each=each(["x", "y"])),
        call("a", world.did, with_=lambda _: {"what": "a"}),
    )
    app = await world.crash(app, changed)
    await app.signal("r", "go", 1)
    await (await app.get("r")).result("30s")
    assert sorted(world.ledger) == ["a", "c", "new", "x", "y"]


async def test_a_node_that_has_run_and_is_gone_blocks_the_run(world):
    app = await halfway(world)
    app = await world.crash(app, flow(signal("go"), call("c", world.did, "go", with_=lambda _: {"what": "c"})))
    with contextlib.suppress(RunError):
        await app.signal("r", "go", 1)  # it is looked at when something comes for it
    with pytest.raises(RunBlocked, match="'a'"):
        await (await app.get("r")).result("30s")


async def test_a_crash_at_any_moment_repeats_no_node_that_had_ended(world):
    """The App is gone after each effect in turn; what the journal holds is not done again."""
    graph = first(world)
    app = await world.open(graph)
    await app.start(graph, {}, id="r")
    for effects in (1, 2, 3):
        while len(set(world.ledger)) < effects:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.001)
        run = (await app.get("r")).row.id
        ended = {event.operation for event in await app.store.history(run) if event.kind == "step_completed"}
        before = list(world.ledger)
        app = await world.crash(app)
        await app.signal("r", "nothing")
        again = world.ledger[len(before) :]
        assert not {"a": "a", "b[0]": "x", "b[1]": "y"}.keys() & ended & set(again)
    await app.signal("r", "go", 1)
    await (await app.get("r")).result("30s")
    assert set(world.ledger) == {"a", "x", "y", "c"}
