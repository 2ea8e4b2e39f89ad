"""What no fault between an engine and its PostgreSQL may do: lose a commit, or do one twice."""

import asyncio
import random
import signal
from collections import Counter
from contextlib import asynccontextmanager
from functools import partial

import asyncpg
import pytest
from asyncpg.exceptions import ConnectionDoesNotExistError

from ripresa import App, step, workflow
from ripresa.contracts.errors import CommitUnknown, EngineFenced, StoreError, StoreUnavailable
from ripresa.ports.batch import Batch
from ripresa.ports.effects import Effect
from ripresa.stores.postgres import PostgresStore, pools
from ripresa.stores.postgres.waiting import wait
from ripresa.testing.store_contract import LEASE, A, B, T, event, message, new_run, ticket
from ripresa.testing.torture.wire import AFTER, BEFORE, CUTS, UNDER_WAY, Wire
from tests.support.postgres import PostgresServer

STEPS = 5
CLIENTS = 4
LATE_S = 0.05


@step
async def charge(number: int, index: int) -> int:
    done[number, index] += 1
    return index


@workflow
async def pipeline(number: int) -> int:
    return sum([await charge(number, index) for index in range(STEPS)])


done: Counter = Counter()


@pytest.fixture(autouse=True)
def _fresh():
    done.clear()


async def work(app, enough):
    """Run one workflow after the other, some at once, until there were enough faults; how many ended."""
    numbers = iter(range(1_000_000))
    runs = []

    async def client():
        while not enough():
            number = next(numbers)
            runs.append(number)
            assert await end_of(app, number) == sum(range(STEPS))

    await asyncio.gather(*[client() for _ in range(CLIENTS)])
    return runs


async def end_of(app, number):
    """Start a run and wait for its end, as often as the store says that it is away."""
    async with asyncio.timeout(60):
        while True:
            try:
                run = await app.start(pipeline, number, id=f"order-{number}")
                return await run.result("60s")
            except StoreUnavailable:
                await asyncio.sleep(0.05)


async def assert_nothing_lost_or_doubled(url, runs):
    store = PostgresStore(url)
    await store.open()
    try:
        assert await store.count_runs() == {"succeeded": len(runs)}
        for number in runs:
            run = await store.get_run(f"order-{number}")
            kinds = [event.kind for event in await store.history(run.id)]
            assert kinds == ["run_started", *["step_completed"] * STEPS, "finished"]
        assert await store.check() == []
    finally:
        await store.close()
    assert set(done.values()) == {1}
    assert len(done) == STEPS * len(runs)


@asynccontextmanager
async def cutting(postgres, url):
    """A wire to the server, the store's address along it, and a count of the cuts that were made on it."""
    fired = Counter()
    wire = Wire("127.0.0.1", postgres.port, decide=lambda: None, fired=lambda how: fired.update([how]))
    await wire.open()
    try:
        yield wire, url.replace(str(postgres.port), str(wire.port)), fired
    finally:
        await wire.close()


# -- commits whose answer is lost -------------------------------------------------------------------------------------


async def test_ambiguous_commits_are_looked_up_and_never_guessed(postgres, postgres_url, request):
    """`--faults 200` for the long version."""
    faults = request.config.getoption("--faults")
    dice = random.Random(7)

    async with cutting(postgres, postgres_url) as (wire, url, fired):
        wire.linger = partial(asyncio.sleep, LATE_S)
        async with App(url, workflows=[pipeline]) as app:
            wire.decide = lambda: dice.choice(CUTS) if dice.random() < 0.5 else None
            runs = await work(app, lambda: fired.total() >= faults)
            wire.decide = lambda: None
        assert fired.total() >= faults
        assert fired.keys() == set(CUTS)
    await assert_nothing_lost_or_doubled(postgres_url, runs)


@pytest.mark.parametrize(("what", "written"), [(BEFORE, 0), (AFTER, 1)])
async def test_the_last_batch_tells_what_became_of_a_commit_that_was_cut(postgres, postgres_url, what, written):
    async with cutting(postgres, postgres_url) as (wire, url, _):
        store = PostgresStore(url, heartbeat_thread=False)
        await store.open()
        lease = await store.acquire(now=T, lease_us=LEASE, who="test")
        wire.decide = lambda: what
        batch = Batch(1, T, runs=[new_run(A)], history=[event(A, 1)])
        with pytest.raises(CommitUnknown):
            await store.commit(lease, batch, lease_us=LEASE)
        wire.decide = lambda: None
        assert await store.last_batch(lease) == written
        if written:
            with pytest.raises(CommitUnknown):  # written before: nobody writes it again
                await store.commit(lease, batch, lease_us=LEASE)
        else:
            assert await store.commit(lease, batch, lease_us=LEASE) == frozenset()
        assert await store.history(A) == [event(A, 1)]
        await store.close()


