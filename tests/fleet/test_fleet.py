"""Several engines on one store: each run has one owner, and whoever is asked serves as well as any other."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from functools import partial

import pytest

from ripresa import (
    App,
    EngineFenced,
    Pool,
    Quarantine,
    Retry,
    RunCancelled,
    RunConflict,
    RunFailed,
    RunFinished,
    RunQuarantined,
    StoreUnavailable,
    UpdateRejected,
    child,
    context,
    map_,
    on_query,
    on_signal,
    on_update,
    send_signal,
    sleep,
    step,
    wait_for_signal,
    wait_until,
    workflow,
)
from ripresa.cli.submitting import submitted
from ripresa.ports.rows import Message


def gate(fleet, name="work"):
    """A step that notes its beginning, and ends when it is let through."""
    open_ = asyncio.Event()

    @step(name=name)
    async def work(n: int) -> int:
        fleet.did.append(f"{name} {n}")
        await open_.wait()
        return n

    return work, open_


def steps_of(fleet):
    """A step that notes that it was done."""

    @step
    async def note(what: str) -> str:
        fleet.did.append(what)
        return what

    return note


# --- beginning ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["definitions", "engines", "adopt", "list_runs"])
async def test_an_engine_whose_store_goes_away_while_it_opens_leaves_nothing_at_work(fleet, verb):
    """Else it would keep its lease, and the runs that it has taken over, in a process that knows nothing of it."""
    note = steps_of(fleet)

    @workflow
    async def noting() -> str:
        await wait_for_signal("go", str)
        return await note("done")

    first = await fleet.open(noting)
    run = await first.start(noting)
    await first.crash()
    store = fleet.store()
    before = asyncio.all_tasks()
    answers = getattr(store, verb)

    async def answers_late(*args, **kwargs):
        setattr(store, verb, answers)
        raise StoreUnavailable("out of reach")

    setattr(store, verb, answers_late)
    app = App(store, [noting])
    with pytest.raises(StoreUnavailable):
        await app.open()
    await fleet.until(lambda: asyncio.all_tasks() <= before)
    assert not [engine for engine in await store.engines() if engine["alive"]]
    await app.open()
    await app.signal(run.uuid, "go", "on")
    assert await (await app.get(run.uuid)).result() == "done"
    await app.close()


# --- taking over -------------------------------------------------------------------------------------------


async def test_another_engine_goes_on_with_the_runs_of_one_that_died(fleet):
    note = steps_of(fleet)

    @workflow
    async def order() -> list[str]:
        first = await note("first")
        await wait_for_signal("go")
        return [first, await note("second")]

    one, two = await fleet.open(order), await fleet.open(order)
    run = await one.start(order, id="order-7")
    await fleet.until(lambda: fleet.count("first"))
    await fleet.crash(one)
    await two.signal("order-7", "go")
    assert await (await two.get("order-7")).result("60s") == ["first", "second"]
    assert fleet.did == ["first", "second"]
    assert fleet.owner(run) is None


async def test_a_run_of_a_living_engine_is_left_to_it(fleet):
    work, through = gate(fleet)

    @workflow
    async def order() -> int:
        return await work(1)

    one, two = await fleet.open(order), await fleet.open(order)
    run = await one.start(order)
    await fleet.until(lambda: fleet.did)
    for _ in range(5):
        await fleet.look_around()
        await asyncio.sleep(0.01)
    assert fleet.owner(run) == one.engine.number
    assert run.uuid not in two.engine.held
    through.set()
    assert await run.result("60s") == 1
    assert fleet.did == ["work 1"]


async def test_many_runs_of_a_dead_engine_are_shared_by_those_that_live(fleet):
    note = steps_of(fleet)

    @workflow
    async def order(n: int) -> int:
        await note(f"before {n}")
        await wait_for_signal("go")
        await note(f"after {n}")
        return n

    one = await fleet.open(order)
    others = [await fleet.open(order) for _ in range(2)]
    runs = [await one.start(order, n, id=f"order-{n}") for n in range(250)]
    await fleet.until(lambda: len(fleet.did) == 250)
    await fleet.crash(one)
    for n in range(250):
        await others[n % 2].signal(f"order-{n}", "go")
    handles = [await others[n % 3 % 2].get(run) for n, run in enumerate(runs)]
    ended = await asyncio.gather(*(handle.result("60s") for handle in handles))
    assert ended == list(range(250))
    assert len(fleet.did) == 500


async def test_an_engine_that_lost_its_lease_writes_nothing_more(fleet):
    work, through = gate(fleet)

    @workflow
    async def order() -> int:
        return await work(1)

    one, two = await fleet.open(order), await fleet.open(order)
    run = await one.start(order)
    await fleet.until(lambda: fleet.database.attempts[run.uuid])  # until then it writes, and that prolongs its lease
    owners, number = fleet.database.owners, one.engine.number
    owners[number] = owners[number]._replace(lease_until=1)  # as if it had been stopped for long
    await two.engine.fleet.take_over()
    assert fleet.owner(run) == two.engine.number
    through.set()
    with pytest.raises(EngineFenced):
        await run.result("60s")
    assert await (await two.get(run)).result("60s") == 1
    with pytest.raises(EngineFenced):
        await one.start(order)
    assert fleet.did == ["work 1", "work 1"]


async def test_an_engine_that_closes_hands_its_runs_to_others_at_once(fleet):
    work, through = gate(fleet)

    @workflow
    async def order(n: int) -> int:
        return await work(n) if n else await wait_for_signal("go", int)

    one, two = await fleet.open(order), await fleet.open(order)
    busy, waiting = await one.start(order, 1), await one.start(order, 0)
    await fleet.until(lambda: fleet.did)
    await one.close()
    assert await fleet.until(lambda: fleet.count("work 1") == 2)
    through.set()
    await two.signal(waiting.id, "go", 5)
    assert [await (await two.get(run)).result("60s") for run in (busy, waiting)] == [1, 5]


async def test_engines_look_for_runs_to_take_over_by_themselves(fleet):
    @workflow
    async def order() -> str:
        return await wait_for_signal("go", str)

    one, two = await fleet.open(order), await fleet.open(order, lease_s=1.5)
    run = await one.start(order)
    await one.crash()
    await fleet.until(lambda: fleet.owner(run) == two.engine.number)
    await two.signal(run.id, "go", "on")
    assert await (await two.get(run)).result("60s") == "on"


# --- waiting and asking ------------------------------------------------------------------------------------


async def test_a_result_may_be_waited_for_anywhere(fleet):
    work, through = gate(fleet)

    @workflow
    async def order(n: int) -> int:
        if n == 0:
            raise ValueError("no")
        return await work(n)

    one, two = await fleet.open(order), await fleet.open(order)
    runs = [await one.start(order, n) for n in (1, 2, 3)]
    results = [asyncio.create_task((await two.get(run)).result("60s")) for run in runs]
    await fleet.until(lambda: len(fleet.did) == 3)
    through.set()
    assert await asyncio.gather(*results) == [1, 2, 3]
    bad = await one.start(order, 0)
    with pytest.raises(RunFailed, match="no"):
        await (await two.get(bad)).result("60s")


async def test_every_verb_may_be_asked_of_any_engine(fleet):
    def _positive(amount):
        if amount <= 0:
            raise ValueError("not positive")

    @workflow
    async def account() -> int:
        balance, done = 0, False

        @on_update("deposit", validator=_positive)
        def deposit(amount: int) -> int:
            nonlocal balance
            balance += amount
            return balance

        @on_query("balance")
        def now() -> int:
            return balance

        @on_signal("close")
        def close() -> None:
            nonlocal done
            done = True

        await wait_until(lambda: done)
        return balance

    one, two = await fleet.open(account), await fleet.open(account)
    run = await one.start(account, id="a")
    assert fleet.owner(run) == one.engine.number
    assert await two.update("a", "deposit", 5) == 5
    assert await one.update("a", "deposit", 6) == 11
    assert await two.query("a", "balance") == 11
    with pytest.raises(UpdateRejected, match="not positive"):
        await two.update("a", "deposit", -1)
    await two.pause("a")
    assert (await one.get("a")).status == "paused"
    await two.pause("a")
    await one.resume("a")
    await two.resume("a")
    assert await one.query("a", "balance") == 11
    await two.signal("a", "close")
    assert await (await two.get("a")).result("60s") == 11
    with pytest.raises(RunFinished):
        await two.signal("a", "close")


async def test_a_run_that_another_engine_holds_is_paused_resumed_and_cancelled_by_it(fleet):
    work, _ = gate(fleet)

    @workflow
    async def order() -> int:
        await work(1)
        return await work(2)

    one, two = await fleet.open(order), await fleet.open(order)
    run = await one.start(order)
    await fleet.until(lambda: fleet.did)
    await two.pause(run.id)  # the step goes on, so the run is still the other's
    assert fleet.owner(run) == one.engine.number
    assert (await two.get(run)).status == "paused"
    await two.resume(run.id)
    assert (await two.get(run)).status == "running"
    await two.cancel(run.id)
    with pytest.raises(RunCancelled):
        await (await two.get(run)).result("60s")
    await two.cancel(run.id)
    assert fleet.count("work 2") == 0


async def test_a_failed_run_is_tried_again_once_whoever_is_asked(fleet):
    broken = [True]

    @step
    async def load() -> str:
        fleet.did.append("load")
        if broken[0]:
            raise ValueError("not there")
        return "loaded"

    @workflow
    async def order() -> str:
        return await load()

    one, two = await fleet.open(order), await fleet.open(order)
    run = await one.start(order)
    with pytest.raises(RunFailed):
        await run.result("60s")
    broken[0] = False
    await asyncio.gather(one.retry(run.id), two.retry(run.id), return_exceptions=True)
    assert await (await two.get(run)).result("60s") == "loaded"
    assert fleet.did == ["load", "load"]
    kinds = [event.kind for event in await two.history(run)]
    assert kinds.count("finished") == 2


async def test_a_quarantined_run_is_released_by_any_engine(fleet):
    @step
    async def odd() -> str:
        raise Quarantine("look at this")

    work, through = gate(fleet)

    @workflow
    async def order() -> list[object]:
        return list(await asyncio.gather(work(1), odd()))

    one, two = await fleet.open(order), await fleet.open(order)
    run = await one.start(order)
    with pytest.raises(RunQuarantined):
        await (await two.get(run)).result("60s")
    assert fleet.owner(run) == one.engine.number  # a step of it goes on
    await two.release(run.id, output="fine")
    through.set()
    assert await (await two.get(run)).result("60s") == [1, "fine"]


async def test_an_id_means_one_run_on_all_engines(fleet):
    @workflow
    async def order(n: int) -> int:
        await wait_for_signal("go")
        return n

    apps = [await fleet.open(order) for _ in range(3)]
    runs = await asyncio.gather(*(app.start(order, 1, id="order-7") for app in apps))
    assert len({run.uuid for run in runs}) == 1
    with pytest.raises(RunConflict):
        await apps[2].start(order, 2, id="order-7")
    await apps[1].signal("order-7", "go")
    assert [await run.result("60s") for run in runs] == [1, 1, 1]


async def test_runs_on_different_engines_find_one_another(fleet):
    """Parent and child, and a signal from one run to another, though each is held by another engine."""

    @workflow
    async def part(n: int) -> int:
        await send_signal("listener", "heard", n)
        return n + await wait_for_signal("more", int)

    @workflow
    async def whole() -> int:
        return await child(part, 1, id="part")

    @workflow
    async def listener() -> int:
        return await wait_for_signal("heard", int)

    one = await fleet.open(part, whole, listener)
    two = await fleet.open(part, whole, listener, evict_after=0)
    await two.start(listener, id="listener")
    parent = await one.start(whole, id="whole")
    assert await (await one.get("listener")).result("60s") == 1
    await one.close()
    three = await fleet.open(part, whole, listener, evict_after=0)
    await three.signal("part", "more", 41)
    assert await (await two.get(parent)).result("60s") == 42


async def test_sleeping_runs_are_woken_by_whoever_lives(fleet):
    @workflow
    async def nap() -> str:
        await sleep("1s")
        return "rested"

    one, two = await fleet.open(nap, evict_after=0), await fleet.open(nap, evict_after=0)
    runs = [await one.start(nap) for _ in range(20)]
    await fleet.until(lambda: all(fleet.owner(run) is None for run in runs))
    await fleet.crash(one)
    handles = [await two.get(run) for run in runs]
    assert await asyncio.gather(*(handle.result("60s") for handle in handles)) == ["rested"] * 20


# --- versions ----------------------------------------------------------------------------------------------


def orders(fleet, version, *, name="orders"):
    """A version of a definition, which notes who did what."""

    @step(name="note")
    async def note(what: str) -> str:
        fleet.did.append(what)
        return what

    async def order() -> str:
        await note(f"{version} begins")
        await wait_for_signal("go")
        return await note(f"{version} ends")

    return workflow(name=name, version=version)(order)


async def test_a_run_of_a_version_is_left_to_those_that_have_it(fleet):
    old, new = (partial(fleet.open, orders(fleet, version)) for version in ("v1", "v2"))
    one, two = await old(), await new()
    three = await old()
    run = await one.start("orders", id="a")
    await fleet.until(lambda: fleet.count("v1 begins"))
    await fleet.crash(one)
    await fleet.until(lambda: fleet.owner(run) == three.engine.number)
    await two.signal("a", "go")
    assert await (await two.get("a")).result("60s") == "v1 ends"


async def test_a_run_whose_version_nobody_has_goes_on_with_what_there_is(fleet):
    one, two = await fleet.open(orders(fleet, "v1")), await fleet.open(orders(fleet, "v2"))
    run = await one.start("orders", id="a")
    await fleet.until(lambda: fleet.count("v1 begins"))
    await fleet.crash(one)
    await fleet.until_status(two, run, "blocked", "waiting")  # its code says another thing


async def test_an_engine_that_has_the_version_takes_what_others_left(fleet):
    one, two = await fleet.open(orders(fleet, "x")), await fleet.open(orders(fleet, "y", name="bills"))
    run = await one.start("orders", id="a")
    await fleet.until(lambda: fleet.count("x begins"))
    await one.close()
    await fleet.until(lambda: two.engine.fleet.leave and not two.engine.working)
    seen = fleet.database.writes
    for _ in range(10):
        await fleet.look_around()
        await asyncio.sleep(0.01)
    assert fleet.owner(run) is None
    assert fleet.database.writes - seen == 10, "only looked for: it is not claimed and given back again"
    three = await fleet.open(orders(fleet, "x"))
    await two.signal("a", "go")
    assert await (await two.get("a")).result("60s") == "x ends"
    await three.close()


async def test_runs_of_a_version_that_has_just_come_are_left_to_it_by_who_has_not_looked_since(fleet):
    old = await fleet.open(orders(fleet, "v1"))  # it looks who lives every third of a lease of ten minutes
    flow = orders(fleet, "v2")
    await fleet.open(flow)
    assert old.engine.fleet.others == 0
    for n in range(20):
        await submitted(fleet.store(), flow, "{}", key=str(n), priority=0, tags={})
    await fleet.until(lambda: len(fleet.did) == 20)
    assert set(fleet.did) == {"v2 begins"}


# --- draining ----------------------------------------------------------------------------------------------


async def test_an_engine_that_drains_ends_its_steps_and_passes_its_runs_on(fleet):
    work, through = gate(fleet)

    @workflow
    async def order(n: int) -> int:
        await work(n)
        return await work(n + 1)

    one, two = await fleet.open(order), await fleet.open(order)
    run = await one.start(order, 1)
    await fleet.until(lambda: fleet.did)
    draining = asyncio.create_task(one.engine.drain_within(60))
    await fleet.until(lambda: one.engine.draining)
    later = await one.start(order, 5)
    await fleet.until(lambda: fleet.owner(later) == two.engine.number)
    assert fleet.owner(run) == one.engine.number
    through.set()
    assert await draining is True
    assert [await (await two.get(one_run)).result("60s") for one_run in (run, later)] == [2, 6]
    assert sorted(fleet.did) == ["work 1", "work 2", "work 5", "work 6"]


@pytest.mark.parametrize("line", ["pool", "runtime", "retry"])
async def test_an_engine_that_drains_starts_nothing_that_waits_beside_what_is_under_way(fleet, line):
    first, last = asyncio.Event(), asyncio.Event()
    began = []

    @step(pool="lake" if line == "pool" else None, retry=Retry(max_attempts=2, delay="1ms", jitter="none"))
    async def load(n: int) -> int:
        began.append((context().attempt, n))
        await (last if n == 0 else first).wait()
        if line == "retry" and n and context().attempt == 1:
            raise ConnectionError("hung up")
        return n

    @workflow
    async def loads() -> int:
        return sum(await map_(load, [0, 1, 2]))

    options = {"pools": [Pool("lake", slots=2)], "config": {"inline": 2} if line == "runtime" else {}}
    one = await fleet.open(loads, **options)
    run = await one.start(loads)
    before = [(1, 0), (1, 1), (1, 2)] if line == "retry" else [(1, 0), (1, 1)]
    await fleet.until(lambda: began == before)
    draining = asyncio.create_task(one.engine.drain_within(60))
    await fleet.until(lambda: one.engine.draining)
    first.set()
    await fleet.until(lambda: len(one.engine.held[run.uuid].flights) == 1)  # the others are not begun
    last.set()
    assert await draining is True
    assert began == before
    two = await fleet.open(loads, **options)
    assert await (await two.get(run.id)).result("60s") == 3
    assert began[len(before) :] == ([(2, 1), (2, 2)] if line == "retry" else [(1, 2)])


async def test_an_engine_may_be_asked_to_drain_by_another(fleet):
    @workflow
    async def order() -> int:
        return await wait_for_signal("go", int)

    one, two = await fleet.open(order), await fleet.open(order)
    run = await one.start(order)
    assert await two.store.drain(one.engine.number)
    await one.engine.leasing.renew()
    await fleet.until(lambda: one.engine.drained)
    await one.signal(run.id, "go", 3)  # it still answers
    assert await run.result("60s") == 3
    assert not one.engine.held


async def test_an_engine_asks_for_fewer_runs_at_a_time_the_busier_it_is_while_others_live(fleet):
    """So what falls due goes to each by the measure of what it has free."""
    through = threading.Event()

    @step
    def block() -> None:
        through.wait(60)

    @workflow
    def blocked() -> None:
        block()

    @workflow
    async def rest() -> int:
        await wait_for_signal("go")
        return 1

    busy = await fleet.open(blocked, rest, config={"threads": 1}, evict_after=0)
    idle = await fleet.open(blocked, rest, config={"threads": 1}, evict_after=0)
    await fleet.look_around()
    hold = await busy.start(blocked)
    await fleet.until(lambda: busy.engine.attempts.running)
    asked = {app: app.engine.loading._appetite() for app in (busy, idle)}
    through.set()
    await hold.result("60s")
    await fleet.until(lambda: not busy.engine.attempts.running)
    assert asked[busy] < asked[idle]
    assert busy.engine.loading._appetite() == asked[idle]
    runs = [await app.start(rest) for app in (busy, idle) for _ in range(60)]
    for run in runs:
        await busy.signal(run, "go")
    assert [await run.result("60s") for run in runs] == [1] * 120
    await idle.close()
    await fleet.look_around()
    assert busy.engine.loading._appetite() > asked[idle], "alone it takes what there is"


async def test_an_engine_of_twice_the_capacity_gets_about_twice_the_work(fleet):
    """Both have all their slots in use, and there is more to do than both can."""
    through = asyncio.Event()

    @step
    async def blocked(n: int) -> int:
        await through.wait()
        return n

    @workflow
    async def at_once(n: int) -> int:
        return await blocked(n)

    @workflow
    async def due(n: int) -> int:
        return await blocked(await wait_for_signal("go", int))

    small = await fleet.open(at_once, due, config={"inline": 5}, evict_after=0)
    large = await fleet.open(at_once, due, config={"inline": 10}, evict_after=0)
    await fleet.look_around()
    full = [await app.start(at_once, n) for app in (small, large) for n in range(10)]
    runs = [await small.start(due, n) for n in range(300)]
    await fleet.until(lambda: small.engine.attempts.free_share == large.engine.attempts.free_share == 0)
    await fleet.until(lambda: all(fleet.owner(run) is None for run in runs))
    outside = fleet.store()
    for n, run in enumerate(runs):
        await outside.send(Message(f"go-{n}", run.uuid, "signal", "go", str(n), 0))
    await fleet.until(lambda: all(fleet.owner(run) is not None for run in runs))
    got = Counter(fleet.owner(run) for run in runs)
    through.set()
    assert [await run.result("60s") for run in runs] == list(range(300))
    assert [await run.result("60s") for run in full] == [*range(10)] * 2
    assert 1.5 <= got[number(large)] / got[number(small)] <= 2.7, got


def number(app):
    return app.engine.number
