"""The virtual clock: when time jumps, when it stands, and who goes first."""

import asyncio

import pytest

from ripresa import App, Retry, Retryable, RunFailed, context, sleep, step, wait_for_signal, workflow
from ripresa.stores.memory import MemoryStore
from ripresa.testing import VirtualClock
from ripresa.testing.clock import EPOCH_US

DAY_US = 86_400_000_000


@workflow
async def naps(days: int) -> int:
    for _ in range(days):
        await sleep(days=1)
    return days


def opened(*workflows, clock):
    return opened_on("memory://", *workflows, clock=clock)


def opened_on(store, *workflows, clock):
    return App(store, workflows=workflows, clock=clock)


def days_on(clock):
    return (clock.now() - EPOCH_US) / DAY_US


async def test_time_jumps_from_one_due_moment_to_the_next():
    clock = VirtualClock()
    async with opened(naps, clock=clock) as app:
        assert await (await app.start(naps, 365)).result() == 365
    assert days_on(clock) == 365


async def test_time_that_does_not_jump_by_itself_stands_still():
    clock = VirtualClock(autojump=False)
    async with opened(naps, clock=clock) as app:
        run = await app.start(naps, 1)
        with pytest.raises(TimeoutError):
            await run.result(0.05)
    assert days_on(clock) == 0


async def test_advance_stops_at_each_due_moment_and_returns_when_every_run_waits_again():
    clock = VirtualClock(autojump=False)
    seen = []

    @step
    async def look() -> None:
        seen.append(days_on(clock))

    @workflow
    async def looks() -> None:
        while True:
            await sleep(days=1)
            await look()

    async with opened(looks, clock=clock) as app:
        await app.start(looks)
        await clock.advance(days=2, hours=12)
        assert seen == [1, 2]
        assert days_on(clock) == 2.5
        await clock.advance("12h")
        assert seen == [1, 2, 3]


async def test_advance_without_anything_to_do_moves_time_all_the_same():
    clock = VirtualClock(EPOCH_US, autojump=False)
    async with opened(naps, clock=clock):
        await clock.advance(days=1)
        await asyncio.gather(clock.advance(days=1), clock.advance(days=1))
    assert days_on(clock) == 3


async def test_a_clock_that_is_let_run_jumps_from_then_on():
    clock = VirtualClock(autojump=False)
    async with opened(naps, clock=clock) as app:
        run = await app.start(naps, 3)
        await clock.advance(days=1)
        clock.run_free()
        assert await run.result("10s") == 3


async def test_time_does_not_jump_while_a_step_is_under_way():
    clock = VirtualClock()
    seen = []

    @step
    async def slow() -> None:
        await asyncio.sleep(0.05)
        seen.append(days_on(clock))

    @workflow
    async def both() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(slow())
            group.create_task(sleep(days=1))

    async with opened(both, clock=clock) as app:
        await (await app.start(both)).result()
    assert seen == [0]


class FarAway(MemoryStore):
    """Its answers take a while, as a server's do."""

    async def get_run(self, ref):
        await asyncio.sleep(0.01)
        return await super().get_run(ref)


async def test_who_looks_again_and_again_does_not_hold_time_up():
    async with opened_on(FarAway(), naps, clock=VirtualClock()) as app:
        run = await app.start(naps, 1)
        async with asyncio.timeout(60):
            while (await run.refresh()).status != "succeeded":
                pass


async def test_time_does_not_jump_while_the_store_is_asked():
    @workflow
    async def patient() -> str:
        try:
            return await wait_for_signal("word", str, timeout="1d")
        except TimeoutError:
            return "late"

    clock = VirtualClock()
    async with opened_on(FarAway(), patient, clock=clock) as app:
        run = await app.start(patient)
        await app.signal(run, "word", "in time")
        assert await run.result("30s") == "in time"
        assert days_on(clock) == 0


