"""Reference workflows whose steps workers elsewhere carry out, and a scenario in which engines come and go."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ripresa import Pool, Retry, Retryable, context, map_, step, wait_for_signal, workflow
from ripresa.testing.simulation import Scenario

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from ripresa.testing.client import Client

POOLS = (Pool("far", slots=1, runtime="celery"),)


@step(runtime="celery", retry=Retry(max_attempts=4, delay="200ms"))
async def haul(n: int, fails: int) -> int:
    """Takes its time at a worker's, and fails at first."""
    await asyncio.sleep(0.3)
    if context().attempt <= fails:
        raise Retryable(f"{n} fails at first")
    return n


@step(pool="far")
async def ferry(n: int) -> int:
    """Waits for a slot, and keeps it whatever becomes of its engine."""
    await asyncio.sleep(0.7)
    return n


@step
async def weigh(n: int) -> int:
    """Here."""
    await asyncio.sleep(0.02)
    return n


@workflow
async def hauled(n: int, fails: int) -> int:
    """Here and there, one after the other."""
    return await weigh(n) + await haul(n, fails) + await weigh(n) + await haul(n, 0)


@workflow
async def ferried(count: int) -> list[int]:
    """More at once than there are slots."""
    return await map_(ferry, range(count))


@workflow
async def hurried(n: int, seconds: float) -> int:
    """Gives up what takes too long, and goes on for a while."""

    async def at_most(step: Awaitable[int]) -> int:
        try:
            async with asyncio.timeout(seconds):
                return await step
        except TimeoutError:
            return -n

    got = await asyncio.gather(at_most(haul(n, 0)), at_most(ferry(n)))
    await wait_for_signal("enough")
    return sum(got)


WORKFLOWS = (hauled, ferried, hurried)


async def _result(client: Client, name: str, expected: object = ...) -> None:
    """Who loses its worker, or its engine, again and again is set aside; here a person repeats it."""
    while await client.result(name) == "quarantined":
        await client.release(name)
    if expected is not ...:
        await client.result(name, expected=expected)


async def _hauling(client: Client, n: int) -> None:
    await client.start(hauled, n, client.random.randint(0, 2), id=f"haul-{n}")
    if client.random.random() < 0.2:
        await client.sleep(client.random.random())
        await client.cancel(f"haul-{n}")
        await _result(client, f"haul-{n}")
        return
    await _result(client, f"haul-{n}", 4 * n)


async def _ferrying(client: Client) -> None:
    await client.start(ferried, 4, id="ferry")
    await _result(client, "ferry", list(range(4)))


async def _hurrying(client: Client) -> None:
    """What it has given up stands in nobody's way, though it goes on."""
    await client.start(hurried, 7, client.random.random() * 2, id="hurry")
    await _ferrying(client)
    await client.signal("hurry", "enough", "enough")
    await _result(client, "hurry")


async def _leaving(client: Client) -> None:
    for _ in range(client.random.randint(0, 2)):
        await client.sleep(client.random.random())
        await client.drain(client.random.random())


async def _drive(client: Client) -> None:
    await asyncio.gather(*(_hauling(client, n) for n in (1, 2)), _hurrying(client), _leaving(client))


remote = Scenario(name="remote", workflows=WORKFLOWS, drive=_drive, engines=2, pools=POOLS)
"""Workers that fall silent, ids that are lost on their way, and engines that leave their tasks to one another."""
