"""The heartbeat: a loop that stands still does not cost the lease, and a thread does not take a broken one back."""

import asyncio
import time

import pytest

from ripresa.contracts.errors import EngineFenced
from ripresa.ports.batch import Batch
from ripresa.ports.pools import Ticket
from ripresa.stores.postgres import PostgresStore, pools

LEASE_US = 600_000
PATIENCE_S = 60

LEASE = "SELECT lease_until FROM ripresa.engine"


@pytest.fixture
async def store(postgres_url):
    store = PostgresStore(postgres_url)
    await store.open()
    yield store
    await store.close()


def until(look, *, asked_every_s=0.05):
    """Wait on the loop's own thread, so that the loop stands still."""
    deadline = time.monotonic() + PATIENCE_S
    while not look():
        assert time.monotonic() < deadline
        time.sleep(asked_every_s)


async def test_a_loop_that_stands_still_keeps_its_lease(store, postgres, postgres_url):
    now = await store.time()
    lease = await store.acquire(now=now, lease_us=LEASE_US, who="test")
    database = postgres_url.rpartition("/")[2]
    until(lambda: int(postgres.sql(LEASE, database)) > now + 3 * LEASE_US)
    await store.commit(lease, Batch(1, await store.time()), lease_us=LEASE_US)


async def test_a_loop_that_stands_still_while_slots_are_asked_for_keeps_its_lease(
    store, postgres, postgres_url, monkeypatch
):
    monkeypatch.setattr(pools, "_FENCE", pools._FENCE.replace("'2s'", "'10min'"))  # no limit of the server's helps
    now = await store.time()
    lease = await store.acquire(now=now, lease_us=LEASE_US, who="test")
    database = postgres_url.rpartition("/")[2]
    hand_out = pools.hand_out

    def stands_still(*given):
        until(lambda: int(postgres.sql(LEASE, database)) > now + 3 * LEASE_US)
        return hand_out(*given)

    monkeypatch.setattr(pools, "hand_out", stands_still)
    ticket = Ticket("r", "1", "lake", "load", "flow", "", 0, now)
    assert (await store.tickets(lease, [ticket], now=now)).tickets


async def test_a_lease_that_was_broken_is_not_taken_back(store, postgres, postgres_url):
    lease = await store.acquire(now=await store.time(), lease_us=LEASE_US, who="test")
    database = postgres_url.rpartition("/")[2]
    postgres.sql("UPDATE ripresa.engine SET lease_until = 0", database)
    until(lambda: store._heartbeat.fenced)
    assert postgres.sql(LEASE, database) == "0"
    with pytest.raises(EngineFenced):
        await store.commit(lease, Batch(1, await store.time()), lease_us=LEASE_US)


async def test_a_heartbeat_outlives_a_connection_that_breaks(store, postgres, postgres_url):
    now = await store.time()
    await store.acquire(now=now, lease_us=LEASE_US, who="test")
    database = postgres_url.rpartition("/")[2]
    until(lambda: int(postgres.sql(LEASE, database)) > now + LEASE_US)
    cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'ripresa heartbeat'"
    assert postgres.sql(cut, database) == "1"
    later = await store.time()
    until(lambda: int(postgres.sql(LEASE, database)) > later + LEASE_US)


async def test_letting_go_ends_the_heartbeat(store, postgres, postgres_url):
    lease = await store.acquire(now=await store.time(), lease_us=LEASE_US, who="test")
    thread = store._heartbeat._thread
    await asyncio.wait_for(store.release(lease), PATIENCE_S)
    assert not thread.is_alive()
    assert postgres.sql(LEASE, postgres_url.rpartition("/")[2]) == "0"
