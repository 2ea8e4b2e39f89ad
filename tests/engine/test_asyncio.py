"""asyncio's own tools in workflow code: durable, deterministic, and the same when the code leaves memory."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

import ripresa
from ripresa import RunFailed, StepFailed, Terminal, sleep, step, workflow
from ripresa.testing.clock import EPOCH_US

BEGIN = datetime.fromtimestamp(EPOCH_US / 1e6, UTC)


@step
async def echo(value: int) -> int:
    return value


@step
def plain(value: int) -> int:
    return value


@step
async def fail(message: str) -> None:
    raise Terminal(message)


def elapsed() -> float:
    return (ripresa.now() - BEGIN).total_seconds()


async def test_gather_gives_results_in_order(world):
    @workflow
    async def gathers() -> list[int]:
        return await asyncio.gather(echo(1), echo(2), echo.start(3), plain.start(4))

    assert await world.run(gathers) == [1, 2, 3, 4]


async def test_gather_raises_the_first_failure_and_may_return_them(world):
    @workflow
    async def gathers() -> list[str]:
        try:
            await asyncio.gather(echo(1), fail("first"))
        except StepFailed as error:
            seen = [error.cause.message]
        results = await asyncio.gather(fail("a"), echo(2), return_exceptions=True)
        return [*seen, *(type(result).__name__ for result in results)]

    assert await world.run(gathers) == ["first", "StepFailed", "int"]


async def test_a_task_group_waits_for_all(world):
    @workflow
    async def groups() -> list[int]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(echo(value)) for value in range(3)]
        return [task.result() for task in tasks]

    assert await world.run(groups) == [0, 1, 2]


async def test_a_task_group_cancels_the_others_when_one_fails(world):
    stopped = asyncio.Event()

    @step
    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    @workflow
    async def groups() -> str:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(endless())
                group.create_task(sleep(days=3))
                group.create_task(fail("the one"))
        except* StepFailed as errors:
            seen = str(errors.exceptions[0].cause.message)
        return f"{seen} after {elapsed():g} s"

    assert await world.run(groups) == "the one after 0 s"
    await asyncio.wait_for(stopped.wait(), 20)


async def test_wait_tells_what_came_first(world):
    @workflow
    async def waits() -> list[object]:
        slow = asyncio.create_task(sleep(days=2))
        quick = asyncio.create_task(sleep(days=1))
        done, pending = await asyncio.wait({slow, quick}, return_when=asyncio.FIRST_COMPLETED)
        first = [done == {quick}, pending == {slow}, elapsed() / 86_400]
        await slow
        return [*first, elapsed() / 86_400]

    assert await world.run(waits) == [True, True, 1, 2]


async def test_wait_takes_a_timeout(world):
    @workflow
    async def waits() -> list[object]:
        long = asyncio.ensure_future(sleep(days=2))
        done, pending = await asyncio.wait([long], timeout=3600)
        return [len(done), len(pending), elapsed()]

    assert await world.run(waits) == [0, 1, 3600]


async def test_as_completed_follows_the_order_of_completion(world):
    @workflow
    async def completes() -> list[int]:
        async def after(hours: int) -> int:
            await sleep(hours=hours)
            return hours

        tasks = [asyncio.create_task(after(hours)) for hours in (3, 1, 2)]
        return [await one for one in asyncio.as_completed(tasks)]

    assert await world.run(completes) == [1, 2, 3]


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_as_completed_of_bare_coroutines_is_refused(world):
    """asyncio puts them into a set, which lies in another order in another process."""

    @workflow
    async def completes() -> None:
        async def one() -> None:
            await echo(1)

        for first in asyncio.as_completed([one(), one()]):
            await first

    with pytest.raises(RunFailed, match=r"give it tasks, as in asyncio.as_completed\("):
        await world.run(completes)


async def test_a_set_of_tasks_lies_in_the_same_order_on_replay(world):
    """`asyncio.wait` returns sets: what the code does with each in turn is asked for in the same order again."""

    @workflow
    async def waits() -> int:
        async def one(value: int) -> int:
            return await echo(value)

        tasks = [asyncio.create_task(one(value)) for value in range(40)]
        done, _ = await asyncio.wait(tasks)
        total = 0
        for task in done:
            total += await echo(task.result())
        done, _ = await asyncio.wait({asyncio.ensure_future(echo(value)) for value in range(40)})
        for task in done:
            total += await echo(task.result())
        return total

    assert await world.run(waits) == 2 * sum(range(40))


async def test_timeout_is_durable_and_stops_the_step_under_it(world):
    stopped = asyncio.Event()

    @step
    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    @workflow
    async def limited() -> list[object]:
        try:
            async with asyncio.timeout(60):
                await endless()
        except TimeoutError:
            return ["out", elapsed()]
        return []

    app = await world.open(limited)
    run = await app.start(limited)
    await world.clock_to(app, 60)
    assert await run.result("30s") == ["out", 60]
    await asyncio.wait_for(stopped.wait(), 20)


@pytest.mark.parametrize("seconds", [0, -1])
async def test_a_timeout_that_has_passed_already_runs_out(world, seconds):
    @workflow
    async def limited(seconds: float) -> str:
        try:
            async with asyncio.timeout(seconds):
                await sleep(1)
        except TimeoutError:
            return "out"
        return "in"

    assert await world.run(limited, seconds) == "out"


async def test_timeouts_nest_and_are_put_off(world):
    @workflow
    async def nests() -> list[object]:
        seen: list[object] = []
        try:
            async with asyncio.timeout(100):
                try:
                    async with asyncio.timeout(10):
                        await sleep(50)
                except TimeoutError:
                    seen.append(elapsed())
                await sleep(200)
        except TimeoutError:
            seen.append(elapsed())
        async with asyncio.timeout(10) as limit:
            limit.reschedule(asyncio.get_running_loop().time() + 1000)
            await sleep(500)
        seen.append(elapsed())
        async with asyncio.timeout(None):
            await sleep(100)
        return [*seen, elapsed()]

    assert await world.run(nests) == [10, 100, 600, 700]


async def test_wait_for_runs_out_or_returns(world):
    @workflow
    async def waits() -> list[object]:
        value = await asyncio.wait_for(echo(1), 10)
        try:
            await asyncio.wait_for(sleep(100), 10)
        except TimeoutError:
            return [value, elapsed()]
        return []

    assert await world.run(waits) == [1, 10]


async def test_events_queues_locks_and_semaphores_work(world):
    @workflow
    async def tools() -> list[object]:
        ready = asyncio.Event()
        queue: asyncio.Queue[int] = asyncio.Queue(maxsize=2)
        lock = asyncio.Lock()
        gate = asyncio.Semaphore(2)
        barrier = asyncio.Condition()
        inside = most = 0
        got: list[int] = []

        async def produce() -> None:
            for value in range(5):
                await queue.put(await echo(value))
            ready.set()

        async def consume() -> None:
            while len(got) < 5:
                async with lock:
                    got.append(await queue.get())

        async def bounded(value: int) -> int:
            nonlocal inside, most
            async with gate:
                inside += 1
                most = max(most, inside)
                await echo(value)
                inside -= 1
            return value

        async def notified() -> str:
            async with barrier:
                await barrier.wait()
                return "notified"

        waiter = asyncio.create_task(notified())
        await asyncio.gather(produce(), consume(), ready.wait())
        numbers = await asyncio.gather(*(bounded(value) for value in range(6)))
        async with barrier:
            barrier.notify_all()
        return [got, numbers, most, await waiter]

    assert await world.run(tools) == [[0, 1, 2, 3, 4], [0, 1, 2, 3, 4, 5], 2, "notified"]


async def test_shield_keeps_what_is_inside_going(world):
    @workflow
    async def shields() -> list[object]:
        inner = asyncio.ensure_future(echo_later(7))
        try:
            async with asyncio.timeout(1):
                await asyncio.shield(inner)
        except TimeoutError:
            return [elapsed(), await inner, elapsed()]
        return []

    async def echo_later(value: int) -> int:
        await sleep(10)
        return await echo(value)

    assert await world.run(shields) == [1, 7, 10]


async def test_a_cancelled_task_takes_its_step_and_its_timer_along(world):
    @workflow
    async def cancels() -> list[object]:
        sleeper = asyncio.create_task(sleep(days=9))
        await echo(1)
        sleeper.cancel()
        seen: list[object] = []
        try:
            await sleeper
        except asyncio.CancelledError:
            seen.append(sleeper.cancelled())
        await sleep(5)
        return [*seen, elapsed()]

    assert await world.run(cancels) == [True, 5]


async def test_async_generators_and_context_managers_are_plain_python(world):
    from contextlib import asynccontextmanager

    trace: list[str] = []

    @asynccontextmanager
    async def around():
        yield await echo(1)
        trace.append("out")

    async def numbers(count: int):
        for value in range(count):
            yield await echo(value)

    @workflow
    async def plain_python() -> list[int]:
        async with around() as first:
            return [first, *[value async for value in numbers(3)]]

    assert await world.run(plain_python) == [1, 0, 1, 2]


async def test_context_variables_are_those_of_their_task(world):
    from contextvars import ContextVar

    who: ContextVar[str] = ContextVar("who", default="nobody")

    @workflow
    async def contexts() -> list[str]:
        async def named(name: str) -> str:
            who.set(name)
            await echo(1)
            plain(1)
            return who.get()

        names = await asyncio.gather(named("a"), named("b"))
        return [*names, who.get()]

    assert await world.run(contexts) == ["a", "b", "nobody"]
    assert who.get() == "nobody"


@pytest.mark.parametrize(
    ("spelling", "seconds"),
    [
        (("1h30m",), 5400),
        (("PT1H30M",), 5400),
        (("90s",), 90),
        (("1.5h",), 5400),
        (("250ms",), 0.25),
        ((90,), 90),
        ((0.5,), 0.5),
        ((2.3,), 2.3),
        ((timedelta(minutes=1, microseconds=1),), 60.000001),
        (("2d",), 172_800),
        (("1w",), 604_800),
        ((0,), 0),
    ],
)
async def test_sleep_takes_every_spelling_of_a_duration(memory, spelling, seconds):
    @workflow
    async def sleeps() -> float:
        await sleep(*spelling)
        return elapsed()

    assert await memory.run(sleeps) == seconds


@pytest.mark.parametrize(
    ("parts", "seconds"),
    [
        ({"days": 30}, 2_592_000),
        ({"hours": 1.5}, 5400),
        ({"minutes": 2, "seconds": 0.25}, 120.25),
        ({"days": 1, "hours": 1, "minutes": 1, "seconds": 1}, 90_061),
        ({}, 0),
    ],
)
async def test_sleep_takes_days_hours_minutes_and_seconds(memory, parts, seconds):
    @workflow
    async def sleeps() -> float:
        await sleep(**parts)
        return elapsed()

    assert await memory.run(sleeps) == seconds


@pytest.mark.parametrize(
    "wrong", ["soon", "", "-1s", "1y", "1h 30", -1, float("nan"), float("inf"), True, "101y", 1e12]
)
async def test_sleep_refuses_what_is_no_duration(memory, wrong):
    @workflow
    async def sleeps() -> None:
        await sleep(wrong)

    with pytest.raises(RunFailed, match="is not a duration") as caught:
        await memory.run(sleeps)
    assert caught.value.cause.type == "ValueError"


async def test_sleep_takes_one_spelling_at_a_time(memory):
    @workflow
    async def sleeps() -> None:
        await sleep("1h", minutes=3)

    with pytest.raises(RunFailed, match="not both"):
        await memory.run(sleeps)


async def test_asyncio_sleep_is_durable_too(world):
    @workflow
    async def sleeps() -> float:
        await asyncio.sleep(0)
        await asyncio.sleep(3600)
        return elapsed()

    assert await world.run(sleeps) == 3600


async def test_sleep_until_waits_for_the_moment_in_any_zone(world):
    @workflow
    async def sleeps() -> list[float]:
        seen = []
        for moment in (
            "2026-01-01T01:00:00+00:00",
            "2026-01-01T03:00:00+01:00",
            BEGIN + timedelta(hours=5),
            "2026-01-01T00:00:00Z",  # has passed: no wait
        ):
            await ripresa.sleep_until(moment)
            seen.append(elapsed() / 3600)
        return seen

    assert await world.run(sleeps) == [1, 2, 5, 5]


@pytest.mark.parametrize("wrong", ["2026-01-01T00:00:00", datetime(2026, 1, 1), "tomorrow"])  # noqa: DTZ001 - is what is refused
async def test_sleep_until_wants_a_time_zone(memory, wrong):
    @workflow
    async def sleeps() -> None:
        await ripresa.sleep_until(wrong)

    with pytest.raises(RunFailed, match=r"has no time zone|Invalid isoformat"):
        await memory.run(sleeps)


async def test_a_month_of_sleep_survives_every_restart(every_world):
    @workflow
    async def patient() -> float:
        for _ in range(3):
            await sleep(days=10)
        return elapsed() / 86_400

    world = every_world
    world.clock = world.clock_that_stands()
    app = await world.open(patient)
    run = await app.start(patient, id="patient")
    for day in range(0, 30, 6):
        await world.clock.advance(days=6)
        assert (await run.refresh()).status == ("succeeded" if day == 24 else "waiting")
        app = await world.crash(app)
        run = await app.get("patient")
    assert await run.result("30s") == 30


async def test_a_callback_that_raises_harms_nobody_else(world):
    """As in any asyncio program: the error is reported, and the loop goes on."""

    @workflow
    async def careless() -> int:
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        handle = asyncio.ensure_future(echo(1))
        handle.add_done_callback(lambda _: 1 / 0)
        return await handle

    assert await world.run(careless) == 1


@pytest.mark.parametrize("kind", [SystemExit])
async def test_an_exit_in_a_task_of_the_workflow_fails_the_run_and_not_the_engine(world, kind):
    @workflow
    async def exits() -> None:
        async def leave() -> None:
            await echo(1)
            raise kind("out")

        await asyncio.gather(leave(), sleep(days=1))

    @workflow
    async def other() -> int:
        return await echo(2)

    app = await world.open(exits, other)
    run = await app.start(exits)
    with pytest.raises(RunFailed, match="out"):
        await run.result("10s")
    assert await (await app.start(other)).result("10s") == 2


async def test_an_exit_of_the_workflow_fails_the_run(world):
    @workflow
    def exits() -> None:
        raise SystemExit(3)

    with pytest.raises(RunFailed, match="SystemExit: 3"):
        await world.run(exits)


async def test_a_plain_call_is_left_when_its_task_is_cancelled(world):
    """`result()` is an await by another name: a timeout around it ends it."""

    @step
    async def endless() -> None:
        await asyncio.Event().wait()

    @workflow
    async def limited() -> float:
        try:
            async with asyncio.timeout(60):  # noqa: ASYNC100 - result() awaits
                endless.start().result()
        except TimeoutError:
            return elapsed()
        return -1

    app = await world.open(limited)
    run = await app.start(limited)
    await world.clock_to(app, 60)
    assert await run.result("10s") == 60
