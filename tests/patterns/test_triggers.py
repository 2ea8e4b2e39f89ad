"""Triggers: WCP-23, WCP-24."""

from __future__ import annotations

import asyncio

import pytest

from ripresa import on_signal, sleep, step, wait_for_signal, workflow
from ripresa.testing import VirtualClock, app_fixture
from tests.patterns.story import completed, hours_of

pytestmark = pytest.mark.also_on_postgres


@step
async def cross(street: str) -> str:
    return f"{street} crossed"


# --8<-- [start:wcp-23]
@workflow
async def pedestrian(street: str) -> str:
    green = asyncio.Event()

    @on_signal("green")
    def light() -> None:
        green.set()  # whoever waits now goes on …
        green.clear()  # … and for those who come later it is as if nothing had been

    await sleep(hours=2)
    await green.wait()
    return await cross(street)


# --8<-- [end:wcp-23]
async def test_wcp_23_transient_trigger_one_that_comes_while_nobody_waits_is_lost():
    clock = VirtualClock(autojump=False)
    async with app_fixture(pedestrian, clock=clock, evict_after=0) as app:
        run = await app.start(pedestrian, "Main Street")
        await clock.advance(hours=1)
        await app.signal(run, "green")
        await clock.advance(hours=4)
        assert await completed(app, run) == []
        await app.signal(run, "green")

        assert await run.result() == "Main Street crossed"
        assert await hours_of(app, run, "cross") == [5]


# --8<-- [start:wcp-24]
@workflow
async def letter_box(street: str) -> str:
    await sleep(hours=2)
    letter = await wait_for_signal("letter", str)
    return await cross(f"{street} ({letter})")


# --8<-- [end:wcp-24]
async def test_wcp_24_persistent_trigger_one_that_comes_while_nobody_waits_is_kept():
    clock = VirtualClock(autojump=False)
    async with app_fixture(letter_box, clock=clock, evict_after=0) as app:
        run = await app.start(letter_box, "Main Street")
        await clock.advance(hours=1)
        await app.signal(run, "letter", "from Ada")
        await clock.advance(hours=1)

        assert await run.result() == "Main Street (from Ada) crossed"
        assert await hours_of(app, run, "cross") == [2]
