"""Pools: steps wait for a slot, hold it while they are attempted, and give it back whatever happens."""

from __future__ import annotations

import asyncio
import logging

import pytest

from ripresa import App, Retry, Retryable, RunFailed, StepFailed, Terminal, map_, sleep, step, workflow
from ripresa.author.job_step import JobStep
from ripresa.contracts.pools import Breaker, Pool
from ripresa.contracts.time_limits import TimeLimits
from ripresa.engine import pools
from ripresa.kernel.circuit import opened
from ripresa.kernel.live import current_run
from ripresa.ports.pools import Freed
from ripresa.stores.memory import MemoryDatabase, MemoryStore

LAKE = Pool("lake", slots=2)


class Gate:
    """Steps that wait until they are let on, and how many of them there were at once."""

    def __init__(self):
        self.inside = []
        self.most = 0
        self._open = asyncio.Event()
        self._entered = asyncio.Condition()

    async def pass_(self, name):
        self.inside.append(name)
        self.most = max(self.most, len(self.inside))
        async with self._entered:
            self._entered.notify_all()
        try:
            await self._open.wait()
        finally:
            self.inside.remove(name)

    async def entered(self, count):
        async with self._entered:
            await asyncio.wait_for(self._entered.wait_for(lambda: len(self.inside) >= count), 30)
        return sorted(self.inside)

    async def left(self):
        """Return when nobody is inside: those of an engine that is gone are cancelled."""
        async with asyncio.timeout(30):
            while self.inside:  # noqa: ASYNC110 - there is no event for it
                await asyncio.sleep(0.001)

    def open(self):
        self._open.set()


async def standing(app):
    """How many hold a slot, and how many wait."""
    found = await app.engine.store.standing()
    held = sum(one.granted_at is not None for one in found)
    return held, len(found) - held


async def until(app, expected):
    """Wait until the pool stands so."""
    async with asyncio.timeout(30):
        while await standing(app) != expected:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.001)


async def nothing_is_held(app):
    await until(app, (0, 0))


@pytest.fixture
def gate():
    return Gate()


@pytest.fixture
def fan(gate):
    """Five steps of the pool at once."""

    @step(pool="lake")
    async def load(n: int) -> int:
        await gate.pass_(n)
        return n

    @workflow
    async def fan() -> list[int]:
        return await map_(load, list(range(5)))

    return fan


async def test_only_so_many_are_attempted_at_once_and_all_are_at_last(world, gate, fan):
    app = await world.open(fan, pools=[LAKE])
    run = await app.start(fan)
    assert await gate.entered(2) == [0, 1]
    await until(app, (2, 3))
    gate.open()
    assert await run.result("30s") == [0, 1, 2, 3, 4]
    assert gate.most == 2
    await nothing_is_held(app)


async def test_steps_without_a_pool_do_not_ask_for_one(world, monkeypatch):
    @step
    async def plain() -> int:
        return 1

    @workflow
    async def plainly() -> int:
        return await plain()

    app = await world.open(plainly, pools=[LAKE])

    async def never(*_, **__):
        raise AssertionError

    monkeypatch.setattr(app.engine.store, "tickets", never)
    assert await (await app.start(plainly)).result("30s") == 1


async def test_a_pool_that_nobody_declared_does_not_hold_up_and_is_told_of_once(world, gate, fan, caplog):
    gate.open()
    app = await world.open(fan, pools=[Pool("lakes", slots=1)])
    with caplog.at_level(logging.WARNING, "ripresa.engine"):
        assert await (await app.start(fan)).result("30s") == [0, 1, 2, 3, 4]
    told = [record.message for record in caplog.records if "pool" in record.message]
    assert told == ["step load starts at once: nobody has declared its pool 'lake'; did you mean 'lakes'?"]


async def test_a_slot_is_given_back_after_each_failure_and_asked_for_again(world):
    @step(pool="lake", retry=Retry(max_attempts=3, delay="10s"))
    async def load() -> int:
        world.did("load")
        if world.count("load") < 3:
            raise Retryable
        return 7

    @workflow
    async def once() -> int:
        return await load()

    app = await world.open(once, pools=[Pool("lake", slots=1)])
    assert await (await app.start(once)).result("30s") == 7
    await nothing_is_held(app)


