"""Transactions of steps and of callers on PostgreSQL: exactly once, whatever breaks when."""

import asyncio

import asyncpg
import pytest

from ripresa import App, NoTransactions, RunConflict, RunFailed, RunNotFound, StepFailed, transaction, wait_for_signal
from ripresa import workflow as workflow_
from ripresa.stores.postgres import PostgresStore
from ripresa.stores.postgres.lending import Lending


@transaction
async def open_account(tx: asyncpg.Connection, name: str, cents: int) -> None:
    await tx.execute("CREATE TABLE IF NOT EXISTS account (name text PRIMARY KEY, cents int CHECK (cents >= 0))")
    await tx.execute("INSERT INTO account VALUES ($1, $2)", name, cents)


@transaction
async def move(tx: asyncpg.Connection, source: str, target: str, cents: int) -> int:
    await tx.execute("UPDATE account SET cents = cents + $1 WHERE name = $2", cents, target)
    return await tx.fetchval("UPDATE account SET cents = cents - $1 WHERE name = $2 RETURNING cents", cents, source)


@workflow_
async def bank(cents: int) -> int:
    await open_account("ada", 100)
    await open_account("bob", 0)
    return await move("ada", "bob", cents)


@workflow_
async def ship(order: str) -> str:
    return f"{order} to {await wait_for_signal('address', str)}"


@pytest.fixture
async def mine(postgres_url):
    """A connection of the user's own."""
    connection = await asyncpg.connect(postgres_url)
    yield connection
    for table in ("account", "note", "orders"):
        await connection.execute(f"DROP TABLE IF EXISTS {table}")
    await connection.close()


async def accounts(mine):
    return [tuple(row) for row in await mine.fetch("SELECT name, cents FROM account ORDER BY 1")]


async def test_what_it_writes_is_there_when_it_is_recorded(postgres_url, mine):
    async with App(postgres_url, [bank]) as app:
        assert await (await app.start(bank, 30)).result("30s") == 70
    assert await accounts(mine) == [("ada", 70), ("bob", 30)]


async def test_what_it_raises_undoes_what_it_did(postgres_url, mine):
    async with App(postgres_url, [bank]) as app:
        with pytest.raises(RunFailed, match=r"step 'move' failed after 1 attempt: .*CheckViolation"):
            await (await app.start(bank, 101)).result("30s")
    assert await accounts(mine) == [("ada", 100), ("bob", 0)]


async def test_a_crash_between_its_commit_and_the_journal_does_not_repeat_it(postgres_url, mine, monkeypatch):
    app = await App(postgres_url, [bank]).open()
    transact = PostgresStore.transact
    died = asyncio.Event()

    async def die_after(store, effect, work):
        output = await transact(store, effect, work)
        if "move" in effect.id and not died.is_set():
            died.set()
            await asyncio.sleep(3600)
        return output

    monkeypatch.setattr(PostgresStore, "transact", die_after)
    await app.start(bank, 30, id="r")
    await died.wait()
    assert await accounts(mine) == [("ada", 70), ("bob", 30)]
    await app.crash()
    async with App(postgres_url, [bank]) as app:
        assert await (await app.get("r")).result("30s") == 70
    assert await accounts(mine) == [("ada", 70), ("bob", 30)]


async def test_two_that_do_the_same_at_once_do_it_once(postgres_url, mine, monkeypatch):
    """As a zombie and its successor do: the second waits for the first, and gets its output."""
    await mine.execute("CREATE TABLE note (text text)")
    stores = [PostgresStore(postgres_url, heartbeat_thread=False) for _ in range(2)]
    for store in stores:
        await store.open()
    begun = asyncio.Event()

    async def note(tx):
        begun.set()
        await tx.execute("INSERT INTO note VALUES ('x')")
        await asyncio.sleep(0.1)
        return f'"{id(tx)}"'

    from ripresa.ports.effects import Effect

    effect = Effect("tx:r:note", "r", "r:note", 0, 0)
    outputs = await asyncio.gather(*[store.transact(effect, note) for store in stores])
    assert outputs[0] == outputs[1]
    assert await mine.fetchval("SELECT count(*) FROM note") == 1
    for store in stores:
        await store.close()


async def test_a_connection_that_breaks_before_the_commit_is_another_try(postgres_url, mine):
    cut = []

    @transaction
    async def note(tx: asyncpg.Connection) -> str:
        await tx.execute("CREATE TABLE IF NOT EXISTS note (text text)")
        await tx.execute("INSERT INTO note VALUES ('x')")
        if not cut:
            cut.append(await tx.fetchval("SELECT pg_backend_pid()"))
            await mine.execute("SELECT pg_terminate_backend($1, 10000)", cut[0])
            await tx.execute("INSERT INTO note VALUES ('y')")
        return "noted"

    @workflow_
    async def noting() -> str:
        return await note()

    async with App(postgres_url, [noting]) as app:
        assert await (await app.start(noting)).result("30s") == "noted"
    assert [row[0] for row in await mine.fetch("SELECT text FROM note")] == ["x"]


