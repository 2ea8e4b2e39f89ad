"""Reference workflows that wait for pools, and the scenario in which they compete for them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ripresa import Breaker, Pool, Retry, Retryable, StepFailed, Terminal, context, map_, step, workflow
from ripresa.testing.simulation import Scenario

if TYPE_CHECKING:
    from ripresa.testing.client import Client

POOLS = (
    Pool("lake", slots=2, slots_per_workflow=2),
    Pool("api", slots=3, breaker=Breaker(failures=2, window="10s", cooldown="2s"), cooldown="100ms"),
)


@step(pool="lake", pool_key=lambda pair: pair.partition("-")[0], retry=Retry(max_attempts=4, delay="300ms"))
async def draw(pair: str) -> str:
    """Takes a moment; each third fails at first."""
    await asyncio.sleep(0.05)
    if pair.endswith("2") and context().attempt == 1:
        raise Retryable(f"{pair} fails at first")
    return pair


@step(pool="lake")
async def spill(what: str) -> None:
    """Fails for good."""
    await asyncio.sleep(0.01)
    raise Terminal(f"{what} is spilt")


@step(pool="api", retry=Retry(max_attempts=30, delay="200ms", multiplier=1))
async def ask(n: int, fails: int) -> int:
    """Fails in its first attempts, so that its breaker opens."""
    await asyncio.sleep(0.02)
    if context().attempt <= fails:
        raise Retryable("the service is down")
    return n


@workflow
async def drawn(key: str, count: int) -> list[str]:
    """Many steps of one key at once."""
    return await map_(draw, [f"{key}-{n}" for n in range(count)])


@workflow
async def asked(count: int, fails: int) -> int:
    """Several steps at once on a service that is down for a while."""
    answers = await asyncio.gather(*(ask(n, fails) for n in range(count)))
    return sum(answers)


@workflow
async def spilt() -> str:
    """A step of the pool that fails for good, and one that comes after."""
    try:
        await spill("milk")
    except StepFailed:
        return await draw("s-1")
    return "dry"


WORKFLOWS = (drawn, asked, spilt)


async def drawing(client: Client, key: str, count: int) -> None:
    """As many steps as that of this key, which wait for two slots."""
    await client.start(drawn, key, count, id=f"draw-{key}")
    await client.result(f"draw-{key}", expected=[f"{key}-{n}" for n in range(count)])


async def _drawing(client: Client, key: str, count: int) -> None:
    if client.random.random() >= 0.3:
        await drawing(client, key, count)
        return
    await client.start(drawn, key, count, id=f"draw-{key}")
    await client.sleep(client.random.random() * 0.3)
    await client.cancel(f"draw-{key}")
    await client.result(f"draw-{key}")


async def _asking(client: Client, count: int) -> None:
    await client.start(asked, count, client.random.randint(1, 3), id="ask")
    await client.result("ask", expected=sum(range(count)))


async def _spilling(client: Client) -> None:
    await client.start(spilt, id="spill")
    await client.result("spill", expected="s-1")


async def _drive(client: Client) -> None:
    count = client.random.randint(3, 6)
    await asyncio.gather(_drawing(client, "a", count), _drawing(client, "b", 3), _asking(client, 4), _spilling(client))


pooled = Scenario(name="pooled", workflows=WORKFLOWS, drive=_drive, pools=POOLS)
"""Two keys that take turns, one of which may be cancelled, and a service whose breaker opens."""
