"""What is too large for one message, or one value, of PostgreSQL."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from ripresa.contracts.errors import CommitUnknown, EngineFenced
from ripresa.ports.batch import Batch
from ripresa.ports.effects import Effect
from ripresa.ports.rows import Outgoing
from ripresa.stores.postgres import PostgresStore, loading, pieces
from ripresa.testing.store_contract import LEASE, A, B, T, change, event, message, new_run
from ripresa.testing.torture.wire import CUTS, UNDER_WAY
from tests.stores.test_postgres_faults import cutting

LONG = '"' + "ä" * 30_000 + '"'


@pytest.fixture(autouse=True)
def _soon_large(monkeypatch):
    monkeypatch.setattr(pieces, "LARGE", 100_000)


async def opened(url):
    store = PostgresStore(url, heartbeat_thread=False)
    await store.open()
    return store, await store.acquire(now=T, lease_us=LEASE, who="test")


def large(number):
    """A batch of long texts of all kinds."""
    return Batch(
        number,
        T,
        runs=[new_run(B, input=LONG)],
        changes=[change(A, "waiting", output=LONG, error=LONG)],
        history=[event(A, 1, data=LONG), event(B, 1, data="1")],
        messages=[message(f"m{number}", A, data=LONG), message(f"n{number}", A, data="2")],
        outgoing=[Outgoing(f"o{number}", A, "seen", LONG, T)],
        effects=[Effect("paid", A, f"{A}:pay", 7, T, LONG)],
    )


async def assert_whole(store):
    assert (await store.get_run(B)).input == LONG
    run = await store.get_run(A)
    assert (run.output, run.error) == (LONG, LONG)
    assert [one.data for one in await store.history(A)][-1] == LONG
    assert [one.data for one in await store.messages(A)] == [LONG, "2"]
    assert [one.data for one in await store.outgoing(limit=9)] == [LONG]
    assert (await store.effect("paid")).output == LONG
    assert await store.check() == []


async def test_a_large_batch_is_written_whole(postgres_url):
    store, lease = await opened(postgres_url)
    await store.commit(lease, Batch(1, T, runs=[new_run(A)]), lease_us=LEASE)
    await store.claim_effect(lease, Effect("paid", A, f"{A}:pay", 7, T))
    assert pieces.is_large(large(2))
    assert await store.commit(lease, large(2), lease_us=LEASE) == frozenset()
    await assert_whole(store)
    with pytest.raises(CommitUnknown, match="was written before"):
        await store.commit(lease, large(2), lease_us=LEASE)
    await assert_whole(store)
    await store.close()


async def test_a_large_batch_of_a_zombie_leaves_nothing(postgres, postgres_url):
    store, lease = await opened(postgres_url)
    await store.commit(lease, Batch(1, T, runs=[new_run(A)]), lease_us=LEASE)
    await store.release(lease)
    with pytest.raises(EngineFenced):
        await store.commit(lease, large(2), lease_us=LEASE)
    assert postgres.sql("SELECT count(*) FROM ripresa.blob", postgres_url.rpartition("/")[2]) == "0"
    await store.close()


@pytest.mark.parametrize("how", CUTS)
async def test_a_large_batch_whose_answer_is_lost_is_written_whole_or_not_at_all(postgres, postgres_url, how):
    async with cutting(postgres, postgres_url) as (wire, url, _):
        store, lease = await opened(url)
        await store.commit(lease, Batch(1, T, runs=[new_run(A)]), lease_us=LEASE)
        await store.claim_effect(lease, Effect("paid", A, f"{A}:pay", 7, T))
        cuts = iter([None, how])  # the call of the batch goes by, and COMMIT does not
        wire.decide = lambda: next(cuts, None)
        with pytest.raises(CommitUnknown):
            await store.commit(lease, large(2), lease_us=LEASE)
        if how == UNDER_WAY:
            await asyncio.wait_for(wire.arrived.wait(), 60)
        if await store.last_batch(lease) == 1:
            await store.commit(lease, large(2), lease_us=LEASE)
        await assert_whole(store)
        await store.close()


class Narrow:
    """A connection that finds what is to be loaded too large, whatever it is."""

    def __init__(self, connection):
        self._connection = connection

    def __getattr__(self, name):
        return getattr(self._connection, name)

    async def fetchrow(self, *_):
        raise asyncpg.ProgramLimitExceededError("array size exceeds the maximum allowed (1073741823)")


async def test_runs_that_are_too_large_for_one_value_are_loaded_all_the_same(postgres_url):
    store, lease = await opened(postgres_url)
    await store.commit(lease, Batch(1, T, runs=[new_run(A)]), lease_us=LEASE)
    await store.claim_effect(lease, Effect("paid", A, f"{A}:pay", 7, T))
    await store.commit(lease, large(2), lease_us=LEASE)
    connection = await asyncpg.connect(postgres_url, server_settings={"search_path": "ripresa"})
    assert await loading.load_runs(Narrow(connection), [A, B]) == await store.load([A, B])
    await connection.close()
    await store.close()
