"""Reference graphs, and stories about them: what `reference` and `scenarios` are for plain workflows."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from ripresa import DAG, task
from ripresa.author.graph.definition import Concurrency, GraphDefinition
from ripresa.author.graph.plan import Dependency, Graph, Node
from ripresa.author.graph.works import Call, Pause, Receive
from ripresa.testing import reference as r
from ripresa.testing.simulation import Scenario

if TYPE_CHECKING:
    from ripresa.testing.client import Client


async def numbers(count: int) -> list[int]:
    """Items for a fan-out."""
    return list(range(count))


async def double(item: int) -> int:
    """The work of one item."""
    return item * 2


async def total(doubled: list[int], booked: str) -> int:
    """Joins what was apart."""
    return sum(doubled) + len(booked)


def _trip() -> DAG:
    """A fan-out, two steps that can be undone, one that may fail for good, one that is skipped, one at the end."""
    with DAG("trip", params={"item": "tin", "fails": 0, "count": 4, "name": "a"}) as dag:
        items = task(numbers)
        doubled = task(double, "doubled").map(items, max_parallel=2)
        booked = task(r.reserve, "booked")
        paid = task(r.charge, "paid")
        shipped = task(r.ship, "shipped")
        joined = task(total)
        skipped = task(r.flaky, "skipped", run_if="any_failed")
        swept = task(r.flaky, "swept", finally_=True)
        [doubled, booked] >> joined
        booked >> paid >> shipped >> skipped
    _ = swept, dag.graph
    return dag


def _gate() -> GraphDefinition:
    """A wait, a signal with a time limit, and a step that wants a person to look."""
    odd = Call.of("odd", r.suspicious, lambda _: ((), {"name": "g"}))
    nodes = (
        Node(name="pause", work=Pause(for_us=lambda _: 2_000_000)),
        Node(name="asked", work=Receive(), depends_on=(Dependency("pause"),), timeout_us=5_000_000),
        Node(name="odd", work=odd, depends_on=(Dependency("asked"),)),
    )
    return GraphDefinition(Graph(name="gate", nodes=nodes))


def _lane() -> GraphDefinition:
    """Of its runs one goes on at a time; the others wait in line."""
    enter = Call.of("enter", r.add, lambda values: ((), {"a": values["params"]["n"], "b": 1}))
    leave = Call.of("leave", r.flaky, lambda _: ((), {"name": "leave", "fails": 1}))
    nodes = (
        Node(name="enter", work=enter),
        Node(name="rest", work=Pause(for_us=lambda _: 700_000), depends_on=(Dependency("enter"),)),
        Node(name="leave", work=leave, depends_on=(Dependency("rest"),)),
    )
    lane = GraphDefinition(Graph(name="lane", nodes=nodes))
    lane.concurrency = Concurrency(lambda _: "", 1, "queue")
    return lane


lane = _lane()
trip = _trip()
gate = _gate()


async def told_trip(client: Client, id: str) -> None:
    """It goes well, or is undone, or is cancelled, or loses its engine."""
    dice = client.random
    item = dice.choice(("tin", "tin", "lead"))
    await client.start(trip, {"item": item, "fails": dice.randint(0, 2)}, id=id)
    turn = dice.random()
    if turn < 0.25:
        await client.sleep(dice.random() * 0.3)
        await client.cancel(id)
    elif turn < 0.5:
        await client.sleep(dice.random() * 0.1)
        await client.restart()
    status = await client.result(id)
    if status == "failed" and dice.random() < 0.5:
        await client.retry(id)
        await client.result(id)


async def told_gate(client: Client, id: str) -> None:
    """The signal comes in time or not; a person releases, answers or discards."""
    dice = client.random
    await client.start(gate, {}, id=id)
    await client.sleep(dice.random() * 10)
    await client.signal(id, "asked", f"{id}-go")
    if dice.random() < 0.3 and await client.result(id) == "quarantined":
        await client.release(id)
    how: dict[str, Any] = dice.choice(({"output": "fine"}, {"discard": True}))
    while await client.result(id) == "quarantined":
        await client.release(id, **how)


async def told_lane(client: Client, id: str) -> None:
    """Three at once, of which one may be cancelled while it waits; never do two go on at a time."""
    names = [f"{id}-{number}" for number in range(3)]
    dice = client.random
    await asyncio.gather(*(client.start(lane, {"n": number}, id=name) for number, name in enumerate(names)))
    if dice.random() < 0.5:
        await client.sleep(dice.random())
        await client.cancel(dice.choice(names))
    for name in names:
        await client.result(name)
    spans = sorted((row.started_at, row.finished_at or 0) for row in map(client.row, names) if row and row.started_at)
    if any(after[0] < before[1] for before, after in pairwise(spans)):
        raise AssertionError(f"{id}: two runs of a line of one went on at the same time: {spans}")


async def _drive(client: Client) -> None:
    await asyncio.gather(
        *(told(client, f"{told.__name__}-{number}") for number, told in enumerate((told_trip, told_gate, told_lane)))
    )


graphs = Scenario(name="graphs", workflows=(trip, gate, lane), drive=_drive)
"""All three at once."""
