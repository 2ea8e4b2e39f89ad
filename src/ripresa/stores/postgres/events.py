"""Events on PostgreSQL: the port's verbs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ripresa.ports.events import DeadLetter, Delivery, NotedEvent
from ripresa.ports.rows import Micros, Outgoing
from ripresa.stores.named_sql import NamedSql
from ripresa.stores.postgres.hold import Hold
from ripresa.stores.postgres.seldom import Seldom
from ripresa.stores.postgres.texts import storable_value

SQL = NamedSql("ripresa.stores.postgres", "events.sql")


_DUE_REST_S = 2.0
_DUE_LATE_US = 60_000_000
"""What is due earlier than the last look by more than this is found by who goes through all, dead versions too."""


class EventVerbs(Hold):
    """The verbs of `ports.events.EventStore`, for the PostgreSQL store."""

    _monotonic: Callable[[], float]

    def __init__(self, url: str, *, lock_timeout: float) -> None:
        super().__init__(url, lock_timeout=lock_timeout)
        self._due: dict[str, tuple[Seldom, Micros]] = {}
        """By place: when all dead letters are gone through again, and that none is due earlier."""

    async def publish(self, events: Sequence[Outgoing]) -> None:
        await self._put("publish", events)
        self._tell_all()

    async def deliveries(self, place: str) -> list[Delivery]:
        await self._again(self._idlest(), lambda one: one.execute(SQL["forget_deliveries"]))
        return [Delivery(*row) for row in await self._look(lambda one: one.fetch(SQL["deliveries"], place))]

    async def put_deliveries(self, deliveries: Sequence[Delivery]) -> None:
        await self._put("put_delivery", deliveries)

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
        seldom, low = self._due.setdefault(place, (Seldom(_DUE_REST_S, self._monotonic), 0))
        through_all, began = seldom.is_due(), self._monotonic()
        params = (place, now, limit, 0 if through_all else low)
        rows = await self._look(lambda one: one.fetch(SQL["dead_due"], *params))
        if through_all:
            seldom.done(began)
        letters = [DeadLetter(*row) for row in rows]
        first = min((one.due for one in letters if one.due is not None), default=now)
        self._due[place] = seldom, min(first, now - _DUE_LATE_US)
        return letters

    async def retry_dead(self, ids: Sequence[str], *, now: Micros, place: str | None = None) -> int:
        params = (list(ids), now, place)
        return int(await self._again(self._idlest(), lambda one: one.fetchval(SQL["retry_dead"], *params)))

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
