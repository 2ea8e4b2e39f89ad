"""The servers that an address names: which of them is connected to, and which is not to be trusted any more.

Of several hosts one takes writes: the one that did last, if it still does; else all are asked at once.  Where more than
one says that it does, an old primary has come back after another was promoted: the one with the newest timeline
counts.  Invariant: once a timeline was met, nothing is written on an older one.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import asyncpg
from asyncpg.exceptions import TargetServerAttributeNotMatched

from ripresa.stores.named_sql import NamedSql

SQL = NamedSql("ripresa.stores.postgres", "checks.sql")

CONNECT_S = 10.0
HOST_S = 3.0
"""For each of several hosts: one that does not answer at all must not keep us from the others."""

_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)


class Servers:
    """Where a store may be; one host a DSN."""

    def __init__(self, dsns: tuple[str, ...]) -> None:
        self.dsns = dsns
        self._last: str | None = None
        self._timeline = 0
        """The newest that was met; 0: none, or there is one host only."""

    async def connect(self, **options: Any) -> Any:
        """A connection.  Raises the driver's errors."""
        if len(self.dsns) == 1:
            return await asyncpg.connect(self.dsns[0], timeout=CONNECT_S, **options)
        if self._last is not None:
            with suppress(*_ERRORS):
                timeline, connection = await self._connect(self._last, options)
                if timeline >= self._timeline:
                    return connection
                connection.terminate()
        return await self._connect_to_newest(options)

    async def _connect(self, dsn: str, options: dict[str, Any]) -> tuple[int, Any]:
        """A connection, and the timeline of what it leads to; 0: that is not told."""
        connection = await asyncpg.connect(dsn, timeout=HOST_S, **options)
        try:
            return await timeline_of(connection), connection
        except BaseException:
            connection.terminate()
            raise

    async def _connect_to_newest(self, options: dict[str, Any]) -> Any:
        asked = [asyncio.ensure_future(self._connect(dsn, options)) for dsn in self.dsns]
        try:
            await asyncio.wait(asked)
        except asyncio.CancelledError:
            for one in asked:
                one.cancel()
                one.add_done_callback(_drop)
            raise
        errors = [error for one in asked if (error := one.exception()) is not None]
        found = [(*one.result(), dsn) for dsn, one in zip(self.dsns, asked, strict=True) if one.exception() is None]
        if not found:
            raise _most_telling(errors)
        newest = max(found, key=lambda one: one[0])  # the first of them
        timeline, connection, dsn = newest
        for _, other, _ in found:
            if other is not connection or timeline < self._timeline:
                other.terminate()
        if timeline < self._timeline:
            raise TargetServerAttributeNotMatched(
                f"those that answer are of timeline {timeline}, and {self._timeline} was promoted since"
            )
        self._timeline, self._last = timeline, dsn
        return connection


async def timeline_of(connection: Any) -> int:
    """How often the database was promoted, and one; 0: not everything that speaks PostgreSQL's protocol tells."""
    try:
        return int(await connection.fetchval(SQL["timeline"]))
    except (asyncpg.FeatureNotSupportedError, asyncpg.UndefinedFunctionError, asyncpg.InsufficientPrivilegeError):
        return 0


def _most_telling(errors: list[BaseException]) -> BaseException:
    """That a host is a standby says less than what is wrong with another."""
    return next((error for error in errors if not isinstance(error, TargetServerAttributeNotMatched)), errors[0])


def _drop(asked: asyncio.Future[tuple[int, Any]]) -> None:
    """Nobody wants the connection any more."""
    if not asked.cancelled() and asked.exception() is None:
        asked.result()[1].terminate()
