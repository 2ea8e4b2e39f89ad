"""On a shared store engines go by the store's time, whatever their machines' clocks say."""

from __future__ import annotations

import time

from ripresa import sleep, workflow
from ripresa.ports.clock import SystemClock
from ripresa.stores.memory import MemoryStore

HOUR_US = 3_600_000_000


def machine_us():
    return time.time_ns() // 1000


async def test_a_clock_follows_the_time_it_is_told():
    clock = SystemClock()

    async def ask():
        return machine_us() + HOUR_US

    await clock.follow(ask)
    assert abs(clock.now() - machine_us() - HOUR_US) < 60_000_000
    assert clock.wall() >= clock.now() - 1_000_000


def test_the_machines_own_clock_stands_until_it_has_caught_up_if_it_is_set_back(monkeypatch):
    clock = SystemClock()
    before = clock.now()
    monkeypatch.setattr(time, "time_ns", lambda: before * 1000 - HOUR_US * 1000)
    assert clock.now() == before


async def test_a_clock_goes_back_with_the_one_that_it_follows(monkeypatch):
    clock = SystemClock()
    before = clock.now()

    async def ask():
        return before - HOUR_US

    assert -HOUR_US - 60_000_000 < await clock.follow(ask) <= -HOUR_US
    assert clock.now() < before - HOUR_US + 60_000_000
    behind = clock.now()

    async def a_little():
        return behind

    await clock.follow(a_little)
    assert clock.now() >= behind, "a little is no step: it waits"


async def test_what_the_machines_clock_is_set_to_counts_for_nothing_while_another_is_followed(monkeypatch):
    clock = SystemClock()

    async def ask():
        return machine_us()

    await clock.follow(ask)
    now = clock.now()
    for hours in (1, -1):
        monkeypatch.setattr(time, "time_ns", lambda hours=hours: (now + hours * HOUR_US) * 1000)
        assert now <= clock.now() < now + 60_000_000


async def test_a_small_difference_that_the_way_may_account_for_is_let_be():
    clock = SystemClock()

    async def ask():
        now = machine_us()
        while machine_us() < now + 3_000:
            pass
        return now

    assert await clock.follow(ask) == 0


async def test_a_store_that_tells_no_time_leaves_the_machines_own():
    clock = SystemClock()

    async def ahead():
        return machine_us() + HOUR_US

    async def none():
        return None

    await clock.follow(ahead)
    assert await clock.follow(none) == 0
    assert abs(clock.now() - machine_us()) < 60_000_000


async def test_an_engine_sets_its_clock_by_the_store_when_it_opens_and_with_each_heartbeat(fleet, monkeypatch):
    ahead = [HOUR_US]

    async def told(_):
        return machine_us() + ahead[0]

    monkeypatch.setattr(MemoryStore, "time", told)

    @workflow
    async def nap() -> str:
        await sleep("0.2s")
        return "rested"

    app = await fleet.open(nap)
    run = await app.start(nap)
    assert run.row.created_at > machine_us() + HOUR_US // 2
    assert await run.result("60s") == "rested"
    ahead[0] = 2 * HOUR_US
    await app.engine.leasing.renew()
    assert app.engine.now() > machine_us() + HOUR_US * 3 // 2
    [told_of] = await app.store.engines()
    assert told_of["lease_until"] > machine_us() + HOUR_US // 2
