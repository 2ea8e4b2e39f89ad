"""Runs started and signals sent within the caller's own transaction."""

import sqlite3

import pytest

from ripresa import App, RunConflict, RunNotFound, wait_for_signal, workflow
from ripresa.contracts.errors import NoTransactions

pytestmark = pytest.mark.own_store  # it gives connections to SQLite; tests/stores/test_postgres_lending.py is its twin


@workflow
async def ship(order: str) -> str:
    return f"{order} to {await wait_for_signal('address', str)}"


@pytest.fixture
def file(tmp_path):
    return tmp_path / "shop.db"


@pytest.fixture
async def app(file):
    async with App(file, [ship]) as app:
        yield app


@pytest.fixture
def mine(app, file):
    """A connection of the user's own, with a table of his own."""
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("CREATE TABLE orders (id TEXT PRIMARY KEY)")
    yield connection
    connection.close()


async def test_a_run_and_a_signal_are_there_with_what_else_was_written(app, mine):
    mine.execute("BEGIN IMMEDIATE")
    mine.execute("INSERT INTO orders VALUES ('o-1')")
    run = await app.start(ship, "o-1", id="o-1", tags={"region": "eu"}, connection=mine)
    await app.signal(run, "address", "Rome", connection=mine)
    with pytest.raises(RunNotFound):
        await app.get("o-1")
    mine.execute("COMMIT")
    assert await run.result("30s") == "o-1 to Rome"
    assert [run.id for run in await app.list(tags={"region": "eu"})] == ["o-1"]


async def test_what_is_rolled_back_never_was(app, mine):
    mine.execute("BEGIN IMMEDIATE")
    await app.start(ship, "o-1", id="o-1", connection=mine)
    mine.execute("ROLLBACK")
    with pytest.raises(RunNotFound):
        await app.get("o-1")
    run = await app.start(ship, "o-1", id="o-1")
    mine.execute("BEGIN IMMEDIATE")
    await app.signal(run, "address", "Rome", connection=mine)
    mine.execute("ROLLBACK")
    await app.signal(run, "address", "Oslo")
    assert await run.result("30s") == "o-1 to Oslo"


async def test_the_same_id_is_the_same_run(app, mine):
    first = await app.start(ship, "o-1", id="o-1")
    mine.execute("BEGIN IMMEDIATE")
    again = await app.start(ship, "o-1", id="o-1", connection=mine)
    with pytest.raises(RunConflict, match="exists with another input"):
        await app.start(ship, "o-2", id="o-1", connection=mine)
    await app.start(ship, "o-3", id="o-3", connection=mine)
    with pytest.raises(RunConflict, match="run 'o-3' was started a moment ago, in a transaction that is not committed"):
        await app.start(ship, "o-3", id="o-3", connection=mine)
    mine.execute("COMMIT")
    assert again.uuid == first.uuid


async def test_a_connection_that_cannot_be_meant_is_refused(app, mine, tmp_path):
    with pytest.raises(ValueError, match="not in a transaction: begin one, so that both are written or neither"):
        await app.start(ship, "o-1", connection=mine)
    with pytest.raises(TypeError, match=r"a sqlite3.Connection to .*shop.db is wanted, not str"):
        await app.start(ship, "o-1", connection="shop.db")
    other = sqlite3.connect(tmp_path / "other.db")
    with pytest.raises(ValueError, match=r"it is to .*other.db, and the store is .*shop.db: they must be one database"):
        await app.start(ship, "o-1", connection=other)
    other.close()
    memory = sqlite3.connect(":memory:")
    with pytest.raises(ValueError, match="it is to no file"):
        await app.start(ship, "o-1", connection=memory)
    memory.close()
    assert await app.list() == []


async def test_a_store_without_transactions_says_so(mine):
    async with App("memory://", [ship]) as app:
        with pytest.raises(NoTransactions, match="has no transactions to join"):
            await app.start(ship, "o-1", connection=mine)
        run = await app.start(ship, "o-1")
        with pytest.raises(NoTransactions):
            await app.signal(run, "address", "Rome", connection=mine)