async def test_a_commit_whose_answer_is_lost_is_not_done_again(postgres_url, mine, monkeypatch):
    from asyncpg.transaction import Transaction

    commit, lost = Transaction.commit, []

    async def commit_and_lose(self):
        await commit(self)
        if not lost:
            lost.append(self)
            self._connection.terminate()
            raise ConnectionResetError("the answer was lost")

    @transaction
    async def note(tx: asyncpg.Connection) -> str:
        await tx.execute("CREATE TABLE IF NOT EXISTS note (text text)")
        await tx.execute("INSERT INTO note VALUES ('x')")
        return "noted"

    @workflow_
    async def noting() -> str:
        return await note()

    async with App(postgres_url, [noting]) as app:
        monkeypatch.setattr(Transaction, "commit", commit_and_lose)
        assert await (await app.start(noting)).result("30s") == "noted"
    assert lost
    assert await mine.fetchval("SELECT count(*) FROM note") == 1


async def test_a_time_limit_undoes_it(postgres_url, mine):
    @transaction(timeout="100ms")
    async def note(tx: asyncpg.Connection) -> None:
        await tx.execute("CREATE TABLE note (text text)")
        await tx.execute("SELECT pg_sleep(60)")

    @workflow_
    async def noting() -> str:
        try:
            await note()
        except StepFailed as failed:
            return failed.cause.code
        return "done"

    async with App(postgres_url, [noting]) as app:
        assert await (await app.start(noting)).result("30s") == "timeout"
    assert await mine.fetchval("SELECT to_regclass('note')") is None


async def test_a_step_does_not_end_the_transaction(postgres_url, mine):
    @transaction
    async def note(tx: asyncpg.Connection) -> None:
        await tx.execute("COMMIT")
        await tx.execute("BEGIN")

    @workflow_
    async def noting() -> None:
        await note()

    async with App(postgres_url, [noting]) as app:
        with pytest.raises(RunFailed, match="the step has ended the transaction that it was given"):
            await (await app.start(noting)).result("30s")


async def test_postgresql_wants_an_async_def(postgres_url):
    @transaction
    def note(tx: asyncpg.Connection) -> None: ...

    @workflow_
    async def noting() -> None:
        note()

    async with App(postgres_url, [noting]) as app:
        with pytest.raises(RunFailed, match=f"{NoTransactions.__name__}.* write `async def` for `def`"):
            await (await app.start(noting)).result("30s")


async def test_few_connections_are_kept(postgres_url, mine):
    store = PostgresStore(postgres_url, heartbeat_thread=False)
    lending = Lending(store.address, lock_timeout_s=5, rest=asyncio.sleep)

    async def nothing(tx):
        await asyncio.sleep(0.05)
        return "null"

    from ripresa.ports.effects import Effect

    await asyncio.gather(*[lending.transact(Effect(f"tx:{n}", "r", "h", 0, 0), nothing) for n in range(12)])
    assert 0 < len(lending._kept) <= 4
    await lending.close()


async def test_a_run_and_a_signal_within_the_callers_transaction(postgres_url, mine):
    await mine.execute("CREATE TABLE orders (id text PRIMARY KEY)")
    async with App(postgres_url, [ship]) as app:
        async with mine.transaction():
            await mine.execute("INSERT INTO orders VALUES ('o-1')")
            run = await app.start(ship, "o-1", id="o-1", connection=mine)
            await app.signal(run, "address", "Rome", connection=mine)
            await mine.execute("INSERT INTO orders VALUES ('o-2')")  # on the search path that it had
            with pytest.raises(RunNotFound):
                await app.get("o-1")
        assert await run.result("30s") == "o-1 to Rome"
        began = mine.transaction()
        await began.start()
        await app.start(ship, "o-9", id="o-9", connection=mine)
        await began.rollback()
        with pytest.raises(RunNotFound):
            await app.get("o-9")
        async with mine.transaction():
            await app.start(ship, "o-3", id="o-3", connection=mine)
            with pytest.raises(RunConflict, match="in a transaction that is not committed"):
                await app.start(ship, "o-3", id="o-3", connection=mine)


async def test_a_connection_that_cannot_be_meant_is_refused(postgres, postgres_url, mine):
    async with App(postgres_url, [ship]) as app:
        with pytest.raises(ValueError, match="not in a transaction"):
            await app.start(ship, "o-1", connection=mine)
        with pytest.raises(TypeError, match="a connection of asyncpg, psycopg or SQLAlchemy is wanted, not str"):
            await app.start(ship, "o-1", connection="shop")
        elsewhere = await asyncpg.connect(postgres.url)
        async with elsewhere.transaction():
            with pytest.raises(ValueError, match="its database has no schema 'ripresa'"):
                await app.start(ship, "o-1", connection=elsewhere)
        await elsewhere.close()
        other = postgres.database()  # a store is there too
        elsewhere = await asyncpg.connect(other)
        async with elsewhere.transaction():
            with pytest.raises(ValueError, match="it is to another database than the store"):
                await app.start(ship, "o-1", connection=elsewhere)
        await elsewhere.close()
        postgres.clean(other)
        assert await app.list() == []


async def test_a_server_that_was_restarted_is_the_same_database(postgres, postgres_url):
    async with App(postgres_url, [ship]) as app:
        for name in ("before", "after"):
            mine = await asyncpg.connect(postgres_url)
            async with mine.transaction():
                run = await app.start(ship, name, id=name, connection=mine)
                await app.signal(run, "address", "Rome", connection=mine)
            assert await run.result("30s") == f"{name} to Rome"
            await mine.close()
            if name == "before":
                await asyncio.to_thread(postgres.restart)
