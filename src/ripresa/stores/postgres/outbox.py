"""The outbox on PostgreSQL: what waits in it, found without going through what has gone.

What was handed on leaves dead versions at the low end of the table, which no vacuum may clear away while somebody holds
an old snapshot.  So a search begins behind the last number that is *certain* – whoever was writing to the outbox when
it was given has ended – and what still waited up to there is asked for by its numbers.  Invariant: what is found is in
the order of numbers, and nothing is left out that comes before it.  All is gone through now and then even so: a server
that was set back in time gives numbers twice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ripresa.ports.rows import Outgoing
from ripresa.stores.postgres.loading import SQL, whole
from ripresa.stores.postgres.seldom import Seldom

_REST_S = 2.0
_MARK_S = 1.0


class _Mark(NamedTuple):
    """A number of the outbox that was given, and who was writing to it then."""

    number: int
    writers: frozenset[str]


class Outbox:
    """How one store reads it."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._seldom = Seldom(_REST_S, monotonic)
        self._marked_at = float("-inf")
        self._mark: _Mark | None = None
        self._certain = 0
        self._begin = 0
        """Up to here all that waits is in `_waiting`."""
        self._waiting: list[int] = []

    async def read(self, connection: Any, limit: int) -> list[Outgoing]:
        """What waits, the oldest first."""
        await self._look_around(connection)
        through_all, began = self._seldom.is_due(), self._monotonic()
        begin, waiting, certain = (0, [], self._certain) if through_all else (self._begin, self._waiting, self._certain)
        rows = sorted(await connection.fetch(SQL["outgoing_of"], waiting[:limit])) if waiting else []
        rows += await connection.fetch(SQL["outgoing"], limit - len(rows), begin)
        if through_all:
            self._seldom.done(began)
        if len(rows) == limit:
            certain = min(certain, rows[-1][0])
        if certain >= begin:
            self._begin, self._waiting = certain, [number for number, *_ in rows if number <= certain]
        return await whole(connection, Outgoing, [row[1:] for row in map(tuple, rows)])

    async def _look_around(self, connection: Any) -> None:
        """Note how far numbers were given, and once all who were writing then have ended, that this is certain."""
        if self._monotonic() < self._marked_at + _MARK_S:
            return
        self._marked_at = self._monotonic()
        number = await connection.fetchval(SQL["outbox_numbered"])  # before we look who is writing
        if number is None:  # a user who only looks on
            return
        writers = frozenset(row[0] for row in await connection.fetch(SQL["outbox_writers"]))
        if self._mark is not None and writers.isdisjoint(self._mark.writers):
            self._certain, self._mark = self._mark.number, None
        if self._mark is None:
            self._mark = _Mark(number, writers)
