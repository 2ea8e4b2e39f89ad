"""Reference workflows of what is to happen once: effects that several runs share, and steps that are not repeated."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ripresa import Retry, Retryable, StepInterrupted, context, step, wait_for_signal, workflow
from ripresa.testing.simulation import Scenario

if TYPE_CHECKING:
    from ripresa.testing.client import Client


@step(effect=lambda day, _fails: f"report:{day}", retry=Retry(max_attempts=4, delay="200ms"))
async def print_report(day: str, fails: int) -> str:
    """Says which run printed it, so that two reports differ."""
    await asyncio.sleep(0.05)
    if context().attempt <= fails:
        raise Retryable("no paper")
    return f"{day}, printed by {context().run_id}"


@step(at_most_once=True)
async def send(to: str) -> str:
    """A letter that must not come twice."""
    await asyncio.sleep(0.05)
    return to


@workflow
async def wants(day: str, fails: int) -> str:
    """Has the report printed, or gets what another had printed."""
    return await print_report(day, fails)


@workflow
async def hasty(day: str, fails: int, seconds: float) -> str:
    """Wants the report at once or not at all, and goes on with something else."""
    try:
        async with asyncio.timeout(seconds):
            return await print_report(day, fails)
    except TimeoutError:
        return await wait_for_signal("enough", str)


@workflow
async def post(count: int) -> list[str]:
    """Letters one after the other; of one that was cut off nobody knows whether it was sent."""

    async def sent(to: str) -> str:
        try:
            return await send(to)
        except StepInterrupted:
            return "perhaps"

    return [await sent(f"{n}") for n in range(count)]


WORKFLOWS = (wants, hasty, post)


async def _reported(client: Client, day: str) -> None:
    """Who gave up stands in nobody's way, though its run goes on."""
    fails = client.random.randint(0, 2)
    names = [f"wants-{day}-{n}" for n in range(2)]
    await client.start(hasty, day, fails, client.random.random() * 0.2, id=f"hasty-{day}")
    await client.sleep(client.random.random() * 0.1)
    for name in names:
        await client.start(wants, day, fails, id=name)
    if client.random.random() < 0.3:
        await client.sleep(client.random.random() * 0.2)
        await client.cancel(names[0])
    told = {await _result(client, name) for name in names}
    await client.signal(f"hasty-{day}", "enough", f"enough of {day}")
    told.add(await _result(client, f"hasty-{day}"))
    if len(told - {"cancelled", f"enough of {day}"}) > 1:
        raise AssertionError(f"one report was to be printed of {day}, and these were: {told}")


async def _result(client: Client, name: str) -> str:
    """Who waits for another's printing loses its engine as often as that."""
    while (told := await client.result(name)) == "quarantined":
        await client.release(name)
    return str(told)


async def _posted(client: Client) -> None:
    await client.start(post, 3, id="post")
    await client.result("post")


async def _left(client: Client) -> None:
    for _ in range(client.random.randint(0, 2)):
        await client.sleep(client.random.random() * 0.5)
        await client.drain(client.random.random())


async def _drive(client: Client) -> None:
    await asyncio.gather(_reported(client, "monday"), _reported(client, "tuesday"), _posted(client), _left(client))


once = Scenario(name="once", workflows=WORKFLOWS, drive=_drive, engines=3)
"""Runs that want the same done, of which some give up, and letters; engines may leave."""