async def test_delays_between_attempts_are_virtual():
    clock = VirtualClock()

    @step(retry=Retry(max_attempts=3, delay="1d", multiplier=2, max_delay="30d"))
    async def fails() -> None:
        raise Retryable(str(context().attempt))

    @workflow
    async def tries() -> None:
        await fails()

    async with opened(tries, clock=clock) as app:
        with pytest.raises(RunFailed, match="failed after 3 attempts"):
            await (await app.start(tries)).result()
    assert days_on(clock) == 3


async def test_steps_that_wait_for_their_turn_go_one_at_a_time_by_time_and_then_by_order():
    clock = VirtualClock()
    went = []

    @step
    async def turn(seconds: int, order: str) -> None:
        await clock.turn(clock.now() + seconds * 1_000_000, order)
        went.append(order)
        await asyncio.sleep(0.01)
        went.append(order)

    @workflow
    async def turns() -> None:
        async with asyncio.TaskGroup() as group:
            for seconds, order in ((2, "d"), (1, "c"), (1, "b"), (0, "a")):
                group.create_task(turn(seconds, order))

    async with opened(turns, clock=clock) as app:
        await (await app.start(turns)).result("10s")
    assert went == list("aabbccdd")
    assert clock.now() == EPOCH_US + 2_000_000
    assert clock.steps_waiting == 0


async def test_a_step_that_is_called_off_while_it_waits_holds_nobody_up():
    clock = VirtualClock()

    @step
    async def turn(days: int) -> int:
        await clock.turn(clock.now() + days * DAY_US, str(days))
        return days

    @workflow
    async def race() -> int:
        tasks = [asyncio.ensure_future(turn(days)) for days in (3, 1, 2)]
        done, rest = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in rest:
            task.cancel()
        await sleep(days=1)
        return done.pop().result()

    async with opened(race, clock=clock) as app:
        assert await (await app.start(race)).result("10s") == 1
    assert days_on(clock) == 2
    assert clock.steps_waiting == 0


async def test_a_time_limit_ends_a_step_whose_turn_would_be_later():
    clock = VirtualClock()

    @step
    async def turn(days: int) -> int:
        await clock.turn(clock.now() + days * DAY_US, "a")
        return days

    @workflow
    async def limited() -> str:
        try:
            async with asyncio.timeout(86_400):
                await turn(2)
        except TimeoutError:
            return "late"
        return "in time"

    async with opened(limited, clock=clock) as app:
        assert await (await app.start(limited)).result("10s") == "late"
    assert days_on(clock) == 1


async def test_a_signal_in_the_middle_of_a_wait():
    @workflow
    async def patient() -> str:
        try:
            return await wait_for_signal("word", str, timeout="2d")
        except TimeoutError:
            return "late"

    clock = VirtualClock(autojump=False)
    async with opened(patient, clock=clock) as app:
        run = await app.start(patient)
        await clock.advance(days=1)
        await app.signal(run, "word", "in time")
        assert await run.result("10s") == "in time"


class Slow(MemoryStore):
    """Whoever asks for tags has to wait for an answer."""

    def __init__(self):
        super().__init__()
        self.asked, self.answer = asyncio.Event(), asyncio.Event()

    async def tags(self, run):
        self.asked.set()
        await self.answer.wait()
        return await super().tags(run)


@pytest.mark.own_store
async def test_time_stands_while_somebody_waits_for_an_answer_however_often_others_ask():
    clock, store = VirtualClock(autojump=False), Slow()
    async with opened_on(store, naps, clock=clock) as app:
        run = await app.start(naps, 1)
        asking = asyncio.ensure_future(app.engine.store.tags(run.uuid))
        await store.asked.wait()
        clock.run_free()
        for _ in range(200):
            await app.get(run.id)
            await asyncio.sleep(0)
        assert days_on(clock) == 0
        store.answer.set()
        await asking
        assert await run.result("60s") == 1


async def test_who_only_looks_again_and_again_does_not_hold_time_up():
    clock = VirtualClock()
    async with opened(naps, clock=clock) as app:
        run = await app.start(naps, 3)
        while (await app.get(run.id)).row.status != "succeeded":  # noqa: ASYNC110 - that is what is tried
            await asyncio.sleep(0)
    assert days_on(clock) == 3
