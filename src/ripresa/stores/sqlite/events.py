"""Events on SQLite: the port's verbs."""

from __future__ import annotations

import json
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from ripresa.ports.events import DeadLetter, Delivery, NotedEvent
from ripresa.ports.rows import Micros, Outgoing
from ripresa.stores.named_sql import NamedSql
from ripresa.stores.texts import encodable_rows

SQL = NamedSql("ripresa.stores.sqlite", "events.sql")

Result = TypeVar("Result")


class EventVerbs(ABC):
    """The verbs of `ports.events.EventStore`, for the SQLite store."""

    @abstractmethod
    async def _write(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """What the store itself does."""

    @abstractmethod
    async def _read(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """What the store itself does."""

    async def publish(self, events: Sequence[Outgoing]) -> None:
        await self._put("publish", encodable_rows(events))

    async def deliveries(self, place: str) -> list[Delivery]:
        await self._write(lambda connection: connection.execute(SQL["forget_deliveries"]).rowcount)
        rows = await self._fetched("deliveries", {"place": place})
        return [Delivery(event, where, tries, bool(given_up)) for event, where, tries, given_up in rows]

    async def put_deliveries(self, deliveries: Sequence[Delivery]) -> None:
        await self._put("put_delivery", encodable_rows(deliveries))

    async def bury(self, letters: Sequence[DeadLetter], *, known: bool = False) -> None:
        rows = [letter._asdict() for letter in encodable_rows(letters)]
        await self._put("bury_known" if known else "bury", rows)

    async def _put(self, query: str, rows: Sequence[Any]) -> None:
        if rows:
            await self._write(lambda connection: connection.executemany(SQL[query], rows).rowcount)

    async def dead_letters(
        self, *, limit: int, place: str | None = None, code: str | None = None, ids: Sequence[str] = ()
    ) -> list[DeadLetter]:
        params = {"limit": limit, "place": place, "code": code, "ids": json.dumps(list(ids))}
        rows = await self._fetched("dead_of" if ids else "dead", params)
        return [DeadLetter._make(row) for row in rows][:limit]

    async def dead_due(self, place: str, *, now: Micros, limit: int) -> list[DeadLetter]:
        rows = await self._fetched("dead_due", {"place": place, "now": now, "limit": limit})
        return [DeadLetter._make(row) for row in rows]

    async def retry_dead(self, ids: Sequence[str], *, now: Micros, place: str | None = None) -> int:
        params = {"ids": json.dumps(list(ids)), "now": now, "place": place}
        return await self._write(lambda connection: connection.execute(SQL["retry_dead"], params).rowcount)

    async def forget_dead(self, ids: Sequence[str]) -> int:
        params = {"ids": json.dumps(list(ids))}
        return await self._write(lambda connection: connection.execute(SQL["forget_dead"], params).rowcount)

    async def note_events(self, notes: Sequence[NotedEvent]) -> None:
        await self._put("note", encodable_rows(notes))

    async def noted_events(self, *, after: int, limit: int) -> list[tuple[int, NotedEvent]]:
        rows = await self._fetched("noted", {"after": after, "limit": limit})
        return [(number, NotedEvent._make(noted)) for number, *noted in rows]

    async def last_noted(self) -> int:
        return int((await self._fetched("last_noted", {}))[0][0])

    async def forget_noted(self, up_to: int) -> None:
        await self._write(lambda connection: connection.execute(SQL["forget_noted"], {"up_to": up_to}).rowcount)

    async def _fetched(self, query: str, params: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        return await self._read(lambda connection: connection.execute(SQL[query], params).fetchall())
