"""Moving: the rows of a schema, taken out as they are, and rows of another database put in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from ripresa.ports.moving import TABLES, Chunk
from ripresa.ports.rows import Micros
from ripresa.stores.named_sql import NamedSql
from ripresa.stores.postgres.texts import storable_value

SQL = NamedSql("ripresa.stores.postgres", "moving.sql")

_NUMBERED = (("inbox", "number"), ("outbox", "number"), ("log", "number"), ("pool_outcome", "id"))
"""Tables whose rows the server numbers."""


async def counts(connection: Any) -> dict[str, int]:
    """How many rows each table has."""
    return {table: int(await connection.fetchval(f"SELECT count(*) FROM {table}")) for table in TABLES}  # noqa: S608 - a name from the list


async def dump(connection: Any, size: int) -> AsyncIterator[Chunk]:
    """All rows as of one moment, which no writer waits for."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        for table in TABLES:
            cursor = await connection.cursor(f"SELECT * FROM {table}")  # noqa: S608 - a name from the list
            while rows := await cursor.fetch(size):
                yield Chunk(table, tuple(rows[0].keys()), [tuple(row) for row in rows])


async def restore(connection: Any, chunks: AsyncIterator[Chunk], now: Micros) -> None:
    """Put the rows in, all or none."""
    async with connection.transaction():
        async for chunk in chunks:
            await _put(connection, chunk)
        await _settle(connection, now)


async def _put(connection: Any, chunk: Chunk) -> None:
    """A column that this table does not have is left out; 0 and 1 become what this one calls them."""
    types = dict(await connection.fetch(SQL["columns"], chunk.table))
    kept = [(place, column) for place, column in enumerate(chunk.columns) if column in types]
    yes_or_no = {place for place, column in kept if types[column] == "boolean"}
    rows = [
        tuple(bool(row[place]) if place in yes_or_no else storable_value(row[place]) for place, _ in kept)
        for row in chunk.rows
    ]
    await connection.copy_records_to_table(chunk.table, records=rows, columns=[column for _, column in kept])


async def _settle(connection: Any, now: Micros) -> None:
    """Let go of the runs that some engine held, make those ready that are open, and go on numbering where it ends."""
    await connection.execute(SQL["make_ready"], now)
    await connection.execute(SQL["let_go"])
    await connection.execute(SQL["make_lines"])
    for table, column in _NUMBERED:
        await connection.execute(
            f"SELECT setval(pg_get_serial_sequence('{table}', '{column}'), "  # noqa: S608 - names from the list
            f"coalesce((SELECT max({column}) FROM {table}), 0) + 1, false)"
        )


async def put_aside(connection: Any, schema: str) -> str:
    """Call the schema something else, which is returned."""
    number = 1
    while await connection.fetchval("SELECT to_regnamespace($1) IS NOT NULL", f'"{(name := _aside(schema, number))}"'):
        number += 1
    await connection.execute(f'ALTER SCHEMA "{schema}" RENAME TO "{name}"')
    return name


def _aside(schema: str, number: int) -> str:
    return f"{schema[:50]}_moved{number if number > 1 else ''}"
