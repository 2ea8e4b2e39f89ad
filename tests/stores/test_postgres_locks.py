"""Many engines and senders on the same rows: nobody waits for ever, and nobody's work is lost."""

import asyncio

import asyncpg
import pytest

from ripresa.contracts.errors import StoreBusy
from ripresa.ports.batch import Batch
from ripresa.ports.effects import Effect
from ripresa.ports.rows import Ready
from ripresa.stores.postgres import PostgresStore
from ripresa.testing.store_contract import LEASE, A, B, T, change, event, message, new_run, run_id

TURNS = 25
RUNS = [run_id(number) for number in range(1, 21)]


async def opened(url, **options):
    store = PostgresStore(url, heartbeat_thread=False, **options)
    await store.open()
    return store


async def engine(url, first):
    """A store with a lease, and a way to commit with numbers that count up."""
    store = await opened(url)
    lease = await store.acquire(now=T, lease_us=LEASE, who="test")
    numbers = iter(range(1, 100_000))

    async def commit(**rows):
        return await store.commit(lease, Batch(next(numbers), T, **rows), lease_us=LEASE)

    return store, lease, commit


async def test_engines_that_write_to_each_others_runs_in_any_order_get_by(postgres, postgres_url):
    """Each parks its own runs and makes the others' ready, claims, and is sent messages, all at once."""
    engines = [await engine(postgres_url, number) for number in range(3)]
    sender = await opened(postgres_url)
    for number, (_, lease, commit) in enumerate(engines):
        await commit(runs=[new_run(run, owner=lease.engine) for run in RUNS[number::3]])

    async def work(number):
        store, lease, commit = engines[number]
        for turn in range(TURNS):
            own, others = RUNS[number::3], RUNS[(number + 1) % 3 :: 3]
            order = others if turn % 2 else others[::-1]
            await commit(
                changes=[change(run, "waiting") for run in own],
                ready=[Ready(run, T + turn) for run in (*order, *own)],
                unready=own[turn % 3 :: 2],
                messages=[message(f"{number}-{turn}-{run}", run) for run in order],
            )
            claimed = await store.claim_due(lease, now=T + 1_000, limit=5)
            await commit(changes=[change(run, "running", owner=lease.engine) for run in claimed])

    async def send():
        for turn in range(TURNS):
            await asyncio.gather(*[sender.send(message(f"s-{turn}-{run}", run)) for run in RUNS])

    async with asyncio.timeout(100):
        await asyncio.gather(send(), *[work(number) for number in range(3)])
    waiting = [one.id for run in RUNS for one in await sender.messages(run)]
    assert len(waiting) == len(set(waiting)) == TURNS * (len(RUNS) + sum(len(RUNS[n::3]) for n in range(3)))
    assert await sender.check() == []
    for store in (sender, *[one[0] for one in engines]):
        await store.close()


async def test_who_asks_for_an_effect_that_is_given_up_meanwhile_has_it(postgres_url, monkeypatch):
    """Between the claim, which comes too early, and the look at what stands."""
    store, lease, commit = await engine(postgres_url, 0)
    await commit(runs=[new_run(A), new_run(B)])
    first, second = (Effect("key:order", run, f"{run}:charge", 7, T) for run in (A, B))
    assert await store.claim_effect(lease, first) == first
    look = store.effect

    async def once_given_up(effect):
        monkeypatch.setattr(store, "effect", look)
        await commit(given_up=[(first.id, first.holder)])
        return await look(effect)

    monkeypatch.setattr(store, "effect", once_given_up)
    assert await store.claim_effect(lease, second) == second
    await store.close()


async def test_runs_of_one_key_and_lines_of_one_name_are_given_once_in_any_order(postgres_url):
    engines = [await engine(postgres_url, number) for number in range(3)]
    keys = [f"key-{number}" for number in range(30)]

    async def start(number):
        _, _, commit = engines[number]
        refused = 0
        for turn in range(0, len(keys), 5):
            mine = keys[turn : turn + 5][:: 1 if number % 2 else -1]
            runs = [new_run(run_id(1_000 * (number + 1) + keys.index(key)), key=key) for key in mine]
            refused += len(await commit(runs=runs, history=[event(run.id, 1) for run in runs]))
        return refused

    async with asyncio.timeout(60):
        refused = await asyncio.gather(*[start(number) for number in range(3)])
    assert sum(refused) == 2 * len(keys)
    assert await engines[0][0].count_runs() == {"running": len(keys)}
    assert await engines[0][0].check() == []
    for store, *_ in engines:
        await store.close()


async def test_a_row_that_is_held_for_long_makes_who_waits_say_so_and_try_again(postgres_url):
    store = await opened(postgres_url, lock_timeout=0.05)
    lease = await store.acquire(now=T, lease_us=LEASE, who="test")
    await store.commit(lease, Batch(1, T, runs=[new_run(A), new_run(B)]), lease_us=LEASE)
    holder = await asyncpg.connect(postgres_url)
    transaction = holder.transaction()
    await transaction.start()
    await holder.execute("SELECT 1 FROM ripresa.run WHERE id = $1 FOR UPDATE", A)
    with pytest.raises(StoreBusy, match="nothing was written"):
        await store.commit(lease, Batch(2, T, changes=[change(A, "waiting")], history=[event(B, 1)]), lease_us=LEASE)
    assert await store.last_batch(lease) == 1
    assert await store.history(B) == []
    await transaction.rollback()
    await holder.close()
    await store.commit(lease, Batch(2, T, changes=[change(A, "waiting")], history=[event(B, 1)]), lease_us=LEASE)
    assert (await store.get_run(A)).status == "waiting"
    await store.close()


async def test_a_claim_passes_over_a_run_that_somebody_has_locked(postgres_url):
    store = await opened(postgres_url)
    lease = await store.acquire(now=T, lease_us=LEASE, who="test")
    rows = [Ready(A, T), Ready(B, T)]
    await store.commit(lease, Batch(1, T, runs=[new_run(A), new_run(B)], ready=rows), lease_us=LEASE)
    holder = await asyncpg.connect(postgres_url)
    async with holder.transaction():
        await holder.execute("SELECT 1 FROM ripresa.run WHERE id = $1 FOR UPDATE", A)
        assert await asyncio.wait_for(store.claim_due(lease, now=T, limit=9), 30) == [B]
    await holder.close()
    assert await store.claim_due(lease, now=T, limit=9) == [A]
    await store.close()
