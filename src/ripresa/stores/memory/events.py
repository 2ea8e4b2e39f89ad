"""Events in memory: the port's verbs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ripresa.ports.events import DeadLetter, Delivery, NotedEvent
    from ripresa.ports.rows import Micros, Outgoing
    from ripresa.stores.memory.database import MemoryDatabase


class EventVerbs(ABC):
    """The verbs of `ports.events.EventStore`, for the memory store."""

    database: MemoryDatabase

    @abstractmethod
    def _wrote(self) -> None:
        """What the store itself does."""

    @abstractmethod
    def _tell_others(self) -> None:
        """What the store itself does."""

    async def publish(self, events: Sequence[Outgoing]) -> None:
        for event in events:
            self.database.outbox.setdefault(event.id, event)
        self._wrote()
        self._tell_others()

    async def deliveries(self, place: str) -> list[Delivery]:
        kept = self.database.deliveries
        for key in [key for key in kept if key[0] not in self.database.outbox]:
            del kept[key]
        return [one for one in kept.values() if one.place == place]

    async def put_deliveries(self, deliveries: Sequence[Delivery]) -> None:
        for one in deliveries:
            self.database.deliveries[one.event, one.place] = one
        self._wrote()

    async def bury(self, letters: Sequence[DeadLetter], *, known: bool = False) -> None:
        dead = self.database.dead
        for letter in letters:
            before = dead.get(letter.id)
            if before is not None:
                dead[letter.id] = letter._replace(since=before.since)
            elif not known:
                dead[letter.id] = letter
        self._wrote()

    async def dead_letters(
        self, *, limit: int, place: str | None = None, code: str | None = None, ids: Sequence[str] = ()
    ) -> list[DeadLetter]:
        found = [
            one
            for one in self.database.dead.values()
            if (one.id in ids if ids else place in (None, one.place) and code in (None, one.code))
        ]
        return sorted(found, key=lambda one: (-one.at, one.id))[:limit]

    async def dead_due(self, place: str, *, now: Micros, limit: int) -> list[DeadLetter]:
        due = [
            (one.due, one.id, one)
            for one in self.database.dead.values()
            if one.place == place and one.due is not None and one.due <= now
        ]
        return [one for _, _, one in sorted(due, key=lambda row: row[:2])[:limit]]

    async def retry_dead(self, ids: Sequence[str], *, now: Micros, place: str | None = None) -> int:
        dead = self.database.dead
        found = [dead[one] for one in ids if one in dead]
        for one in found:
            dead[one.id] = one._replace(due=now, place=place or one.place)
        self._wrote()
        return len(found)

    async def forget_dead(self, ids: Sequence[str]) -> int:
        gone = [one for one in ids if self.database.dead.pop(one, None) is not None]
        self._wrote()
        return len(gone)

    async def note_events(self, notes: Sequence[NotedEvent]) -> None:
        for note in notes:
            self.database.noted.append((next(self.database.notes), note))
        self._wrote()

    async def noted_events(self, *, after: int, limit: int) -> list[tuple[int, NotedEvent]]:
        return [row for row in self.database.noted if row[0] > after][:limit]

    async def last_noted(self) -> int:
        return self.database.noted[-1][0] if self.database.noted else 0

    async def forget_noted(self, up_to: int) -> None:
        self.database.noted = [row for row in self.database.noted if row[0] > up_to]
