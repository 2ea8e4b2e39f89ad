"""Dead letters and notes of events, as publishing and consuming make them.

What could not be taken is kept before anything else is done with it, and under an id that is made of what it is: so a
crash in between neither loses it nor makes two of it.
"""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING, Final

from ripresa.contracts.errors import StoreError
from ripresa.contracts.payload import dump
from ripresa.ports.events import DeadLetter, NotedEvent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ripresa.contracts.events import CloudEvent
    from ripresa.engine.engine import Engine

logger = logging.getLogger("ripresa.events")

KEPT: Final = 10_000
"""So many notes are kept."""
_TRIM_EVERY: Final = 1_000
_DATA_MAX: Final = 4_000
_REASON_MAX: Final = 2_000


def letter_id(way: str, place: str, what: bytes) -> str:
    """The id of what could not be taken: the same for the same."""
    return hashlib.blake2b(b"\0".join((way.encode(), place.encode(), what)), digest_size=10).hexdigest()


class Letters:
    """Keeps dead letters and notes of one place."""

    def __init__(self, engine: Engine, way: str, place: str) -> None:
        self._engine = engine
        self._way = way
        self.place = place
        self._noted = 0

    async def bury(
        self,
        body: bytes,
        event: CloudEvent | None,
        *,
        code: str,
        reason: str,
        attempts: int = 1,
        due_in_s: float | None = None,
        before: DeadLetter | None = None,
    ) -> None:
        """Keep what could not be taken; it is tried again after a while, or waits for a person.

        `before`: what is kept of it already, unless somebody has discarded it meanwhile.  Raises StoreError.
        """
        now = self._engine.now()
        what = event.id.encode() if event is not None and self._way == "out" else body
        letter = DeadLetter(
            letter_id(self._way, self.place, what) if before is None else before.id,
            self._way,
            self.place,
            code,
            reason[:_REASON_MAX],
            event.type if event else None,
            event.id if event else None,
            event.subject if event else None,
            body,
            now,
            now,
            attempts,
            None if due_in_s is None else now + int(due_in_s * 1e6),
        )
        await self._engine.store.bury([letter], known=before is not None)
        if due_in_s is None:
            logger.error("an event is a dead letter (%s, %s): %s", self.place, letter.id, reason)
            await self.note([self.noted("dead", event, why=f"{code}: {reason}")])

    async def due(self, limit: int = 100) -> list[DeadLetter]:
        """Those of this place that are to be tried again now."""
        return await self._engine.store.dead_due(self.place, now=self._engine.now(), limit=limit)

    async def taken(self, letter: DeadLetter) -> None:
        """This one has come to something after all."""
        await self._engine.store.forget_dead([letter.id])

    def noted(
        self, what: str, event: CloudEvent | None, *, run: str | None = None, why: str | None = None
    ) -> NotedEvent:
        """What became of an event."""
        data = None if event is None or event.data is None else dump(event.data)
        return NotedEvent(
            self._engine.now(),
            self._way,
            what,
            self.place,
            event.id if event else None,
            event.type if event else None,
            run or (event.subject if event else None),
            data if data is None or len(data) <= _DATA_MAX else None,
            why if why is None else why[:_REASON_MAX],
        )

    async def note(self, notes: Sequence[NotedEvent]) -> None:
        """Keep what became of events, for those who watch; that this fails is no reason not to go on."""
        if not notes:
            return
        store = self._engine.store
        try:
            await store.note_events(notes)
            self._noted += len(notes)
            if self._noted >= _TRIM_EVERY:
                self._noted = 0
                await store.forget_noted(await store.last_noted() - KEPT)
        except StoreError as error:
            logger.debug("what became of events is not noted: %s", error)
