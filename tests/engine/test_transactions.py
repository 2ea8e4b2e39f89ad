"""Steps in the store's own transaction: their SQL takes effect exactly once, whatever dies when."""

import asyncio
import sqlite3
import threading

import pytest

from ripresa import App, NotInWorkflow, Retry, RunFailed, StepFailed, context, step, transaction, workflow
from ripresa.stores.sqlite import effects
from ripresa.stores.sqlite.effects import own_tables

pytestmark = pytest.mark.own_store  # it writes SQL as SQLite has it; tests/stores/test_postgres_lending.py is its twin


@pytest.fixture
def file(tmp_path):
    return tmp_path / "bank.db"


def ask(file, sql, *params):
    connection = sqlite3.connect(file)
    try:
        return connection.execute(sql, params).fetchall()
    finally:
        connection.close()


@transaction
def open_account(tx: sqlite3.Connection, name: str, cents: int) -> None:
    tx.execute("CREATE TABLE IF NOT EXISTS account (name TEXT PRIMARY KEY, cents INTEGER CHECK (cents >= 0))")
    tx.execute("INSERT INTO account VALUES (?, ?)", (name, cents))


@transaction(retry=Retry(max_attempts=2, delay=0))
def move(tx: sqlite3.Connection, source: str, target: str, cents: int) -> int:
    tx.execute("UPDATE account SET cents = cents + ? WHERE name = ?", (cents, target))
    tx.execute("UPDATE account SET cents = cents - ? WHERE name = ?", (cents, source))
    (left,) = tx.execute("SELECT cents FROM account WHERE name = ?", (source,)).fetchone()
    return left


@workflow
async def bank(cents: int) -> int:
    open_account("ada", 100)
    open_account("bob", 0)
    return move("ada", "bob", cents)


async def test_what_it_writes_is_there_when_it_is_recorded(file):
    async with App(file, [bank]) as app:
        assert await (await app.start(bank, 30)).result("30s") == 70
    assert ask(file, "SELECT name, cents FROM account ORDER BY 1") == [("ada", 70), ("bob", 30)]


async def test_what_it_raises_undoes_what_it_did(file):
    async with App(file, [bank]) as app:
        with pytest.raises(
            RunFailed, match=r"step 'move' failed after 2 attempts: sqlite3.IntegrityError: CHECK"
        ) as failed:
            await (await app.start(bank, 101)).result("30s")
        assert failed.value.cause.step == "move"
    assert ask(file, "SELECT name, cents FROM account ORDER BY 1") == [("ada", 100), ("bob", 0)]


async def test_a_crash_between_its_commit_and_the_journal_does_not_repeat_it(file, monkeypatch):
    """The worst moment: the transaction is on disk, and its engine dies before it knows."""
    from ripresa.stores.sqlite import SqliteStore

    app = await App(file, [bank]).open()
    transact = SqliteStore.transact
    died = asyncio.Event()

    async def die_after(store, effect, work):
        output = await transact(store, effect, work)
        if "move" in effect.id and not died.is_set():
            died.set()
            await asyncio.sleep(3600)
        return output

    monkeypatch.setattr(SqliteStore, "transact", die_after)
    await app.start(bank, 30, id="r")
    await died.wait()
    assert ask(file, "SELECT cents FROM account WHERE name = 'ada'") == [(70,)]
    await app.crash()
    async with App(file, [bank]) as app:
        assert await (await app.get("r")).result("30s") == 70
    assert ask(file, "SELECT name, cents FROM account ORDER BY 1") == [("ada", 70), ("bob", 30)]


async def test_what_was_cut_off_before_its_commit_is_done_by_the_next(file):
    begun = threading.Event()
    go_on = threading.Event()

    @transaction
    def slow(tx: sqlite3.Connection) -> str:
        tx.execute("CREATE TABLE IF NOT EXISTS note (text TEXT)")
        tx.execute("INSERT INTO note VALUES ('x')")
        begun.set()
        go_on.wait(30)
        return "noted"

    @workflow
    async def take_a_note() -> str:
        return slow()

    app = await App(file, [take_a_note]).open()
    await app.start(take_a_note, id="r")
    await asyncio.to_thread(begun.wait, 30)
    asyncio.get_running_loop().call_later(0.1, go_on.set)  # while the engine dies
    await app.crash()
    async with App(file, [take_a_note]) as app:
        assert await (await app.get("r")).result("30s") == "noted"
    assert ask(file, "SELECT count(*) FROM note") == [(1,)]


async def test_a_time_limit_undoes_it(file):
    begun = threading.Event()
    go_on = threading.Event()

    @transaction(timeout="50ms")
    def slow(tx: sqlite3.Connection) -> None:
        tx.execute("CREATE TABLE IF NOT EXISTS note (text TEXT)")
        begun.set()
        go_on.wait(30)
        tx.execute("INSERT INTO note VALUES ('x')")

    @workflow
    async def take_a_note() -> str:
        try:
            slow()
        except StepFailed as failed:
            return failed.cause.code
        return "done"

    async with App(file, [take_a_note]) as app:
        run = await app.start(take_a_note)
        await asyncio.to_thread(begun.wait, 30)
        releasing = asyncio.get_running_loop().call_later(0.3, go_on.set)
        assert await run.result("30s") == "timeout"
        releasing.cancel()
        go_on.set()
    assert ask(file, "SELECT name FROM sqlite_schema WHERE name = 'note'") == []