@pytest.mark.parametrize("meanwhile", [False, True], ids=["before-it-is-done-again", "after-it-was-done-again"])
async def test_a_commit_that_comes_late_is_written_once(postgres, postgres_url, meanwhile):
    async with cutting(postgres, postgres_url) as (wire, url, _):
        store = PostgresStore(url, heartbeat_thread=False)
        await store.open()
        lease = await store.acquire(now=T, lease_us=LEASE, who="test")
        let_on = asyncio.Event()
        wire.linger = let_on.wait
        cuts = iter([UNDER_WAY])
        wire.decide = lambda: next(cuts, None)
        batch = Batch(1, T, runs=[new_run(A)], messages=[message("m1", A)], history=[event(A, 1)])
        with pytest.raises(CommitUnknown):
            await store.commit(lease, batch, lease_us=LEASE)
        assert await store.last_batch(lease) == 0
        if meanwhile:
            assert await store.commit(lease, batch, lease_us=LEASE) == frozenset()
            await store.commit(lease, Batch(2, T, taken=["m1"]), lease_us=LEASE)
        let_on.set()
        await asyncio.wait_for(wire.arrived.wait(), 30)
        if not meanwhile:
            with pytest.raises(CommitUnknown, match="written before"):
                await store.commit(lease, batch, lease_us=LEASE)
            await store.commit(lease, Batch(2, T, taken=["m1"]), lease_us=LEASE)
        assert await store.last_batch(lease) == 2
        assert await store.messages(A) == []
        assert await store.history(A) == [event(A, 1)]
        await store.close()


# -- a server that goes away ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(postgres):
    """One of our own to kill."""
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.mark.parametrize("how", ["kill", "restart"])
async def test_engines_go_on_when_their_server_is_back(server, how):
    url = server.database()
    times = 2

    async def trouble():
        for _ in range(times):
            await asyncio.sleep(0.3)
            if how == "kill":
                await asyncio.to_thread(server.kill)
                await asyncio.sleep(0.2)
                await asyncio.to_thread(server.start)
            else:
                await asyncio.to_thread(server.restart)

    async with App(url, workflows=[pipeline]) as app:
        troubled = asyncio.ensure_future(trouble())
        runs = await work(app, troubled.done)
        await troubled
        assert await end_of(app, -1) == sum(range(STEPS))
    await assert_nothing_lost_or_doubled(url, [*runs, -1])
    server.drop(url)


async def test_verbs_say_that_the_server_is_away_and_work_again_when_it_is_back(server):
    url = server.database()
    store = PostgresStore(url, heartbeat_thread=False)
    await store.open()
    lease = await store.acquire(now=T, lease_us=LEASE, who="test")
    await store.commit(lease, Batch(1, T, runs=[new_run(A)]), lease_us=LEASE)
    server.stop(signal.SIGINT)
    for verb in (
        lambda: store.commit(lease, Batch(2, T, runs=[new_run(B)]), lease_us=LEASE),
        lambda: store.get_run(A),
        lambda: store.claim_due(lease, now=T, limit=9),
        lambda: store.send(message("m1", A)),
        lambda: store.renew(lease, now=T, lease_us=LEASE),
    ):
        with pytest.raises(StoreUnavailable) as told:
            await verb()
        assert "nothing was written" in str(told.value) or isinstance(told.value, CommitUnknown)
    server.start()
    assert await store.last_batch(lease) == 1
    await store.commit(lease, Batch(2, T, runs=[new_run(B)]), lease_us=LEASE)
    assert (await store.get_run(B)).id == B
    await store.close()
    server.drop(url)


