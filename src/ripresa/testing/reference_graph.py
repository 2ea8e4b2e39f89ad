"""Reference graphs, and stories about them: what `reference` and `scenarios` are for plain workflows."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ripresa import DAG, task
from ripresa.author.graph.definition import GraphDefinition
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


async def _drive(client: Client) -> None:
    await asyncio.gather(
        *(told(client, f"{told.__name__}-{number}") for number, told in enumerate((told_trip, told_gate)))
    )


graphs = Scenario(name="graphs", workflows=(trip, gate), drive=_drive)
"""Both at once."""
