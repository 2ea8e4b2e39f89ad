"""Scenarios on the reference workflows: one that mixes stories at random, and one each for the exhaustive search."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from ripresa.ports.rows import Message
from ripresa.testing import reference as r
from ripresa.testing.reference_labels import labelled
from ripresa.testing.reference_once import once
from ripresa.testing.reference_pools import drawing, pooled
from ripresa.testing.reference_remote import remote
from ripresa.testing.simulation import Scenario

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from ripresa.contracts.durations import Duration
    from ripresa.testing.client import Client


class Story(Protocol):
    """Speaks to the client about one run, whose id it is given."""

    __name__: str

    def __call__(self, client: Client, id: str) -> Coroutine[Any, Any, None]: ...


async def _sequential(client: Client, id: str) -> None:
    n = client.random.randint(1, 6)
    await client.start(r.sequential, n, id=id)
    await client.result(id, expected=sum(range(n)))
    await client.get(id)


async def _retrying(client: Client, id: str) -> None:
    await client.start(r.retrying, client.random.randint(0, 3), id=id)
    await client.result(id, expected="a, not hopeless")


async def _approval(client: Client, id: str) -> None:
    await client.start(r.approval, client.random.choice((0.5, 3, 20)), id=id)
    for i in range(3):
        await client.sleep(client.random.random() * 2)
        await client.signal(id, "approve", f"{id}-{i}")
    await client.result(id)


async def _burst(client: Client, id: str) -> None:
    """Signals long before anybody waits, several at once."""
    await client.start(r.approval, 36_000, id=id)
    await asyncio.gather(*(client.signal(id, "approve", f"{id}-{i}") for i in range(3)))
    got = await client.result(id)
    if sorted(got) != [f"{id}-{i}" for i in range(3)] and client.asked("signal", id) == 3:
        raise AssertionError(f"{id}: three signals were sent once each, and the run got {got}")


async def _approval_outside(client: Client, id: str) -> None:
    uuid = await client.start(r.approval, 20, id=id)
    message = Message(f"{uuid}-m", uuid, "signal", "approve", f'"{id}-out"', 0)
    await client.outside(message)
    if client.random.random() < 0.5:
        await client.outside(message)  # the same message twice is kept once
    for i in range(2):
        await client.signal(id, "approve", f"{id}-{i}")
    await client.result(id)


async def _family(client: Client, id: str) -> None:
    await client.start(r.family, 3, id=id)
    await client.result(id, expected=[10, 11, 12, 110])


async def _fan(client: Client, id: str) -> None:
    await client.start(r.fan, 4, id=id)
    await client.result(id, expected=[10, 12, 14, 16])


async def _purchase(client: Client, id: str) -> None:
    item = client.random.choice(("lead", "lead", "tin"))
    await client.start(r.purchase, item, client.random.randint(0, 2), id=id)
    if client.random.random() < 0.5:
        await client.sleep(client.random.random() * 0.2)
        await client.cancel(id)
    await client.result(id)


async def _retried(client: Client, id: str) -> None:
    await client.start(r.purchase, "lead", 0, id=id)
    await client.result(id)
    await client.retry(id)
    await client.result(id)


async def _patient(client: Client, id: str) -> None:
    await client.start(r.patient, 60, id=id)
    await client.sleep(client.random.random() * 5)
    await client.cancel(id)
    await client.cancel(id)
    await client.result(id)


async def _paused(client: Client, id: str) -> None:
    await client.start(r.retrying, 2, id=id)
    await client.sleep(client.random.random() * 3)
    await client.pause(id)
    await client.sleep(client.random.random() * 6)
    await client.resume(id)
    await client.result(id, expected="a, not hopeless")


async def _pause_and_signal(client: Client, id: str) -> None:
    await client.start(r.approval, 30, id=id)
    await client.sleep(client.random.random())
    await client.pause(id)
    for i in range(3):
        await client.signal(id, "approve", f"{id}-{i}")
    await client.resume(id)
    await client.result(id)


async def _counter(client: Client, id: str) -> None:
    await client.start(r.counter, 3, 0, id=id)
    await client.result(id, expected=6)


async def _account(client: Client, id: str) -> None:
    await client.start(r.account, id=id)
    for amount in (1, 2):
        await client.update(id, "deposit", amount)
    await client.query(id, "seen")
    await client.signal(id, "close", f"{id}-close")
    await client.result(id)


async def _odd(client: Client, id: str) -> None:
    await client.start(r.odd, "parcel", id=id)
    await client.result(id)
    await client.sleep(client.random.random() * 2)
    how: dict[str, Any] = client.random.choice(({"output": "fine"}, {"discard": True}))
    await client.release(id, **how)
    if await client.result(id) == "quarantined":
        await client.release(id, **how)
    await client.result(id)


async def _twice(client: Client, id: str) -> None:
    await asyncio.gather(*(client.start(r.sequential, 3, id=id) for _ in range(3)))
    await client.result(id, expected=3)
    await client.start(r.sequential, 3, id=id)


async def _plainly(client: Client, id: str) -> None:
    await client.start(r.plainly, 4, id=id)
    await client.result(id, expected=12)


async def _race(client: Client, id: str) -> None:
    await client.start(r.race, id=id)
    await client.result(id, expected="1 first")


async def _restart(client: Client, id: str) -> None:
    await client.start(r.sequential, 5, id=id)
    await client.sleep(client.random.random() * 0.1)
    await client.restart()
    await client.result(id, expected=10)


async def _drained(client: Client, id: str) -> None:
    """An engine that leaves lets what is under way end, and passes the rest on."""
    await client.start(r.fan, 6, id=id)
    await client.sleep(client.random.random() * 0.1)
    await client.drain(client.random.random() * 3)
    await client.result(id, expected=[10, 12, 14, 16, 18, 20])


STORIES: tuple[Story, ...] = (
    _sequential,
    _retrying,
    _approval,
    _burst,
    _approval_outside,
    _family,
    _fan,
    _purchase,
    _retried,
    _patient,
    _paused,
    _pause_and_signal,
    _counter,
    _account,
    _odd,
    _twice,
    _plainly,
    _race,
    _restart,
    _drained,
)


def _name(story: Story) -> str:
    return story.__name__[1:]


def _alone(story: Story, evict_after: Duration | None = None) -> Scenario:
    drive = told(story)
    if evict_after is None:
        return Scenario(name=_name(story), workflows=r.WORKFLOWS, drive=drive)
    return Scenario(name=_name(story), workflows=r.WORKFLOWS, drive=drive, evict_after=(evict_after,))


def told(*stories: Story) -> Callable[[Client], Awaitable[None]]:
    """All these stories at once, each on a run of its own."""

    async def drive(client: Client) -> None:
        await asyncio.gather(*(story(client, f"{_name(story)}-{i}") for i, story in enumerate(stories)))

    return drive


async def _mixed(client: Client) -> None:
    count = client.random.randint(2, 4)
    await told(*(client.random.choice(STORIES) for _ in range(count)))(client)


mixed = Scenario(name="mixed", workflows=r.WORKFLOWS, drive=_mixed)
"""Two to four stories at a time, drawn from all."""

fleet = Scenario(name="fleet", workflows=r.WORKFLOWS, drive=_mixed, engines=3)
"""The same on three engines: clients speak to any, and each may die, stop and come back as a zombie."""


async def _handed_on(client: Client, id: str) -> None:
    """A step, a wait that parks the run, and a step: each may be another engine's."""
    await client.start(r.approval, 36_000, id=id)
    for i in range(3):
        await client.signal(id, "approve", f"{id}-{i}")
    await client.result(id)