async def test_cancelling_gives_back_what_is_held_and_what_is_waited_for(world, gate, fan):
    app = await world.open(fan, pools=[LAKE])
    run = await app.start(fan)
    await gate.entered(2)
    await until(app, (2, 3))
    await app.cancel(run)
    await nothing_is_held(app)
    assert gate.inside == []


async def test_pausing_leaves_the_line_and_resuming_joins_it_again(world, gate, fan):
    app = await world.open(fan, pools=[LAKE])
    run = await app.start(fan)
    await gate.entered(2)
    await until(app, (2, 3))
    await app.pause(run)
    await until(app, (2, 0))
    gate.open()
    await nothing_is_held(app)
    await app.resume(run)
    assert await run.result("30s") == [0, 1, 2, 3, 4]
    assert gate.most == 2


async def test_a_crash_leaks_no_slot_and_the_next_engine_goes_on(world, gate, fan):
    app = await world.open(fan, pools=[LAKE])
    run = await app.start(fan)
    await gate.entered(2)
    await until(app, (2, 3))
    await app.crash()
    await gate.left()
    app = await world.open(fan)
    await gate.entered(2)
    await until(app, (2, 3))
    gate.open()
    assert await (await app.get(run.id)).result("30s") == [0, 1, 2, 3, 4]
    assert gate.most == 2
    await nothing_is_held(app)


@pytest.mark.own_store
async def test_a_place_in_line_that_another_engine_gave_back_is_asked_for_again(gate, fan, monkeypatch):
    """It had the run before, and gives back late what it wanted: the same run and operation."""
    monkeypatch.setattr(pools, "_REMIND_US", 200_000)
    database = MemoryDatabase()
    async with App(MemoryStore(database, shared=True), [fan], pools=[LAKE], config={"lease_s": 1.0}) as app:
        run = await app.start(fan)
        await gate.entered(2)
        await until(app, (2, 3))
        for name, row in list(database.tickets.rows.items()):
            if row.granted_at is None:
                database.tickets.free(Freed(*name, 0))
        await until(app, (2, 3))
        gate.open()
        assert await run.result("60s") == [0, 1, 2, 3, 4]
        assert gate.most == 2


async def test_closing_gives_back_all_slots(world, gate, fan):
    app = await world.open(fan, pools=[LAKE])
    run = await app.start(fan)
    await gate.entered(2)
    await app.close()
    app = await world.open(fan, pools=[LAKE])
    gate.open()
    assert await (await app.get(run.id)).result("30s") == [0, 1, 2, 3, 4]
    await nothing_is_held(app)


async def test_the_limit_of_the_wait_counts_the_wait_for_the_pool(world, gate):
    @step(pool="lake")
    async def load() -> None:
        await gate.pass_("load")

    job = JobStep("extract", runtime="process", pool="lake", limits=TimeLimits.of({"queue": "10ms"}))

    @workflow
    async def waits() -> None:
        load.start()
        await current_run().schedule(job, (None,), {}, identity="extract")

    job.encode = lambda args, kwargs: ("{}", args, kwargs)
    app = await world.open(waits, pools=[Pool("lake", slots=1)])
    run = await app.start(waits)
    with pytest.raises(RunFailed, match=r"waited for a free slot of pool 'lake' for more than 0\.01 s"):
        await run.result("30s")
    await nothing_is_held(app)


async def test_keys_take_turns_whatever_the_order_of_asking(world):
    order = []

    @step(pool="lake", pool_key=lambda tenant, _: tenant)
    async def load(tenant: str, n: int) -> None:
        order.append(f"{tenant}{n}")

    @workflow
    async def busy() -> None:
        asked = [load.start("a", n) for n in range(3)] + [load.start("b", n) for n in range(2)]
        for one in asked:
            await one

    app = await world.open(busy, pools=[Pool("lake", slots=1)])
    await (await app.start(busy)).result("30s")
    assert order == ["a0", "b0", "a1", "b1", "a2"]


async def test_a_key_that_cannot_be_worked_out_fails_the_step(world):
    @step(pool="lake", pool_key=lambda order: order["tenant"])
    async def load(order: dict[str, str]) -> None:
        world.did("load")

    @workflow
    async def keyless() -> None:
        await load({})

    app = await world.open(keyless, pools=[LAKE])
    with pytest.raises(RunFailed, match="pool_key could not be worked out: KeyError"):
        await (await app.start(keyless)).result("30s")
    assert world.ledger == []