@pytest.mark.parametrize(
    "sql",
    [
        "COMMIT",
        "ROLLBACK",
        "DELETE FROM run",
        "UPDATE history SET data = 'null'",
        "INSERT INTO effect VALUES ('x', 'x', 'x', 0, 0, '1')",
        "DROP TABLE run",
        "ALTER TABLE run ADD COLUMN mine TEXT",
        "CREATE TRIGGER mine AFTER INSERT ON run BEGIN SELECT 1; END",
        "CREATE INDEX mine ON run (input)",
        "ATTACH ':memory:' AS other",
    ],
)
async def test_it_neither_ends_the_transaction_nor_touches_the_stores_tables(file, sql):
    @transaction
    def meddle(tx: sqlite3.Connection) -> None:
        tx.execute(sql)

    @workflow
    async def meddling() -> str:
        try:
            meddle()
        except StepFailed as failed:
            return str(failed.cause)
        return "done"

    async with App(file, [meddling]) as app:
        assert "DatabaseError: not authorized" in await (await app.start(meddling)).result("30s")
        assert await app.store.check() == []


def test_the_stores_tables_are_known():
    assert {"run", "history", "effect", "engine", "inbox", "outbox"} <= own_tables()


async def test_it_may_read_all_and_knows_its_step(file):
    @transaction
    def look(tx: sqlite3.Connection) -> list[str]:
        (runs,) = tx.execute("SELECT count(*) FROM run").fetchone()
        return [context().step, str(context().attempt), str(runs)]

    @workflow
    async def looking() -> list[str]:
        return look()

    async with App(file, [looking]) as app:
        assert await (await app.start(looking)).result("30s") == ["look", "1", "1"]


async def test_many_at_once_and_none_twice(file):
    @transaction
    def add(tx: sqlite3.Connection, name: str) -> None:
        tx.execute("CREATE TABLE IF NOT EXISTS total (name TEXT PRIMARY KEY, n INTEGER)")
        tx.execute("INSERT INTO total VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET n = n + 1", (name,))

    @step
    async def nothing(name: str) -> None: ...

    @workflow
    async def adding() -> None:
        await asyncio.gather(*[nothing(str(n)) for n in range(20)], *[add.start("x") for _ in range(20)])

    async with App(file, [adding]) as app:
        await asyncio.gather(*[(await app.start(adding)).result("60s") for _ in range(5)])
    assert ask(file, "SELECT n FROM total") == [(100,)]


async def test_a_file_that_is_locked_while_it_is_opened_is_waited_for(file, monkeypatch):
    opened, connect = [], effects.connect

    def locked_at_first(path):
        opened.append(path)
        if len(opened) < 3:
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = sqlite3.SQLITE_BUSY
            raise error
        return connect(path)

    @transaction
    def add(tx: sqlite3.Connection) -> int:
        tx.execute("CREATE TABLE total (n INTEGER)")
        return 1

    @workflow
    async def adding() -> int:
        return await add.start()

    monkeypatch.setattr(effects, "connect", locked_at_first)
    async with App(file, [adding]) as app:
        assert await (await app.start(adding)).result("30s") == 1
    assert len(opened) == 3


async def test_a_store_without_transactions_says_so():
    async with App("memory://", [bank]) as app:
        with pytest.raises(RunFailed, match="memory:// has no transactions to join: use sqlite:///… or postgresql://…"):
            await (await app.start(bank, 1)).result("30s")


async def test_sqlite_wants_a_def(file):
    @transaction
    async def later(tx: sqlite3.Connection) -> None: ...

    @workflow
    async def one() -> None:
        await later()

    async with App(file, [one]) as app:
        with pytest.raises(RunFailed, match="write `def` in place of `async def`"):
            await (await app.start(one)).result("30s")


def test_it_is_called_in_a_workflow():
    with pytest.raises(NotInWorkflow, match=r"a test may call move.function\(tx, …\)"):
        move("ada", "bob", 1)
    connection = sqlite3.connect(":memory:")
    open_account.function(connection, "ada", 5)
    open_account.function(connection, "bob", 5)
    assert move.function(connection, "ada", "bob", 2) == 3
    connection.close()


def test_it_needs_a_parameter_for_the_connection():
    with pytest.raises(TypeError, match=r"empty\(\) needs a first parameter for the connection"):

        @transaction
        def empty() -> None: ...


def test_its_options_are_known():
    with pytest.raises(TypeError, match="unknown option 'runtime'"):
        transaction(runtime="thread")
