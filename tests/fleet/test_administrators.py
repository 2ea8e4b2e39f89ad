"""What an administrator may do while engines are at work: nothing is lost, and they go on by themselves."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from tests.fleet.shop import Shop, ledger

__all__ = ["ledger"]

ROLE = "shop_worker"
OURS = f"FROM pg_stat_activity WHERE usename = '{ROLE}'"
ANEW = f"SELECT pg_terminate_backend(pid) {OURS}"
"""All its sessions are ended; those that come after them have the settings that there are then."""


@pytest.fixture
def sql(postgres, postgres_url):
    return lambda text: asyncio.to_thread(postgres.sql, text, postgres_url.rpartition("/")[2])


@pytest.fixture
async def shop(postgres, postgres_url, ledger, caplog):
    name = postgres_url.rpartition("/")[2]
    postgres.sql(
        f"CREATE ROLE {ROLE} LOGIN; GRANT USAGE ON SCHEMA ripresa TO {ROLE};"
        f"GRANT ALL ON ALL TABLES IN SCHEMA ripresa TO {ROLE}; GRANT ALL ON ALL SEQUENCES IN SCHEMA ripresa TO {ROLE}",
        name,
    )
    shop = Shop(postgres_url.replace("postgres@", f"{ROLE}@"), ledger, caplog)
    try:
        await shop.open()
        await shop.goes_on()
        yield shop
    finally:
        postgres.sql(f"ALTER ROLE {ROLE} CONNECTION LIMIT -1")  # who closes writes what is left
        await shop.close()
        postgres.sql(f"DROP OWNED BY {ROLE}; DROP ROLE {ROLE}", name)


async def test_no_connection_is_left(shop, sql):
    await sql(f"ALTER ROLE {ROLE} CONNECTION LIMIT 0")
    await sql(ANEW)
    await shop.is_told("has no connection left for us")
    await sql(f"ALTER ROLE {ROLE} CONNECTION LIMIT -1")
    await shop.goes_on()
    await shop.finish()


async def test_all_sessions_are_ended_again_and_again(shop, sql):
    for _ in range(20):
        await sql(ANEW)
    await shop.goes_on()
    await shop.finish()


async def test_settings_that_are_meant_for_peoples_sessions(shop, sql):
    for setting in (
        "statement_timeout = '1ms'",
        "lock_timeout = '1ms'",
        "idle_in_transaction_session_timeout = '1ms'",
        "idle_session_timeout = '1ms'",
        "default_transaction_isolation = serializable",
        "search_path = nowhere",
        "timezone = 'Asia/Kathmandu'",
    ):
        await sql(f"ALTER ROLE {ROLE} SET {setting}")
    await sql(ANEW)
    await shop.goes_on()
    before = await sql(f"SELECT string_agg(pid::text, ' ' ORDER BY pid) {OURS} AND application_name ~ 'commit'")
    await shop.goes_on()
    assert before == await sql(
        f"SELECT string_agg(pid::text, ' ' ORDER BY pid) {OURS} AND application_name ~ 'commit'"
    ), "no session was ended"
    await shop.finish()


async def test_tables_are_locked_for_long_and_written_anew(shop, sql, postgres_url):
    administrator = await asyncpg.connect(postgres_url)
    async with administrator.transaction():
        for table in ("engine", "run", "history", "ready", "inbox", "attempt", "written"):
            await administrator.execute(f"LOCK TABLE ripresa.{table} IN ACCESS EXCLUSIVE MODE")
        await shop.is_told("is busy (canceling statement due to lock timeout)")
    await administrator.close()
    await shop.goes_on()
    await sql("VACUUM FULL ripresa.run")
    await sql("REINDEX SCHEMA ripresa")
    await shop.goes_on()
    await shop.finish()
