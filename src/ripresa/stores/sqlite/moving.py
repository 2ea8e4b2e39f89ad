"""Moving: the rows of a file, taken out as they are and put into another database."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

from ripresa.ports.moving import TABLES, Chunk
from ripresa.ports.rows import Micros
from ripresa.stores.named_sql import NamedSql
from ripresa.stores.sqlite.file import connect

SQL = NamedSql("ripresa.stores.sqlite", "moving.sql")

_BUSY_MS = 10_000


def counts(connection: sqlite3.Connection) -> dict[str, int]:
    """How many rows each table has."""
    return {table: int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]) for table in TABLES}  # noqa: S608 - a name from the list


async def dump(path: Path, size: int) -> AsyncIterator[Chunk]:
    """All rows, read in one transaction, which no writer waits for."""
    with closing(connect(path, mode="ro")) as connection:
        connection.execute("BEGIN")
        for table in TABLES:
            cursor = connection.execute(f"SELECT * FROM {table}")  # noqa: S608 - a name from the list
            columns = tuple(column[0] for column in cursor.description)
            while rows := await asyncio.to_thread(cursor.fetchmany, size):
                yield Chunk(table, columns, rows)


async def restore(path: Path, chunks: AsyncIterator[Chunk], now: Micros) -> None:
    """Put the rows in, all or none."""
    with closing(connect(path)) as connection:
        connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
        await asyncio.to_thread(connection.execute, "BEGIN IMMEDIATE")
        async for chunk in chunks:
            await asyncio.to_thread(_put, connection, chunk)
        await asyncio.to_thread(_settle, connection, now)
        await asyncio.to_thread(connection.execute, "COMMIT")


def _put(connection: sqlite3.Connection, chunk: Chunk) -> None:
    """A column that this table does not have is left out."""
    known = [row[1] for row in connection.execute(f"PRAGMA table_info({chunk.table})")]
    kept = [place for place, column in enumerate(chunk.columns) if column in known]
    names = ", ".join(chunk.columns[place] for place in kept)
    marks = ", ".join("?" * len(kept))
    rows = chunk.rows if len(kept) == len(chunk.columns) else [[row[place] for place in kept] for row in chunk.rows]
    connection.executemany(f"INSERT INTO {chunk.table} ({names}) VALUES ({marks})", rows)  # noqa: S608 - names of our own tables


def _settle(connection: sqlite3.Connection, now: Micros) -> None:
    """Let go of the runs that some engine held, and make those ready that are open."""
    connection.execute(SQL["make_ready"], {"now": now})
    connection.execute(SQL["let_go"])
