"""The connections of callers: those of the usual drivers, and SQLAlchemy's, carry a run in their own transaction."""

import sqlite3
from contextlib import asynccontextmanager

import asyncpg
import psycopg
import pytest
import sqlalchemy
from psycopg.rows import dict_row
from sqlalchemy import orm
from sqlalchemy.ext import asyncio as alchemy

from ripresa import App, RunNotFound, wait_for_signal, workflow

pytestmark = pytest.mark.own_store

TEXT = sqlalchemy.text


@workflow
async def ship(order: str) -> str:
    return f"{order} to {await wait_for_signal('address', str)}"


class Caller:
    """Somebody's connection with a transaction open on it."""

    def __init__(self, connection, sql, commit, rollback):
        self.connection = connection
        self.sql = sql
        self.commit = commit
        self.rollback = rollback


@asynccontextmanager
async def with_asyncpg(url):
    connection = await asyncpg.connect(url)
    began = connection.transaction()
    await began.start()
    yield Caller(connection, connection.execute, began.commit, began.rollback)
    await connection.close()


@asynccontextmanager
async def with_psycopg(url):
    async with await psycopg.AsyncConnection.connect(url, row_factory=dict_row) as connection:
        yield Caller(connection, connection.execute, connection.commit, connection.rollback)


@asynccontextmanager
async def with_psycopg_that_blocks(url):
    with psycopg.connect(url, row_factory=dict_row) as connection:
        yield Caller(connection, *map(_soon, (connection.execute, connection.commit, connection.rollback)))


@asynccontextmanager
async def with_an_engine(url, driver):
    engine = alchemy.create_async_engine(url.replace("postgresql:", f"postgresql+{driver}:"))
    async with engine.connect() as connection:
        await connection.begin()

        async def sql(text):
            await connection.execute(TEXT(text))

        yield Caller(connection, sql, connection.commit, connection.rollback)
    await engine.dispose()


@asynccontextmanager
async def with_a_session(url):
    engine = alchemy.create_async_engine(url.replace("postgresql:", "postgresql+asyncpg:"))
    async with alchemy.AsyncSession(engine) as session:

        async def sql(text):
            await session.execute(TEXT(text))

        yield Caller(session, sql, session.commit, session.rollback)
    await engine.dispose()


@asynccontextmanager
async def with_a_session_that_blocks(url):
    engine = sqlalchemy.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with orm.Session(engine) as session:
        execute = _soon(lambda text: session.execute(TEXT(text)))
        yield Caller(session, execute, _soon(session.commit), _soon(session.rollback))
    engine.dispose()


def _soon(function):
    async def call(*args):
        return function(*args)

    return call


CALLERS = {
    "asyncpg": with_asyncpg,
    "psycopg": with_psycopg,
    "psycopg, blocking": with_psycopg_that_blocks,
    "SQLAlchemy, asyncpg": lambda url: with_an_engine(url, "asyncpg"),
    "SQLAlchemy, psycopg": lambda url: with_an_engine(url, "psycopg"),
    "SQLAlchemy, session": with_a_session,
    "SQLAlchemy, blocking session": with_a_session_that_blocks,
}
BOTH_ENDS = pytest.mark.parametrize("kind", CALLERS)


@pytest.fixture
async def app(postgres_url):
    async with App(postgres_url, [ship]) as app:
        yield app


@pytest.fixture
async def orders(postgres_url):
    connection = await asyncpg.connect(postgres_url)
    await connection.execute("CREATE TABLE orders (id text PRIMARY KEY)")
    yield connection
    await connection.execute("DROP TABLE orders")
    await connection.close()


@BOTH_ENDS
async def test_a_run_and_a_signal_are_there_with_what_else_was_written(app, postgres_url, orders, kind):
    async with CALLERS[kind](postgres_url) as caller:
        await caller.sql("INSERT INTO orders VALUES ('o-1')")
        run = await app.start(ship, "o-1", id="o-1", tags={"region": "eu"}, priority=7, connection=caller.connection)
        await app.signal(run, "address", "Rome", connection=caller.connection)
        await caller.sql("INSERT INTO orders VALUES ('o-2')")  # on the search path that it had
        with pytest.raises(RunNotFound):
            await app.get("o-1")
        await caller.commit()
        assert await run.result("60s") == "o-1 to Rome"
    assert [run.id for run in await app.list(tags={"region": "eu"})] == ["o-1"]
    assert [order for (order,) in await orders.fetch("SELECT id FROM orders ORDER BY id")] == ["o-1", "o-2"]


@BOTH_ENDS
async def test_what_is_rolled_back_never_was(app, postgres_url, orders, kind):
    async with CALLERS[kind](postgres_url) as caller:
        await caller.sql("INSERT INTO orders VALUES ('o-1')")
        await app.start(ship, "o-1", id="o-1", connection=caller.connection)
        await caller.rollback()
    with pytest.raises(RunNotFound):
        await app.get("o-1")
    assert await orders.fetch("SELECT id FROM orders") == []


async def test_a_connection_with_no_transaction_is_refused(app, postgres_url):
    async with await psycopg.AsyncConnection.connect(postgres_url, autocommit=True) as connection:
        with pytest.raises(ValueError, match="not in a transaction: begin one, so that both are written or neither"):
            await app.start(ship, "o-1", connection=connection)
        async with connection.transaction():
            await app.start(ship, "o-1", id="o-1", connection=connection)
    engine = alchemy.create_async_engine(postgres_url.replace("postgresql:", "postgresql+asyncpg:"))
    async with engine.connect() as connection:
        with pytest.raises(ValueError, match="not in a transaction"):
            await app.start(ship, "o-1", connection=connection)
    await engine.dispose()
    assert [run.id for run in await app.list()] == ["o-1"]


async def test_sqlalchemy_on_sqlite(tmp_path):
    file = tmp_path / "shop.db"
    async with App(file, [ship]) as app:
        engine = sqlalchemy.create_engine(f"sqlite:///{file}")
        with engine.begin() as connection:
            connection.execute(TEXT("CREATE TABLE orders (id TEXT PRIMARY KEY)"))
        with orm.Session(engine) as session:
            session.execute(TEXT("INSERT INTO orders VALUES ('o-1')"))
            run = await app.start(ship, "o-1", id="o-1", connection=session)
            await app.signal(run, "address", "Rome", connection=session)
            session.commit()
        assert await run.result("60s") == "o-1 to Rome"
        engine.dispose()
    with sqlite3.connect(file) as looking:
        assert looking.execute("SELECT id FROM orders").fetchall() == [("o-1",)]
    looking.close()