async def test_a_server_that_was_away_is_not_met_by_a_crowd_of_connections(server):
    url = server.database()
    async with App(url, workflows=[pipeline]) as app:
        await asyncio.to_thread(server.restart)
        assert await asyncio.gather(*[end_of(app, number) for number in range(20)]) == [sum(range(STEPS))] * 20
        count = int(server.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'ripresa %'"))
        assert 1 <= count <= 8
    server.drop(url)


async def test_who_watches_hears_again_after_the_server_was_away(server):
    url = server.database()
    store, other = (PostgresStore(url, heartbeat_thread=False) for _ in range(2))
    await store.open()
    await other.open()
    lease = await store.acquire(now=T, lease_us=LEASE, who="test")
    await store.commit(lease, Batch(1, T, runs=[new_run(A)]), lease_us=LEASE)
    told = asyncio.Event()
    store.watch(told.set)
    await asyncio.wait_for(told.wait(), 30)
    told.clear()
    await asyncio.to_thread(server.restart)
    await asyncio.wait_for(told.wait(), 30)  # it listens again, and may have missed something
    told.clear()
    await other.send(message("m1", A))
    await asyncio.wait_for(told.wait(), 30)
    await store.close()
    await other.close()
    server.drop(url)


async def test_runs_that_were_taken_by_a_call_whose_answer_was_lost_are_given_by_the_next(postgres_url):
    store, other = (PostgresStore(postgres_url, heartbeat_thread=False) for _ in range(2))
    await store.open()
    await other.open()
    gone = await other.acquire(now=T, lease_us=LEASE, who="gone")
    await other.commit(gone, Batch(1, T, runs=[new_run(A, owner=gone.engine), new_run(B)]), lease_us=LEASE)
    await other.send(message("m1", B))
    lease = await store.acquire(now=T + LEASE, lease_us=LEASE, who="test")
    for take, run in (
        (lambda: store.claim_due(lease, now=T + LEASE, limit=9), B),
        (lambda: store.adopt(lease, now=T + LEASE, limit=9), A),
    ):
        assert await take() == [run]
        store._takes -= 1  # as if nobody had heard that
        assert await take() == [run]
        assert await take() == []
    await store.close()
    await other.close()


async def test_an_engine_that_stands_still_while_it_asks_for_slots_keeps_neither_its_lease_nor_the_desk(
    postgres_url, monkeypatch
):
    store, other = (PostgresStore(postgres_url, heartbeat_thread=False) for _ in range(2))
    await store.open()
    await other.open()
    lease = await store.acquire(now=T, lease_us=LEASE, who="stands still")
    await store.commit(lease, Batch(1, T, runs=[new_run(A, owner=lease.engine)]), lease_us=LEASE)
    gate, locked = asyncio.Event(), asyncio.Event()
    hand_out = pools.hand_out

    def stands_still(*given):
        locked.set()
        wait(gate.wait())
        return hand_out(*given)

    monkeypatch.setattr(pools, "hand_out", stands_still)
    asked = asyncio.create_task(store.tickets(lease, [ticket("load")], now=T))
    await locked.wait()
    monkeypatch.setattr(pools, "hand_out", hand_out)
    now = T + 2 * LEASE
    successor = await other.acquire(now=now, lease_us=LEASE, who="goes on")
    async with asyncio.timeout(30):
        while not await other.adopt(successor, now=now, limit=9):  # noqa: ASYNC110 - it is the server that gives up
            await asyncio.sleep(0.1)
        granted = await other.tickets(successor, [ticket("load")], now=now)
    assert granted.tickets
    gate.set()
    with pytest.raises(StoreError):
        await asked
    with pytest.raises(EngineFenced):
        await store.tickets(lease, [ticket("load")], now=T)
    await store.close()
    await other.close()


async def test_what_is_asked_while_desks_are_locked_is_known_to_the_server(postgres, postgres_url):
    """A question that is new goes in two messages, between which no limit of the server's ends a transaction."""
    async with cutting(postgres, postgres_url) as (wire, url, _):
        said = []
        wire.heard = said.append
        store = PostgresStore(url, heartbeat_thread=False)
        await store.open()
        await store.put_pool("lake", '{"slots": 1}')
        lease = await store.acquire(now=T, lease_us=LEASE, who="asks")
        assert (await store.tickets(lease, [ticket("load"), ticket("save")], now=T)).tickets
        begun = max(place for place, one in enumerate(said) if one.startswith(b"QBEGIN"))
        assert {one[:1] for one in said[begun:]} == {b"Q", b"B", b"E", b"S"}
        await store.close()


async def test_a_step_whose_connection_breaks_after_its_transaction_is_done(postgres_url, monkeypatch):
    store = PostgresStore(postgres_url, heartbeat_thread=False)
    await store.open()

    async def breaks(connection):
        connection.terminate()
        raise ConnectionDoesNotExistError("connection was closed in the middle of operation")

    monkeypatch.setattr(asyncpg.Connection, "reset", breaks)

    async def writes(connection):
        written.append(await connection.fetchval("SELECT 1"))
        return '"done"'

    written: list = []
    for _ in range(2):
        assert await store.transact(Effect("tx:k", A, "k", 0, T), writes) == '"done"'
    assert written == [1]
    await store.close()
