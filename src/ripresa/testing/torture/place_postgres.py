"""A place for torture in a PostgreSQL database: a schema of its own, and a witness that reads it.

Nothing else of the database is touched: the schema has a name that nobody has (`ripresa_torture_…`), and goes
afterwards with all that is in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import asyncpg

from ripresa.testing.torture.witness import ENDED, AttemptRow, Event, Mark, RunRow, TaskRow, facts

Result = TypeVar("Result")

ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)

_MARGIN_US = 30_000_000
"""How long a batch may have been on its way: later events are not looked for until the end."""
_AGAIN_S = 0.05
_RUNS = """
SELECT run.id, run.key, run.definition, run.status, used.label, run.input, run.output, run.error
FROM run LEFT JOIN definition AS used ON used.name = run.definition AND used.version = run.version
"""
_ATTEMPTS = "SELECT run, generation, operation, number, status FROM attempt"
_TASKS = "SELECT id, run, runtime, worker, outcome FROM task"
_GRANTED = "SELECT count(*) FROM ticket WHERE pool = $1 AND granted_at IS NOT NULL"
_STATEMENT_S = 30.0
_SETTINGS = ("fsync", "synchronous_commit", "full_page_writes", "wal_level", "shared_buffers", "max_connections")


class PostgresPlace:
    """The schema."""

    shared = True

    def __init__(self, url: str, name: str) -> None:
        parts = urlsplit(url)
        kept = [(key, value) for key, value in parse_qsl(parts.query) if key not in {"schema", "options"}]
        self.name = name
        self.host, self.port = parts.hostname or "127.0.0.1", parts.port or 5432
        self.encrypted = dict(kept).get("sslmode") in {"require", "verify-ca", "verify-full"}
        self.books = f'"{name}_yours".books'
        """A table of the user's, which steps write to in transactions of the store."""
        self._parts = parts
        self._kept = kept
        self._direct = urlunsplit(parts._replace(scheme="postgresql", query=urlencode(kept)))

    def url(self, port: int | None = None) -> str:
        """The address of the store; through the wire that listens at `port`."""
        parts, kept = self._parts, [*self._kept, ("schema", self.name)]
        if port is not None:
            user = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
            parts = parts._replace(netloc=f"{user}127.0.0.1:{port}")
            kept = [(key, value) for key, value in kept if key != "sslmode"] + [("sslmode", "disable")]
        return urlunsplit(parts._replace(scheme="postgresql", query=urlencode(kept, quote_via=quote)))

    def witness(self) -> PostgresWitness:
        """Who reads it."""
        return PostgresWitness(self._direct, self.name, self.books)

    async def facts(self) -> dict[str, str]:
        """Version and settings of the server.  Raises the driver's errors."""
        connection = await asyncpg.connect(self._direct)
        try:
            found = [("server", (await connection.fetchval("SELECT version()")).split(" on ")[0])]
            found += [(name, await connection.fetchval(f"SHOW {name}")) for name in _SETTINGS]
            return facts(found)
        finally:
            await connection.close()

    async def prepare(self) -> None:
        """Make what the store does not make."""
        connection = await asyncpg.connect(self._direct)
        try:
            await connection.execute(f'CREATE SCHEMA "{self.name}_yours"')
            await connection.execute(f"CREATE TABLE {self.books} (key text NOT NULL, number bigint NOT NULL)")
        finally:
            await connection.close()

    async def remove(self) -> None:
        """Let it be gone."""
        connection = await asyncpg.connect(self._direct)
        try:
            for schema in (self.name, f"{self.name}_yours"):
                await connection.execute(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE')
        finally:
            await connection.close()

    async def terminate(self, backend: int) -> bool:
        """End a connection of ours, by the number of its process."""
        connection = await asyncpg.connect(self._direct)
        try:
            return bool(await connection.fetchval("SELECT pg_terminate_backend($1)", backend))
        finally:
            await connection.close()


class PostgresWitness:
    """Reads the rows, on a connection of its own that is made again when it breaks."""

    def __init__(self, url: str, schema: str, books: str) -> None:
        self._url = url
        self._books = books
        self._schema = schema
        self._connection: Any = None
        self._turn = asyncio.Lock()
        self._seen: dict[str, int] = {}
        self._newest = 0

    async def new_events(self) -> list[Event]:
        rows = await self._rows(
            "SELECT run, seq, kind, operation, name, data, at FROM history WHERE at >= $1 ORDER BY run, seq",
            self._newest - _MARGIN_US,
        )
        found: list[Event] = []
        for *row, at in rows:
            event = Event(*row)
            self._newest = max(self._newest, at)
            seen = self._seen.get(event.run, 0)
            if event.seq <= seen:
                continue
            if event.seq > seen + 1:
                found += await self._missing(event.run, seen, event.seq)
            found.append(event)
            self._seen[event.run] = event.seq
        return found

    async def _missing(self, run: str, after: int, before: int) -> list[Event]:
        return await self._events("WHERE run = $1 AND seq > $2 AND seq < $3 ORDER BY seq", run, after, before)

    async def history(self) -> list[Event]:
        return await self._events("ORDER BY run, seq")

    async def runs(self) -> list[RunRow]:
        return [RunRow(*row) for row in await self._rows(_RUNS)]

    async def open_runs(self) -> list[tuple[str, str, str, int | None]]:
        asked = "SELECT id, definition, status, owner FROM run WHERE status <> ALL ($1) ORDER BY id"
        return [tuple(row) for row in await self._rows(asked, list(ENDED))]

    async def attempts(self) -> list[AttemptRow]:
        return [AttemptRow(*row) for row in await self._rows(_ATTEMPTS)]

    async def tasks(self) -> list[TaskRow]:
        return [TaskRow(*row) for row in await self._rows(_TASKS)]

    async def books(self) -> list[str]:
        return [key for (key,) in await self._rows(f"SELECT key FROM {self._books}")]  # noqa: S608 - ours

    async def granted(self, pool: str) -> int:
        [(number,)] = await self._rows(_GRANTED, pool)
        return int(number)

    async def mark(self, engine: int) -> Mark:
        lease, batch, owned = await self._do(
            lambda one: one.fetchrow(
                """
                SELECT (SELECT lease_until FROM engine WHERE number = $1),
                  (SELECT max(number) FROM written WHERE writer = $1),
                  (SELECT count(*) FROM run WHERE owner = $1 AND status <> ALL ($2))
                """,
                engine,
                list(ENDED),
            )
        )
        return Mark(not lease, batch or 0, owned)

    async def unlocked(self) -> bool:
        return True  # a batch is one statement, which a client that stands still does not hold up

    async def close(self) -> None:
        if self._connection is not None:
            with suppress(*ERRORS):
                await self._connection.close(timeout=1)

    async def _events(self, which: str, *params: Any) -> list[Event]:
        asked = f"SELECT run, seq, kind, operation, name, data FROM history {which}"  # noqa: S608 - ours
        return [Event(*row) for row in await self._rows(asked, *params)]

    async def _rows(self, asked: str, *params: Any) -> list[Any]:
        return await self._do(lambda one: one.fetch(asked, *params))

    async def _do(self, work: Callable[[Any], Awaitable[Result]]) -> Result:
        async with self._turn:
            while True:
                try:
                    if self._connection is None or self._connection.is_closed():
                        self._connection = await asyncpg.connect(
                            self._url,
                            timeout=_STATEMENT_S,
                            command_timeout=_STATEMENT_S,
                            server_settings={"search_path": f'"{self._schema}"', "application_name": "ripresa torture"},
                        )
                    return await work(self._connection)
                except asyncpg.UndefinedTableError:  # killed before it had made them
                    await asyncio.sleep(_AGAIN_S)
                except asyncpg.SyntaxOrAccessError:
                    raise
                except ERRORS:
                    await asyncio.sleep(_AGAIN_S)