async def test_a_rate_spaces_the_starts(world):
    starts = []

    @step(pool="lake")
    async def load(n: int) -> None:
        starts.append(world.clock.now())

    @workflow
    async def quick() -> None:
        await map_(load, list(range(4)))

    app = await world.open(quick, pools=[Pool("lake", rate="2/m")])
    await (await app.start(quick)).result("30s")
    assert [(at - starts[0]) // 1_000_000 for at in starts] == [0, 30, 60, 90]


async def test_retry_after_holds_back_the_other_steps_of_the_key(world):
    starts = []

    @step(pool="api", pool_key=lambda host, _: host, retry=Retry(max_attempts=2, delay="1s"))
    async def fetch(host: str, n: int) -> None:
        starts.append((host, n, world.clock.now()))
        if host == "slow" and len([one for one in starts if one[0] == "slow"]) == 1:
            raise Retryable("429", retry_after="1m")

    @workflow
    async def fetches() -> None:
        first = fetch.start("slow", 1)
        await sleep("5s")
        others = [fetch.start("slow", 2), fetch.start("quick", 3)]
        for one in (first, *others):
            await one

    app = await world.open(fetches, pools=[Pool("api")])
    await (await app.start(fetches)).result("30s")
    began = starts[0][2]
    told = [(host, n, (at - began) // 1_000_000) for host, n, at in starts]
    assert told[:2] == [("slow", 1, 0), ("quick", 3, 5)]
    assert sorted(told[2:]) == [("slow", 1, 60), ("slow", 2, 60)]


async def test_a_breaker_lets_steps_wait_until_a_probe_succeeds(world):
    """The first two fail, so the third waits until the cooldown is over, and is the probe for the fourth."""
    starts = []

    @step(pool="api", retry=Retry(max_attempts=9, delay="1s"))
    async def fetch(n: int) -> None:
        starts.append((n, world.clock.now()))
        if len(starts) <= 2:
            raise Retryable("down")

    @workflow
    async def fetches() -> None:
        await map_(fetch, [1, 2])

    app = await world.open(fetches, pools=[Pool("api", breaker=Breaker(failures=2, cooldown="1m"))])
    await (await app.start(fetches)).result("30s")
    began = starts[0][1]
    assert [(at - began) // 1_000_000 for _, at in starts] == [0, 0, 60, 60]


async def test_terminal_failures_do_not_open_a_breaker(world):
    @step(pool="api")
    async def fetch(n: int) -> None:
        raise Terminal("bad input")

    @workflow
    async def fetches() -> int:
        failed = 0
        for n in range(5):
            try:
                await fetch(n)
            except StepFailed:
                failed += 1
        return failed

    app = await world.open(fetches, pools=[Pool("api", breaker=Breaker(failures=2))])
    assert await (await app.start(fetches)).result("30s") == 5
    assert (await app.engine.store.pools())[0].circuits == {}


async def test_a_breaker_may_let_steps_fail(world):
    @step(pool="api")
    async def fetch() -> None:
        world.did("fetch")

    @workflow
    async def fetches() -> None:
        await fetch()

    app = await world.open(fetches, pools=[Pool("api", breaker=Breaker(on_open="fail"))])
    await app.engine.store.set_breaker("api", "", opened(0, None, "tripped by hand").dump())
    with pytest.raises(RunFailed, match="breaker of pool 'api' is open: tripped by hand"):
        await (await app.start(fetches)).result("30s")
    assert world.ledger == []


async def test_two_runs_share_a_pool_and_higher_priority_goes_first(world, gate):
    order = []

    @step(pool="lake")
    async def load(name: str) -> None:
        order.append(name)
        if name == "first":
            await gate.pass_(name)

    @workflow
    async def one(name: str) -> None:
        await load(name)

    app = await world.open(one, pools=[Pool("lake", slots=1)])
    runs = [await app.start(one, "first")]
    await gate.entered(1)
    runs += [await app.start(one, "low"), await app.start(one, "high", priority=5)]
    await until(app, (1, 2))
    gate.open()
    for run in runs:
        await run.result("30s")
    assert order == ["first", "high", "low"]
