"""The schema: how it comes to be, on a fleet that is at work, and what is not changed."""

import asyncio
from importlib.resources import files

import asyncpg
import pytest

from ripresa import App, step, wait_for_signal, workflow
from ripresa.contracts.errors import StoreCorrupt, StoreError, StoreTooNew, StoreUnavailable
from ripresa.ports.batch import Batch
from ripresa.stores.postgres import PostgresStore, schema
from ripresa.testing.store_contract import LEASE, A, B, T, new_run

COLUMNS = """
SELECT table_name, column_name, data_type, is_nullable, column_default, is_identity, collation_name
FROM information_schema.columns WHERE table_schema = 'ripresa' ORDER BY 1, 2
"""
INDEXES = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'ripresa' ORDER BY 1"

RIGHTS = """
GRANT USAGE ON SCHEMA ripresa TO worker_on_it, reader_of_it;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ripresa TO worker_on_it;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA ripresa TO worker_on_it;
GRANT SELECT ON ALL TABLES IN SCHEMA ripresa TO reader_of_it;
"""


@step
async def pack(order: str) -> str:
    return order


@workflow
async def ship(order: str) -> str:
    return f"{await pack(order)} to {await wait_for_signal('address', str)}"


@pytest.fixture
def empty(postgres):
    url = postgres.database(empty=True)
    yield url
    postgres.drop(url)


async def rows(url, *queries):
    connection = await asyncpg.connect(url)
    found = [[tuple(row) for row in await connection.fetch(query)] for query in queries]
    await connection.close()
    return found


async def opened(url):
    store = PostgresStore(url, heartbeat_thread=False)
    await store.open()
    return store


async def test_the_migrations_add_up_to_the_schema(postgres, postgres_url, empty):
    text = files("ripresa.stores.postgres").joinpath("schema.sql").read_text("utf-8")
    connection = await asyncpg.connect(empty)
    await connection.execute(f"CREATE SCHEMA ripresa; SET search_path = ripresa; {text}")
    await connection.close()
    assert await rows(postgres_url, COLUMNS, INDEXES) == await rows(empty, COLUMNS, INDEXES)


async def test_several_processes_may_open_an_empty_database_at_once(empty):
    stores = await asyncio.gather(*[opened(empty) for _ in range(5)])
    lease = await stores[0].acquire(now=T, lease_us=LEASE, who="test")
    await stores[0].commit(lease, Batch(1, T, runs=[new_run(A)]), lease_us=LEASE)
    assert (await stores[4].get_run(A)).id == A
    for store in stores:
        await store.close()


async def test_a_schema_of_another_name_is_another_store(postgres_url):
    one, other = await opened(postgres_url), await opened(f"{postgres_url}?schema=second")
    lease = await one.acquire(now=T, lease_us=LEASE, who="test")
    await one.commit(lease, Batch(1, T, runs=[new_run(A)]), lease_us=LEASE)
    assert await other.get_run(A) is None
    await one.close()
    await other.close()
    await rows(postgres_url, "SELECT 1")
    connection = await asyncpg.connect(postgres_url)
    await connection.execute("DROP SCHEMA second CASCADE")
    await connection.close()


async def test_a_migration_waits_for_nobody_for_long_and_is_tried_again(empty, monkeypatch):
    """An engine of the release before is at work, and somebody holds a lock on one of its tables for a while."""
    old = await opened(empty)
    lease = await old.acquire(now=T, lease_us=LEASE, who="old")
    more = "ALTER TABLE run ADD COLUMN extra text; CREATE TABLE later (id bigint)"
    steps = (*schema.migrations(), more)
    monkeypatch.setattr(schema, "migrations", lambda: steps)
    monkeypatch.setattr(schema, "_REST_S", 0.01)
    holder = await asyncpg.connect(empty)
    transaction = holder.transaction()
    await transaction.start()
    await holder.execute("LOCK TABLE ripresa.run IN ROW EXCLUSIVE MODE")
    opening = asyncio.ensure_future(opened(empty))
    for number in range(1, 6):  # meanwhile its commits go on
        await old.commit(lease, Batch(number, T, runs=[new_run(f"{number}")]), lease_us=LEASE)
    assert not opening.done()
    await transaction.rollback()
    await holder.close()
    new = await asyncio.wait_for(opening, 60)
    await old.commit(lease, Batch(6, T, runs=[new_run(A)]), lease_us=LEASE)  # both at once
    assert (await new.get_run(A)).id == A
    [versions] = await rows(empty, "SELECT number FROM ripresa.version ORDER BY 1")
    assert versions == [(number,) for number in range(1, len(steps) + 1)]
    await old.close()
    await new.close()


async def test_a_newer_schema_is_let_be(empty):
    await (await opened(empty)).close()
    connection = await asyncpg.connect(empty)
    await connection.execute("INSERT INTO ripresa.version VALUES (999, now())")
    await connection.close()
    with pytest.raises(StoreTooNew, match="upgrade ripresa; nothing was changed"):
        await opened(empty)


async def test_tables_of_others_are_let_be(empty):
    await rows(empty, "SELECT 1")
    connection = await asyncpg.connect(empty)
    await connection.execute("CREATE SCHEMA ripresa; CREATE TABLE ripresa.orders (id bigint)")
    await connection.close()
    with pytest.raises(StoreCorrupt, match=r"not ripresa's \(tables: orders\)"):
        await opened(empty)
    [tables] = await rows(empty, "SELECT tablename FROM pg_tables WHERE schemaname = 'ripresa'")
    assert tables == [("orders",)]


