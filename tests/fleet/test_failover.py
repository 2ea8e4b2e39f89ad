"""A primary with a standby: killed in mid-flight, its standby promoted, and what of it comes back."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from contextlib import asynccontextmanager

import asyncpg
import pytest

from ripresa.contracts.errors import EngineFenced, StoreBusy, StoreUnavailable
from ripresa.ports.batch import Batch
from ripresa.stores.postgres import PostgresStore, connection, servers
from ripresa.testing.store_contract import LEASE, A, B, T, event, new_run
from tests.fleet.toiler import Toilers
from tests.support.postgres import PostgresServer, Standby

WITHIN_S = 60.0
OURS = "FROM pg_stat_activity WHERE application_name LIKE 'ripresa %'"


class Pair:
    """A primary and its standby."""

    def __init__(self):
        self.primary = PostgresServer(max_connections=100)
        self.standby = None
        self.primary.start()
        self.primary.sql("CREATE DATABASE shop")
        self._follow()

    def _follow(self):
        self.standby = Standby(self.primary, max_connections=100)
        self.standby.start()
        self._until("SELECT 1 FROM pg_stat_replication WHERE state = 'streaming'")

    def _until(self, query):
        end = time.monotonic() + WITHIN_S
        while not self.primary.sql(query):
            assert time.monotonic() < end, query
            time.sleep(0.02)

    def fresh(self):
        """The standby follows, and replication is asynchronous; nothing is in the database."""
        if self.standby.sql("SELECT pg_is_in_recovery()") == "f":
            self.primary.close()
            self.primary = self.standby
            self._follow()
        self.primary.sql("DROP SCHEMA IF EXISTS ripresa CASCADE", "shop")

    def synchronous(self):
        """What is acknowledged is on both from now on."""
        self.primary.sql("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
        self.primary.sql("SELECT pg_reload_conf()")
        self._until("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'")

    def asynchronous(self):
        self.primary.sql("ALTER SYSTEM RESET synchronous_standby_names")
        self.primary.sql("SELECT pg_reload_conf()")

    def fail_over(self):
        """The primary is gone, and its standby takes its place."""
        self.primary.kill()
        self.standby.promote()

    def caught_up(self):
        """Wait until the standby has all that there is."""
        at = self.primary.sql("SELECT pg_current_wal_lsn()")
        self._until(f"SELECT 1 FROM pg_stat_replication WHERE replay_lsn >= '{at}'")

    def url(self, *servers):
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in servers or (self.primary, self.standby))
        return f"postgresql://postgres@{hosts}/shop"

    def close(self):
        for server in (self.standby, self.primary):
            if server is not None:
                server.close()


@pytest.fixture(scope="module")
def the_pair(postgres):
    pair = Pair()
    yield pair
    pair.close()


@pytest.fixture
def pair(the_pair):
    the_pair.fresh()
    return the_pair


@asynccontextmanager
async def store_on(url, **options):
    store = PostgresStore(url, heartbeat_thread=False, **options)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def refusal(asked):
    """What the store says in place of an answer; empty: it answers."""
    try:
        await asked
    except StoreBusy as error:
        return str(error)
    return ""


async def test_nothing_is_acknowledged_while_the_synchronous_standby_is_away(pair, monkeypatch):
    """Were the statement cancelled, the server would write it without the standby."""
    pair.synchronous()
    async with store_on(pair.url(), lock_timeout=0.5) as store:
        lease = await store.acquire(now=T, lease_us=LEASE, who="test")
        await asyncio.to_thread(pair.standby.stop, signal.SIGINT)
        said = ""
        while "is busy" not in said:  # on a slow machine it may be given up before the server has got that far
            monkeypatch.setattr(connection, "_LIMIT_S", 1.0)
            with pytest.raises(StoreUnavailable):
                await store.commit(lease, Batch(1, T, runs=[new_run(A)]), lease_us=LEASE)
            monkeypatch.undo()
            said = await refusal(store.last_batch(lease))
        assert await store.get_run(A) is None
        await asyncio.to_thread(pair.standby.start)
        async with asyncio.timeout(WITHIN_S):
            while await store.get_run(A) is None:  # noqa: ASYNC110 - it is the server that goes on
                await asyncio.sleep(0.05)
        assert await store.last_batch(lease) == 1


async def test_a_standby_is_no_store(pair):
    with pytest.raises(StoreUnavailable, match="is a standby, which cannot be written: name the primary server"):
        await PostgresStore(pair.url(pair.standby)).open()
    with pytest.raises(StoreUnavailable, match=r"no server of .* can be written .*: name the primary, or"):
        await PostgresStore(pair.url(pair.standby, pair.standby)).open()


async def test_a_host_that_does_not_answer_keeps_nobody_from_the_others(pair, monkeypatch):
    silent = socket.create_server(("127.0.0.1", 0))
    port = silent.getsockname()[1]
    connect, asked = asyncpg.connect, []

    async def soon_given_up(dsn, *, timeout, **options):
        asked.append((dsn, timeout))
        return await connect(dsn, timeout=0.2 if str(port) in dsn else WITHIN_S, **options)

    monkeypatch.setattr(asyncpg, "connect", soon_given_up)
    try:
        hosts = f"127.0.0.1:{port},127.0.0.1:{pair.primary.port}"
        async with store_on(f"postgresql://postgres@{hosts}/shop") as store:
            assert await store.count_runs() == {}
    finally:
        silent.close()
    assert [timeout for _, timeout in asked] == [servers.HOST_S] * 3
    assert sum(str(port) in dsn for dsn, _ in asked) == 1, "it is not asked again"


async def test_an_engine_whose_database_may_have_lost_something_begins_anew(pair):
    """What one wrote last is lost, and what another claimed."""
    pair.asynchronous()
    async with store_on(pair.url()) as writer, store_on(pair.url()) as claimer:
        leases = [await one.acquire(now=T, lease_us=LEASE, who="test") for one in (writer, claimer)]
        await writer.commit(leases[0], Batch(1, T, runs=[new_run(A), new_run(B)]), lease_us=LEASE)
        await asyncio.to_thread(pair.caught_up)
        await asyncio.to_thread(pair.standby.stop, signal.SIGINT)
        await writer.commit(leases[0], Batch(2, T, history=[event(A, 1)]), lease_us=LEASE)
        assert await claimer.claim(leases[1], B)
        await asyncio.to_thread(pair.primary.kill)
        await asyncio.to_thread(pair.standby.start)
        await asyncio.to_thread(pair.standby.promote)
        for store, lease, batch in (
            (writer, leases[0], Batch(3, T, history=[event(A, 2)])),
            (claimer, leases[1], Batch(1, T, history=[event(B, 1)])),
        ):
            with pytest.raises(EngineFenced, match="begins anew: its database is another now"):
                await store.commit(lease, batch, lease_us=LEASE)
        assert await writer.history(A) == await writer.history(B) == [], "no gap came to be"
        again = await writer.acquire(now=T, lease_us=LEASE, who="anew")
        await writer.commit(again, Batch(1, T, history=[event(A, 1)]), lease_us=LEASE)


def test_engines_go_on_at_the_standby_that_is_promoted_and_nothing_acknowledged_is_lost(pair, tmp_path):
    pair.synchronous()
    toilers = Toilers(pair.url(), tmp_path, count=2, lease_s=60)
    try:
        toilers.goes_on()
        pair.fail_over()
        toilers.goes_on()
        assert not toilers.ledger.lines("fenced"), "what was acknowledged was there: nobody had to begin anew"
        pair.primary.start()  # a zombie, that takes writes for all it knows
        pair.standby.sql(f"SELECT pg_terminate_backend(pid) {OURS}")
        toilers.goes_on()
        late = toilers.launch()  # which has never heard of the promotion
        toilers.all.append(late)
        toilers.goes_on()
        toilers.until(lambda: pair.primary.sql(f"SELECT count(*) {OURS}") == "0", "somebody works on the old primary")
        toilers.finish(pair.url(pair.standby))
    finally:
        toilers.close()
