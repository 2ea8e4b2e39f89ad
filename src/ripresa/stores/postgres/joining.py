"""Joining: a query of ours within a transaction that somebody else has open, on a connection of his.

asyncpg's connections, psycopg's, and SQLAlchemy's over either are taken.  What the caller set for his session – the
search path, how rows look – is as he left it when the query is done.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Any

from ripresa.stores.callers import NO_TRANSACTION, of_driver
from ripresa.stores.postgres.address import Address
from ripresa.stores.postgres.listening import channel_of

Ask = Callable[..., Awaitable[Any]]
"""Puts a query with `$1`-parameters; the first value of its first row."""

WHICH = """
SELECT concat_ws('/', coalesce(to_regclass($1)::oid::text, 'none'), extract(epoch FROM pg_postmaster_start_time()), oid)
FROM pg_database WHERE datname = current_database()
"""
"""Which table of which database of which server, since its start, this is."""


def table_of(address: Address) -> str:
    """One that only a store has."""
    return f'"{address.schema}".effect'


async def within(
    connection: Any, address: Address, is_ours: Callable[[str], Awaitable[bool]], query: str, *params: Any
) -> Any:
    """The query's value, as part of the transaction that is open on the caller's connection; engines hear of it then.

    `is_ours`: whether what `WHICH` tells is the store's database.  Raises TypeError, ValueError for a connection that
    cannot be meant.
    """
    ask = _asking(await of_driver(connection), given=type(connection).__name__)
    found = await ask(WHICH, table_of(address))
    if found.startswith("none/"):
        raise ValueError(f"connection: its database has no schema {address.schema!r}; the store is {address.shown}")
    if not await is_ours(found):
        raise ValueError(f"connection: it is to another database than the store, {address.shown}: they must be one")
    before = await ask("SELECT current_setting('search_path')")
    await ask("SELECT set_config('search_path', $1, true)", f'"{address.schema}"')
    value = await ask(query, *params)
    await ask("SELECT set_config('search_path', $1, true)", before)
    await ask("SELECT pg_notify($1, '')", channel_of(address))
    return value


def _asking(connection: Any, *, given: str) -> Ask:
    if hasattr(connection, "is_in_transaction") and hasattr(connection, "fetchval"):
        if not connection.is_in_transaction():
            raise ValueError(NO_TRANSACTION)
        ask: Ask = connection.fetchval
        return ask
    psycopg = sys.modules.get("psycopg")
    if psycopg is not None and isinstance(connection, psycopg.AsyncConnection | psycopg.Connection):
        if connection.autocommit and connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE:
            raise ValueError(NO_TRANSACTION)
        return _with_psycopg(psycopg, connection)
    wanted = "a connection of asyncpg, psycopg or SQLAlchemy"
    raise TypeError(f"connection: {wanted} is wanted, not {given}")


def _with_psycopg(psycopg: Any, connection: Any) -> Ask:
    rows = psycopg.rows.tuple_row

    async def ask(query: str, *params: Any) -> Any:
        params = tuple(list(param) if isinstance(param, tuple) else param for param in params)  # a tuple is a row
        if isinstance(connection, psycopg.AsyncConnection):
            async with psycopg.AsyncRawCursor(connection, row_factory=rows) as cursor:
                await cursor.execute(query, params)
                row = await cursor.fetchone()
        else:
            with psycopg.RawCursor(connection, row_factory=rows) as cursor:
                row = cursor.execute(query, params).fetchone()
        return row[0]

    return ask
