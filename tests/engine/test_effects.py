"""One effect for several runs: whoever is first does it, and all get its output."""

import asyncio

import pytest

from ripresa import EffectConflict, Pool, Retry, RunCancelled, RunFailed, step, wait_for_signal, workflow
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

        @workflow
        async def hasty(day: str) -> str:
            try:
                async with asyncio.timeout(1):
                    return await print_report(day)
            except TimeoutError:
                return await wait_for_signal("enough", str)

        self.wants, self.hasty = wants, hasty


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


async def test_who_gives_up_before_its_claim_is_answered_stands_in_nobodys_way(world, monkeypatch):
    press = Press(world)
    press.go_on.set()
    app = await world.open(press.wants, press.hasty)
    claim, claimed, answers = app.store.claim_effect, asyncio.Event(), asyncio.Event()

    async def slow(lease, wanted):
        stands = await claim(lease, wanted)
        claimed.set()
        await answers.wait()
        return stands

    monkeypatch.setattr(app.store, "claim_effect", slow)
    first = await app.start(press.hasty, "monday")
    await claimed.wait()
    await world.clock_to(app, 2)
    second = await app.start(press.wants, "monday")
    answers.set()
    assert await second.result("30s") == "report of monday"
    await app.signal(first, "enough", "of it")
    assert await first.result("30s") == "of it"
    assert world.ledger == ["monday"]


async def test_what_was_given_up_in_a_crash_is_given_up_after_it(world, monkeypatch):
    """The journal says that time is up, and the store that the step has the effect: the next engine tells it."""
    press = Press(world)
    app = await world.open(press.wants, press.hasty)
    commit, giving_up = app.store.commit, asyncio.Event()

    async def until_it_gives_up(lease, batch, **more):
        if batch.given_up:
            giving_up.set()
            await asyncio.get_running_loop().create_future()
        return await commit(lease, batch, **more)

    monkeypatch.setattr(app.store, "commit", until_it_gives_up)
    await app.start(press.hasty, "monday", id="first")
    await press.begun.wait()
    await world.clock_to(app, 2)
    await giving_up.wait()
    app = await world.crash(app)
    press.go_on.set()
    assert await (await app.start(press.wants, "monday")).result("30s") == "report of monday"
    await app.signal("first", "enough", "of it")
    assert await (await app.get("first")).result("30s") == "of it"


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


@pytest.mark.parametrize("few", ["pool", "threads"])
async def test_who_is_to_do_it_gets_the_only_slot_though_others_wait_for_the_effect(every_world, few):
    """Were they to wait in the slot, it would never be tried again."""
    failures = [ConnectionError("no paper")]

    def do(day):
        every_world.did(day)
        if failures:
            raise failures.pop()
        return f"report of {day}"

    settings = {"effect": "report", "retry": Retry(max_attempts=2, delay="1s")}

    if few == "pool":

        @step(pool="printer", **settings)
        async def print_report(day: str) -> str:
            return do(day)

        @workflow
        async def wants(day: str) -> str:
            return await print_report(day)
    else:

        @step(**settings)
        def print_report(day: str) -> str:
            return do(day)

        @workflow
        def wants(day: str) -> str:
            return print_report(day)

    app = await every_world.open(wants, pools=[Pool("printer", slots=1)], config={"threads": 1})
    runs = [await app.start(wants, "monday") for _ in range(3)]
    assert [await run.result("30s") for run in runs] == ["report of monday"] * 3
    assert every_world.ledger == ["monday", "monday"]
    assert [(pool.held, pool.waiting) for pool in await app.pools()] == [(0, 0)]


async def test_a_wait_for_an_effect_ahead_of_a_slot_is_called_off(every_world):
    begun, go_on = asyncio.Event(), asyncio.Event()

    @step(pool="printer", effect="report")
    async def print_report(day: str) -> str:
        begun.set()
        await go_on.wait()
        return f"report of {day}"

    @workflow
    async def wants(day: str) -> str:
        return await print_report(day)

    app = await every_world.open(wants, pools=[Pool("printer", slots=2)])
    first = await app.start(wants, "monday")
    await begun.wait()
    called_off = await app.start(wants, "monday")
    await app.cancel(called_off)
    with pytest.raises(RunCancelled):
        await called_off.result("30s")
    go_on.set()
    assert await first.result("30s") == "report of monday"
    assert await (await app.start(wants, "monday")).result("30s") == "report of monday"


async def test_a_paused_run_that_stands_in_line_does_not_keep_others_from_its_effect(every_world):
    @step(pool="printer", effect="report")
    async def print_report(day: str) -> str:
        every_world.did(day)
        return f"report of {day}"

    @workflow
    async def wants(day: str) -> str:
        return await print_report(day)

    app = await every_world.open(wants, pools=[Pool("printer", slots=0)])
    paused = await app.start(wants, "monday")
    while not await app.waits(paused):  # noqa: ASYNC110 - it is the engine that gets there
        await asyncio.sleep(0.01)
    await app.pause(paused)
    await app.set_pool(Pool("printer", slots=1))
    assert await (await app.start(wants, "monday")).result("30s") == "report of monday"
    await app.resume(paused)
    assert await paused.result("30s") == "report of monday"
    assert every_world.ledger == ["monday"]


async def test_a_run_stays_with_its_engine_until_its_claim_is_answered(world, monkeypatch):
    """Else nobody would give up what is claimed for it when the engine dies before the answer."""
    press = Press(world)
    app = await world.open(press.wants, press.hasty, evict_after=0)
    claim, claimed, answers = app.store.claim_effect, asyncio.Event(), asyncio.Event()

    async def slow(lease, wanted):
        claimed.set()
        await answers.wait()
        return await claim(lease, wanted)

    monkeypatch.setattr(app.store, "claim_effect", slow)
    run = await app.start(press.hasty, "monday")
    await claimed.wait()
    await world.clock_to(app, 2)
    held = app.engine.held[run.uuid]
    while held.flights:  # noqa: ASYNC110 - it gives up by itself
        await asyncio.sleep(0.001)
    await app.engine.verbs.on_disk()
    await app.engine.verbs.on_disk()
    assert app.engine.held.get(run.uuid) is held
    answers.set()
    while run.uuid in app.engine.held:  # noqa: ASYNC110 - it is let go of by itself
        await asyncio.sleep(0.001)
    assert await app.store.effect("key:report:monday") is None
