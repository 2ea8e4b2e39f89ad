"""Runs that leave memory leave nothing behind, not even work for the garbage collector."""

import asyncio
import gc
import weakref

import pytest

from ripresa import App, child, on_query, sleep, step, wait_for_signal, wait_until, workflow
from ripresa.engine.timers import Timers
from ripresa.testing import VirtualClock


@step
async def note(text: str) -> str:
    return text


@workflow
async def asleep() -> str:
    await sleep(days=30)
    return await note("awake")


@workflow
async def several_tasks() -> None:
    async def one(days):
        await asyncio.sleep(days * 86_400)

    async with asyncio.TaskGroup() as group:
        for days in (10, 20, 30):
            group.create_task(one(days))
        await asyncio.wait([group.create_task(one(5)), asyncio.ensure_future(one(6))])


@workflow
async def with_mail() -> None:
    seen = []

    @on_query("seen")
    def answer():
        return seen

    async with asyncio.timeout(10**6):
        seen.append(await wait_for_signal("go"))
        await wait_until(lambda: len(seen) > 1)


@workflow
async def parent() -> str:
    return await child(asleep)


@workflow
def plain() -> None:
    from ripresa import blocking

    blocking.sleep(days=30)


@workflow
async def finished(number: int) -> str:
    return await note(str(number))


@pytest.fixture
def collector_off():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def settled(app):
    while app.engine.working:  # noqa: ASYNC110 - the engine's own affair
        await asyncio.sleep(0)


@pytest.mark.parametrize("code", [asleep, several_tasks, with_mail, parent, plain])
async def test_code_that_is_evicted_is_freed_at_once(code, collector_off):
    async with App("memory://", workflows=[code, asleep], clock=VirtualClock(autojump=False)) as app:
        run = await app.start(code)
        await settled(app)
        held = app.engine.held[run.id]
        live, loop, main = weakref.ref(held.live), weakref.ref(held.live.loop), weakref.ref(held.live._main)
        assert live().operations or live()._mail is not None
        held.live.discard()
        held.live = None
        await asyncio.sleep(0)
        assert (live(), loop(), main()) == (None, None, None)


async def test_a_run_that_has_finished_is_freed_at_once(collector_off):
    seen = weakref.WeakSet()
    async with App("memory://", workflows=[finished]) as app:
        for number in range(20):
            run = await app.start(finished, number)
            seen.update(held.live for held in app.engine.held.values() if held.live is not None)
            await run.result()
            del run
        await asyncio.sleep(0)
        assert len(seen) <= 1  # the last one may still be on its way out


async def test_runs_that_sleep_for_a_month_leave_memory_whole(collector_off):
    config = {"resident_runs_max": 10}
    async with App("memory://", workflows=[asleep], clock=VirtualClock(autojump=False), config=config) as app:
        for number in range(2_000):
            await app.start(asleep, id=f"nap-{number}")
        await settled(app)
        assert len(app.engine.held) <= 20
        assert len(app.engine.timers._heap) < 1_000


# -- the heap ---------------------------------------------------------------------------------------------------------


async def test_cancelled_timers_are_taken_out_and_the_others_fire_in_order():
    clock = VirtualClock(autojump=False)
    timers = Timers(clock)
    start = clock.now()
    fired = []
    dues = [timers.at(start + 1 + (7919 * n) % 10_007, fired.append, (7919 * n) % 10_007) for n in range(5_000)]
    for n, due in enumerate(dues):
        if n % 10:
            due.cancel()
            due.cancel()  # twice is once
    assert len(timers._heap) <= 1_100
    clock._now = start + 20_000
    timers.fire()
    assert fired == sorted((7919 * n) % 10_007 for n in range(0, 5_000, 10))
    dues[0].cancel()  # it has fired: nothing to take out
    assert timers.next_due() is None
    assert timers._withdrawn == 0
