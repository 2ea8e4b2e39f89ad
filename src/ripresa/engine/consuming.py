"""Consuming: events from elsewhere start runs, or are signals to them – each once, however often it comes.

    source ─> event ─> rule ─> run started, or signal sent ─> on disk ─> acknowledged
                                       ^ known by the event's source and id: the second time nothing happens

A run that an event starts has an id made of the event; a signal has such an id as a message.  So an event is dealt with
once as long as the store knows the run, and no table of what was seen is needed.  What nobody can make sense of is put
aside by its source, and the rest goes on.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from typing import TYPE_CHECKING, Any

from ripresa.contracts.errors import RipresaError, RunFinished, RunNotFound, StoreError, StoreUnavailable
from ripresa.contracts.events import CloudEvent
from ripresa.contracts.payload import dump
from ripresa.ports.rows import Message

if TYPE_CHECKING:
    from ripresa.contracts.events import EventSource
    from ripresa.engine.app import App
    from ripresa.ports.bus import Received, Source

logger = logging.getLogger("ripresa.events")

_REST_S = 0.5
_REST_S_MAX = 10.0


class Consumer:
    """Takes from one source."""

    def __init__(self, app: App, rule: EventSource, source: Source) -> None:
        self._app = app
        self._rule = rule
        self._source = source
        self._trouble = False
        self.stopping = False
        """Take nothing more."""

    async def serve(self) -> None:
        """Take what comes, until told to stop."""
        rest_s = _REST_S
        while not self._over:
            try:
                await self.run_once()
            except (OSError, StoreUnavailable) as error:
                if not self._trouble:
                    logger.warning("no events from %s for now: %s", self._source.name, error)
                self._trouble = True
                await self._again()
                await asyncio.sleep(rest_s)
                rest_s = min(2 * rest_s, _REST_S_MAX)
            else:
                if self._trouble:
                    logger.warning("events come from %s again", self._source.name)
                self._trouble, rest_s = False, _REST_S

    @property
    def _over(self) -> bool:
        """Whether the App closes, or its engine has failed."""
        return self.stopping or self._app.engine is None or self._app.engine.failure is not None

    async def run_once(self) -> int:
        """Take what waits; how much that was.  Raises OSError, StoreUnavailable."""
        came = await self._source.receive()
        dealt_with: list[Received] = []
        for received in came:
            try:
                await self._take(CloudEvent.from_json(received.body))
            except (StoreError, OSError):
                await self._source.done(dealt_with)
                raise
            except (ValueError, TypeError, LookupError, RipresaError) as error:
                if self._over:  # it is no fault of the event's: it comes again
                    return 0
                logger.error("an event from %s is put aside: %s", self._source.name, error)  # noqa: TRY400 - its data's fault
                await self._source.refuse(received, str(error))
            else:
                dealt_with.append(received)
        await self._source.done(dealt_with)
        return len(came)

    async def close(self) -> None:
        """Let go of the source."""
        await self._source.close()

    async def _again(self) -> None:
        try:
            await self._source.again()
        except OSError as error:
            logger.debug("%s: %s", self._source.name, error)

    async def _take(self, event: CloudEvent) -> None:
        rule = self._rule
        if not rule.wants(event.type):
            return
        name = hashlib.blake2b(f"{event.source}\0{event.id}".encode(), digest_size=16).hexdigest()
        if rule.start is not None:
            tags = {"event_type": event.type[:255]}
            await self._app.start(rule.start, event.data, id=f"event-{rule.start[:200]}-{name}", tags=tags)
            return
        await self._signal(event, f"event/{name}", str(_at(event, rule.run or "")))

    async def _signal(self, event: CloudEvent, id: str, ref: str) -> None:
        engine = self._app.opened()
        run = await engine.store.get_run(ref)
        if run is None:
            raise RunNotFound(ref, f"no run {ref!r}, to which event {event.id!r} is a signal")
        data = dump(event.data, where=f"event {event.id!r}")
        try:
            await engine.store.send(Message(f"{id}/{run.id}", run.id, "signal", self._rule.signal, data, engine.now()))
        except RunFinished:
            logger.info("event %s came too late for run %s, which has ended", event.id, ref)
            return
        engine.loading.look()


def _at(event: CloudEvent, path: str) -> Any:
    """What stands at this path of the event, as `data.order.id`.  Raises LookupError."""
    found: Any = {"data": event.data, "subject": event.subject, "id": event.id, "source": event.source}
    for name in path.split("."):
        if not isinstance(found, dict) or name not in found:
            raise LookupError(f"event {event.id!r} has nothing at {path!r}")
        found = found[name]
    return found
