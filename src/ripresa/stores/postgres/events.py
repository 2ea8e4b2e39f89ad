"""Events on PostgreSQL: the port's verbs."""

from __future__ import annotations

from collections.abc import Sequence

from ripresa.ports.events import DeadLetter, NotedEvent
from ripresa.ports.rows import Micros, Outgoing
from ripresa.stores.named_sql import NamedSql
from ripresa.stores.postgres.hold import Hold
from ripresa.stores.postgres.texts import storable_value

SQL = NamedSql("ripresa.stores.postgres", "events.sql")


class EventVerbs(Hold):
    """The verbs of `ports.events.EventStore`, for the PostgreSQL store."""

    async def publish(self, events: Sequence[Outgoing]) -> None:
        await self._put("publish", events)
        self._tell_all()

    async def bury(self, letters: Sequence[DeadLetter], *, known: bool = False) -> None:
        if known:
            rows = [(one.id, one.code, one.reason, one.body, one.at, one.attempts, one.due) for one in letters]
            await self._put("bury_known", rows)
        else:
            await self._put("bury", letters)

    async def _put(self, query: str, rows: Sequence[tuple[object, ...]]) -> None:
        """All, or none."""
        kept = storable_value(list(rows))
        if kept:
            await self._again(self._idlest(), lambda one: one.executemany(SQL[query], kept))

    async def dead_letters(
        self, *, limit: int, place: str | None = None, code: str | None = None, ids: Sequence[str] = ()
    ) -> list[DeadLetter]:
        query, params = ("dead_of", [list(ids)]) if ids else ("dead", [limit, place, code])
        rows = await self._look(lambda one: one.fetch(SQL[query], *params))
        return [DeadLetter(*row) for row in rows][:limit]

    async def dead_due(self, place: str, *, now: Micros, limit: int) -> list[DeadLetter]:
        return [DeadLetter(*row) for row in await self._look(lambda one: one.fetch(SQL["dead_due"], place, now, limit))]

    async def retry_dead(self, ids: Sequence[str], *, now: Micros) -> int:
        return int(await self._again(self._idlest(), lambda one: one.fetchval(SQL["retry_dead"], list(ids), now)))

    async def forget_dead(self, ids: Sequence[str]) -> int:
        return int(await self._again(self._idlest(), lambda one: one.fetchval(SQL["forget_dead"], list(ids))))

    async def note_events(self, notes: Sequence[NotedEvent]) -> None:
        await self._put("note", notes)

    async def noted_events(self, *, after: int, limit: int) -> list[tuple[int, NotedEvent]]:
        rows = await self._look(lambda one: one.fetch(SQL["noted"], after, limit))
        return [(number, NotedEvent(*noted)) for number, *noted in rows]

    async def last_noted(self) -> int:
        return int(await self._look(lambda one: one.fetchval(SQL["last_noted"])))

    async def forget_noted(self, up_to: int) -> None:
        await self._again(self._idlest(), lambda one: one.execute(SQL["forget_noted"], up_to))