pooled_fleet = replace(pooled, name="pooled_fleet", engines=3)
"""Three engines compete for slots too."""


async def _queue_while_engines_leave(client: Client) -> None:
    async def leave() -> None:
        for _ in range(client.random.randint(2, 6)):
            await client.sleep(client.random.random() * 0.5)
            await client.drain(client.random.random() * 2)

    await asyncio.gather(drawing(client, "a", 10), drawing(client, "b", 10), leave(), leave())


pooled_drained = replace(pooled_fleet, name="pooled_drained", drive=_queue_while_engines_leave)
"""Engines leave in good order, and pass on runs whose steps stand in line."""

fleet_enumerated = Scenario(
    name="fleet_enumerated", workflows=r.WORKFLOWS, drive=told(_handed_on), evict_after=(0,), engines=2
)
"""The exhaustive search on two engines."""

ENUMERATED = {
    _name(story): _alone(story, evict_after)
    for story, evict_after in (
        (_sequential, "30s"),
        (_retrying, "30s"),
        (_approval, "200ms"),
        (_family, "30s"),
        (_fan, 0),
        (_purchase, "30s"),
    )
}
"""The six of the exhaustive search: steps, retries, timer and signal, children, fan-out with eviction, a saga."""

FLEET = {f"{_name(story)}_fleet": replace(_alone(story), name=f"{_name(story)}_fleet", engines=3) for story in STORIES}
"""Each story alone, on three engines."""

ALL = {
    "mixed": mixed,
    "pooled": pooled,
    "pooled_fleet": pooled_fleet,
    "pooled_drained": pooled_drained,
    "labelled": labelled,
    "once": once,
    "remote": remote,
    "fleet": fleet,
    "fleet_enumerated": fleet_enumerated,
    **{_name(story): _alone(story) for story in STORIES},
    **FLEET,
    **ENUMERATED,
}
"""By name, for the command line."""
