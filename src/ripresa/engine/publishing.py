"""Publishing: what becomes of runs, and what they publish, is handed on to whoever is to hear of it.

    batch: status, event ─> outbox ─> publisher ─> sinks ─> all have it: out of the outbox
                                         ^                     │ a crash in between
                                         └── next publisher <──┘ hands it on again: at least once

An event lies in the outbox from the very transaction that it tells of, so none is lost and none tells of what never
was.  Events of one run reach a sink in their order.  Of the engines of a store that publish, the oldest that lives
does; while they change, an event may come twice.  A sink that is out of reach holds back nothing but itself, until
`_AHEAD` events wait for it.
"""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ripresa.contracts.errors import StoreUnavailable
from ripresa.contracts.events import ASSIGNED, CREATED, ENDED, CloudEvent
from ripresa.contracts.payload import dump, load
from ripresa.contracts.status import RunStatus
from ripresa.ports.rows import Outgoing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ripresa.contracts.events import EventTarget
    from ripresa.engine.engine import Engine
    from ripresa.engine.held import Held
    from ripresa.ports.bus import Sink
    from ripresa.ports.rows import NewRun, Run
    from ripresa.ports.tasks import Task

logger = logging.getLogger("ripresa.events")

_LOOK_S = 1.0
_AHEAD = 2_000
_REST_S = 0.2
_REST_S_MAX = 10.0
_PUBLISHES = "publishes"


class Announcing:
    """Puts what becomes of runs into the batch that makes it so; does nothing unless somebody is to hear of it."""

    def __init__(self, engine: Engine, *, wanted: bool) -> None:
        self._engine = engine
        self.wanted = wanted
        self.published: Any = None
        """Called when something is in the outbox."""

    def created(self, run: NewRun | Held) -> None:
        """A run is there."""
        self._put(f"{run.id}/created", run.id, CREATED, {**_facts(run), "parent": run.parent})

    def change(self, held: Held, before: RunStatus, status: RunStatus, error: str | None) -> None:
        """A run has come to a status from another; one that leaves its queue has not been told of before."""
        if before is RunStatus.QUEUED and status is not RunStatus.QUEUED:
            self.created(held)
        if before is not status:
            self.ended(held, held.seq, status, error)

    def ended(self, run: Run | Held, seq: int, status: RunStatus, error: str | None = None) -> None:
        """A run has come to this status by the event of this number; it matters only if it is an end of a kind."""
        kind = ENDED.get(status.value)
        if kind is not None:
            why = None if error is None else load(error)
            told = {"type": why.get("type"), "message": why.get("message")} if isinstance(why, dict) else None
            facts = {**_facts(run), "status": status.value, "error": told}
            self._put(f"{run.id}/{seq}/{status.value}", run.id, kind, facts)

    def assigned(self, task: Task) -> None:
        """An attempt was put out for workers."""
        told = {"step": task.step, "operation": task.operation, "attempt": task.attempt, "queue": task.queue}
        self._put(f"{task.run}/task/{task.id}", task.run, ASSIGNED, {**told, "task": task.id, "run": task.run})

    def _put(self, id: str, run: str, kind: str, data: dict[str, Any]) -> None:
        if self.wanted:
            self._engine.committer.batch.outgoing.append(Outgoing(id, run, kind, dump(data), self._engine.now()))
            self.heard()

    def heard(self) -> None:
        """Something is on its way to the outbox: hand it on when it is there."""
        if self.published is not None:
            self._engine.committer.then(lambda _: self.published())


class _Target:
    """A sink, and how far it is ahead of the others."""

    def __init__(self, target: EventTarget, sink: Sink) -> None:
        self.target = target
        self.sink = sink
        self.has: set[str] = set()
        """Ids that it has, of those that are still in the outbox."""
        self.not_before = 0.0
        self.rest_s = _REST_S
        self.trouble = False

    async def take(self, events: Sequence[CloudEvent], now: float) -> None:
        """Hand over what it wants and does not have; what it does not want, it has."""
        self.has &= {event.id for event in events}
        self.has |= {event.id for event in events if not self.target.wants(event.type)}
        wanted = [event for event in events if event.id not in self.has]
        if not wanted or now < self.not_before:
            return
        delivered = await self.sink.send(wanted)
        self.has |= delivered.taken
        if delivered.trouble is None:
            if self.trouble:
                logger.warning("%s takes events again", self.sink.name)
            self.trouble, self.rest_s = False, _REST_S
            return
        if not self.trouble:
            logger.warning("events wait, as %s takes none: %s", self.sink.name, delivered.trouble)
        self.trouble = True
        self.not_before = asyncio.get_running_loop().time() + self.rest_s
        self.rest_s = min(2 * self.rest_s, _REST_S_MAX)


class Publisher:
    """Hands on what is in the outbox."""

    def __init__(self, engine: Engine, source: str, targets: Sequence[tuple[EventTarget, Sink]]) -> None:
        self._engine = engine
        self._source = source
        self._targets = [_Target(target, sink) for target, sink in targets]
        self._news = asyncio.Event()
        self._ours = False
        self._asked_at = float("-inf")
        self.stopping = False
        """Hand on nothing more."""

    def kick(self) -> None:
        """Something is in the outbox."""
        self._news.set()

    async def serve(self) -> None:
        """Hand on, until told to stop."""
        while not self.stopping and self._engine.failure is None:
            try:
                waits = await self._is_ours() and await self.run_once()
            except StoreUnavailable as error:
                logger.warning("the outbox cannot be read for now: %s", error)
                waits = True
            if waits:
                await asyncio.sleep(_REST_S)
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await self._news.wait()
            self._news.clear()

    async def run_once(self) -> bool:
        """Hand on what there is; True: something is left."""
        store = self._engine.store
        rows = await store.outgoing(limit=_AHEAD)
        if not rows:
            return False
        events = [CloudEvent.of(row, self._source) for row in rows]
        now = asyncio.get_running_loop().time()
        await asyncio.gather(*(target.take(events, now) for target in self._targets))
        done = [event.id for event in events if all(event.id in target.has for target in self._targets)]
        await store.published(done)
        return len(done) < len(rows) or len(rows) == _AHEAD

    async def close(self) -> None:
        """Let go of the sinks."""
        for target in self._targets:
            await target.sink.close()

    async def _is_ours(self) -> bool:
        """Whether this engine is the oldest of those that live and publish."""
        engine = self._engine
        if not engine.store.shared:
            return True
        now = asyncio.get_running_loop().time()
        if now >= self._asked_at + engine.config.lease_s / 3:
            self._asked_at = now
            others = [one for one in await engine.store.engines() if one["alive"] and publishes(one.get("about"))]
            numbers = [number for one in others if isinstance(number := one["engine"], int)]
            self._ours = engine.number in numbers and min(numbers) == engine.number
        return self._ours


def publishes(about: Any) -> bool:
    """Whether an engine that told this of itself publishes."""
    return isinstance(about, str) and bool(json.loads(about).get(_PUBLISHES))


def telling(about: str, *, published: bool) -> str:
    """What an engine tells of itself, with that it publishes."""
    return json.dumps({**json.loads(about), _PUBLISHES: True}) if published else about


def _facts(run: NewRun | Run | Held) -> dict[str, Any]:
    return {
        "run": run.id,
        "run_id": run.key or run.id,
        "workflow": run.definition,
        "version": run.version,
        "correlation_id": run.correlation_id,
    }