async def test_a_table_of_somebody_elses_that_is_called_version_is_let_be(empty):
    connection = await asyncpg.connect(empty)
    await connection.execute("CREATE SCHEMA ripresa; CREATE TABLE ripresa.version (text text)")
    await connection.close()
    with pytest.raises(StoreCorrupt, match=r"not ripresa's \(tables: version\)"):
        await opened(empty)


async def test_a_database_that_has_no_place_for_all_texts_is_refused(postgres):
    postgres.sql("CREATE DATABASE western ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    try:
        with pytest.raises(StoreUnavailable, match=r"keeps texts as LATIN1.*: create a database with UTF8"):
            await opened(postgres.address("western"))
    finally:
        postgres.drop(postgres.address("western"))


async def test_a_way_to_connect_that_there_is_not_is_told(postgres_url):
    with pytest.raises(StoreUnavailable, match=r"sslmode.*: change the address"):
        await opened(f"{postgres_url}?sslmode=bogus")


# -- rights -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def users(postgres, empty):
    """Three users with as few rights as they can do with, and the database."""
    name = empty.rpartition("/")[2]
    for user in ("owner_of_it", "worker_on_it", "reader_of_it"):
        postgres.sql(f"CREATE ROLE {user} LOGIN")
    postgres.sql(f"REVOKE ALL ON DATABASE {name} FROM PUBLIC; REVOKE ALL ON SCHEMA public FROM PUBLIC", name)
    postgres.sql(f"GRANT CONNECT ON DATABASE {name} TO owner_of_it, worker_on_it, reader_of_it")
    yield name
    postgres.drop(empty)
    for user in ("owner_of_it", "worker_on_it", "reader_of_it"):
        postgres.sql(f"DROP ROLE {user}")


async def test_few_rights_are_enough_and_what_is_missing_is_told(postgres, users):
    owner, worker, reader = (
        postgres.address(users).replace("postgres@", f"{user}@")
        for user in ("owner_of_it", "worker_on_it", "reader_of_it")
    )
    with pytest.raises(StoreError, match=r"refuses us this .permission denied for database .*: grant this user"):
        await opened(owner)
    postgres.sql("CREATE SCHEMA ripresa AUTHORIZATION owner_of_it", users)
    await (await opened(owner)).close()
    with pytest.raises(StoreError, match="permission denied for schema ripresa"):
        await opened(worker)
    postgres.sql(RIGHTS, users)

    async with App(worker, [ship]) as app:
        run = await app.start(ship, "o-1", id="o-1")
        await app.signal("o-1", "address", "Rome")
        assert await run.result() == "o-1 to Rome"
    store = await opened(reader)
    assert (await store.get_run("o-1")).status == "succeeded"
    with pytest.raises(StoreError, match="permission denied"):
        await store.acquire(now=T, lease_us=LEASE, who="test")
    await store.close()


async def test_a_database_that_takes_no_more_connections_is_told_with_the_remedy(postgres, users):
    postgres.sql(f"ALTER DATABASE {users} CONNECTION LIMIT 0")
    with pytest.raises(StoreUnavailable, match=r"has no connection left for us .*: raise the limit"):
        await opened(postgres.address(users).replace("postgres@", "owner_of_it@"))


async def test_a_database_that_does_not_exist_is_told(postgres):
    with pytest.raises(StoreUnavailable, match="create the database") as told:
        await opened(postgres.address("nowhere").replace("postgres@", "postgres:secret@"))
    assert "secret" not in str(told.value)


async def test_a_server_that_is_not_there_is_told():
    with pytest.raises(StoreUnavailable, match="is out of reach"):
        await opened("postgresql://postgres@127.0.0.1:1/x")


# -- settings ---------------------------------------------------------------------------------------------------------


async def test_a_server_with_its_defaults_has_nothing_to_warn_of(postgres_url, caplog):
    store = await opened(postgres_url)
    assert await store.check() == []
    assert caplog.records == []
    await store.close()


async def test_settings_that_could_take_back_a_commit_are_told_at_once_and_by_check(postgres, postgres_url, caplog):
    name = postgres_url.rpartition("/")[2]
    postgres.sql(f"ALTER DATABASE {name} SET synchronous_commit = off")
    try:
        store = await opened(postgres_url)
        assert "synchronous_commit is 'off': a crash can take back what was acknowledged" in caplog.text
        assert await store.check() == [
            "synchronous_commit is 'off': a crash can take back what was acknowledged; switch it on"
        ]
        await store.close()
    finally:
        postgres.sql(f"ALTER DATABASE {name} RESET synchronous_commit")


async def test_rows_that_belong_to_nothing_are_told_by_check(postgres_url):
    store = await opened(postgres_url)
    connection = await asyncpg.connect(postgres_url)
    await connection.execute(
        f"INSERT INTO ripresa.history (run, seq, kind, at) VALUES ('{A}', 1, 'x', 1), ('{A}', 3, 'x', 1);"
        f"INSERT INTO ripresa.ready (run, due, priority) VALUES ('{B}', 1, 1)"
    )
    await connection.close()
    assert await store.check() == [
        f"1 events of a run that does not exist, the first of {A}",
        f"1 ready rows of a run that does not exist, the first of {B}",
        f"1 runs whose events are not numbered without a gap, the first of {A}",
    ]
    await store.close()
