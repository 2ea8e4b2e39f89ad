"""One effect for several runs: whoever is first does it, and all get its output."""

import asyncio

import pytest

from ripresa import EffectConflict, Retry, RunCancelled, RunFailed, step, workflow
from ripresa.ports.effects import Effect


class Press:
    """Prints a report once a day, however many runs want it."""

    def __init__(self, world, *, fail=0, retry=None):
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()
        self.failures = fail

        @step(effect=lambda day: f"report:{day}", retry=retry)
        async def print_report(day: str) -> str:
            world.did(day)
            self.begun.set()
            await self.go_on.wait()
            if self.failures:
                self.failures -= 1
                raise ConnectionError("no paper")
            return f"report of {day}"

        @workflow
        async def wants(day: str) -> str:
            return await print_report(day)

        self.wants = wants


async def test_the_second_run_gets_what_the_first_one_did(every_world):
    press = Press(every_world)
    press.go_on.set()
    app = await every_world.open(press.wants)
    for _ in range(3):
        assert await (await app.start(press.wants, "monday")).result("30s") == "report of monday"
    assert await (await app.start(press.wants, "tuesday")).result("30s") == "report of tuesday"
    assert every_world.ledger == ["monday", "tuesday"]


async def test_runs_at_the_same_time_wait_for_the_one_that_does_it(world):
    press = Press(world)
    app = await world.open(press.wants)
    runs = [await app.start(press.wants, "monday") for _ in range(5)]
    await press.begun.wait()
    press.go_on.set()
    assert [await run.result("30s") for run in runs] == ["report of monday"] * 5
    assert world.ledger == ["monday"]


async def test_after_a_crash_its_holder_goes_on(world):
    press = Press(world)
    app = await world.open(press.wants)
    await app.start(press.wants, "monday", id="first")
    await press.begun.wait()
    await app.start(press.wants, "monday", id="second")
    app = await world.crash(app)
    press.go_on.set()
    for run in ("first", "second"):
        assert await (await app.get(run)).result("30s") == "report of monday"
    assert world.count("monday") == 2  # begun before the crash, and once more after it


async def test_what_fails_for_good_is_left_to_another(world):
    press = Press(world, fail=2, retry=Retry(max_attempts=2, delay=0))
    press.go_on.set()
    app = await world.open(press.wants)
    with pytest.raises(RunFailed, match="no paper"):
        await (await app.start(press.wants, "monday")).result("30s")
    assert await app.store.effect("key:report:monday") is None
    assert await (await app.start(press.wants, "monday")).result("30s") == "report of monday"
    assert world.count("monday") == 3


async def test_a_cancelled_run_leaves_it_to_another(world):
    press = Press(world)
    app = await world.open(press.wants)
    run = await app.start(press.wants, "monday")
    await press.begun.wait()
    await app.cancel(run)
    with pytest.raises(RunCancelled):
        await run.result("30s")
    press.go_on.set()
    assert await (await app.start(press.wants, "monday")).result("30s") == "report of monday"


async def test_one_name_is_one_call(world):
    @step
    async def charge(cents: int) -> int:
        world.did(cents)
        return cents

    @workflow
    async def pay(cents: int) -> int:
        return await charge.using(effect="order-7")(cents)

    app = await world.open(pay)
    assert await (await app.start(pay, 5)).result("30s") == 5
    told = f"{EffectConflict.__name__}: effect 'order-7' is that of another step or other arguments, in run "
    with pytest.raises(RunFailed, match=told):
        await (await app.start(pay, 6)).result("30s")
    assert world.ledger == [5]


@pytest.mark.parametrize("name", ["", 7, "x" * 501])
async def test_a_name_is_a_text(world, name):
    @step(effect=lambda: name)
    async def one() -> None: ...

    @workflow
    async def wants() -> None:
        await one()

    with pytest.raises(RunFailed, match="effect must be a text of 1 to 500 characters"):
        await world.run(wants)


async def test_it_is_done_in_the_batch_that_records_it(world):
    press = Press(world)
    press.go_on.set()
    app = await world.open(press.wants)
    run = await app.start(press.wants, "monday")
    await run.result("30s")
    effect = await app.store.effect("key:report:monday")
    assert isinstance(effect, Effect)
    assert (effect.run, effect.output) == (run.uuid, '"report of monday"')
