"""Reference workflows whose steps need labels, and the scenario in which their runs go from engine to engine."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ripresa import Retry, Retryable, Terminal, context, sleep, step, wait_for_signal, workflow
from ripresa.testing.simulation import Scenario

if TYPE_CHECKING:
    from ripresa.testing.client import Client

LABELS = (("gpu=a100", "eu"), ("gpu=t4",), ())
"""Those of each engine."""


@step
async def fetch(n: int) -> int:
    """Any engine's."""
    await asyncio.sleep(0.02)
    return n


@step(labels={"gpu": "a100"}, retry=Retry(max_attempts=4, delay="200ms"))
async def train(n: int) -> int:
    """One engine's; fails at first."""
    await asyncio.sleep(0.05)
    if n % 2 and context().attempt == 1:
        raise Retryable(f"{n} fails at first")
    return n


@step(labels="gpu")
async def score(n: int) -> int:
    """Two engines'."""
    await asyncio.sleep(0.03)
    return n


@step(labels="gpu=t4")
async def shrink(n: int) -> int:
    """Another engine's."""
    await asyncio.sleep(0.03)
    return n


@workflow
async def there_and_back(n: int) -> int:
    """From one engine to the next, and back."""
    return await fetch(n) + await train(n) + await shrink(n) + await score(n) + await train(n)


@workflow
async def side_by_side(n: int) -> int:
    """Needs that no engine meets alone, a timer and a signal, at the same time."""

    async def slept() -> int:
        await sleep(seconds=0.4)
        return await fetch(n)

    async def told() -> int:
        return await score(await wait_for_signal("go", int))

    return sum(await asyncio.gather(train(n), shrink(n), slept(), told()))


@step(labels={"eu"})
async def unsell(n: int) -> int:
    """What undoes, where it may be done."""
    await asyncio.sleep(0.02)
    return n


@step(compensate=unsell, labels={"gpu"})
async def sell(n: int) -> int:
    """Is undone."""
    await asyncio.sleep(0.02)
    return n


@workflow
async def undone(n: int) -> int:
    """Fails when it has been to an engine, and is undone at another."""
    await sell(n)
    await shrink(n)
    raise Terminal("sold out")


WORKFLOWS = (there_and_back, side_by_side, undone)


async def _travelling(client: Client, n: int) -> None:
    await client.start(there_and_back, n, id=f"there-{n}")
    if client.random.random() < 0.3:
        await client.sleep(client.random.random() * 0.4)
        await client.cancel(f"there-{n}")
        await client.result(f"there-{n}")
        return
    await client.result(f"there-{n}", expected=5 * n)


async def _splitting(client: Client, n: int) -> None:
    await client.start(side_by_side, n, id=f"side-{n}")
    await client.sleep(client.random.random() * 0.5)
    if client.random.random() < 0.5:
        await client.pause(f"side-{n}")
        await client.sleep(client.random.random() * 0.5)
        await client.resume(f"side-{n}")
    await client.signal(f"side-{n}", "go", 7)
    await client.result(f"side-{n}", expected=3 * n + 7)


async def _undoing(client: Client) -> None:
    await client.start(undone, 1, id="undone")
    await client.result("undone")


async def _drive(client: Client) -> None:
    await asyncio.gather(
        *(_travelling(client, n) for n in (1, 2)), *(_splitting(client, n) for n in (3, 4)), _undoing(client)
    )


labelled = Scenario(name="labelled", workflows=WORKFLOWS, drive=_drive, engines=len(LABELS), labels=LABELS)
"""Three engines, each with labels of its own, and runs that none of them can carry out alone."""
