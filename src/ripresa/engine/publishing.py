"""Publishing: what becomes of runs, and what they publish, is handed on to whoever is to hear of it.

    batch: status, event ─> outbox ─> publisher ─> sinks ─> all have it: out of the outbox
                                         ^                     │ a crash in between
                                         └── next publisher <──┘ hands it on again: at least once

An event lies in the outbox from the very transaction that it tells of, so none is lost and none tells of what never
was.  Events of one run reach a sink in their order.  Of the engines of a store that publish, the oldest that lives
does; while they change, an event may come twice.  A sink that is out of reach holds back nothing but itself, until
`_AHEAD` events wait for it; a webhook not even then: what it refuses, what was tried too often, and what waits for it
beyond that, is a dead letter (`letters`).
"""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from ripresa.contracts.errors import StoreUnavailable
from ripresa.contracts.events import ASSIGNED, CREATED, ENDED, CloudEvent
from ripresa.contracts.payload import dump, load
from ripresa.contracts.status import RunStatus
from ripresa.engine.letters import Letters
from ripresa.ports.events import Delivery
from ripresa.ports.rows import Outgoing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ripresa.contracts.events import EventTarget
    from ripresa.engine.engine import Engine
    from ripresa.engine.held import Held
    from ripresa.ports.bus import Delivered, Sink
    from ripresa.ports.rows import NewRun, Run
    from ripresa.ports.tasks import Task

logger = logging.getLogger("ripresa.events")

_LOOK_S = 1.0
_AHEAD = 2_000
_REST_S = 0.2
_REST_S_MAX = 10.0
_EVENT_REST_S = 0.5
_EVENT_REST_S_MAX = 60.0
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


class _Later(NamedTuple):
    """An event that has failed."""

    tries: int
    not_before: float


class _Target:
    """A sink, and how far it is ahead of the others.

    An event that fails is tried again after a while, and its run waits for it; the others go on.  When none gets
    through the sink itself rests, each time longer, and then one event alone shows whether it is well again.
    """

    def __init__(self, engine: Engine, target: EventTarget, sink: Sink) -> None:
        self._engine = engine
        self.target = target
        self.sink = sink
        self.letters = Letters(engine, "out", sink.name)
        self.has: set[str] = set()
        """Ids that it has, or that are dead letters of its, of those that are still in the outbox."""
        self.later: dict[str, _Later] = {}
        """Those that have failed."""
        self._loaded = False
        self.not_before = 0.0
        self.rest_s = _REST_S
        self.trouble = False

    async def take(self, events: Sequence[CloudEvent], now: float, *, crowded: bool) -> None:
        """Hand over what it wants and does not have; what it does not want, it has."""
        if not self._loaded:
            await self._load()
        ids = {event.id for event in events}
        self.has &= ids
        self.later = {one: later for one, later in self.later.items() if one in ids}
        self.has |= {event.id for event in events if not self.target.wants(event.type)}
        wanted = self._wanted(events, now)
        if not wanted or now < self.not_before:
            return
        sent = [self._probe(wanted)] if self.trouble else wanted
        delivered = await self.sink.send(sent)
        self.has |= delivered.taken
        await self.letters.note([self.letters.noted("delivered", one) for one in sent if one.id in delivered.taken])
        for event in sent:
            if event.id in delivered.refused:
                await self._give_up([event], "refused", delivered.refused[event.id])
            elif event.id in delivered.failed:
                await self._failed(event, delivered.failed[event.id])
        await self._keep([event for event in sent if event.id in delivered.failed and event.id not in self.has])
        self._rest(delivered)
        if crowded and self.trouble and delivered.failed:
            oldest = [event for event in events if event.id not in self.has][: len(events) // 2]
            await self._give_up(oldest, "crowded", f"{len(events)} events waited: {delivered.trouble}")

    async def _load(self) -> None:
        """What an engine before us has tried in vain, or given up."""
        for one in await self._engine.store.deliveries(self.sink.name):
            if one.given_up:
                self.has.add(one.event)
            else:
                self.later[one.event] = _Later(one.tries, 0.0)
        self._loaded = True

    async def _keep(self, events: Sequence[CloudEvent], *, given_up: bool = False) -> None:
        """Have the next publisher know how often these were tried."""
        place = self.sink.name
        kept = [Delivery(event.id, place, max(1, self._tries(event)), given_up) for event in events]
        await self._engine.store.put_deliveries(kept)

    def _wanted(self, events: Sequence[CloudEvent], now: float) -> list[CloudEvent]:
        """Those that may go now, in order: none before one of its run that waits."""
        wanted = []
        waits: set[str] = set()
        for event in events:
            if event.id in self.has or event.subject in waits:
                continue
            later = self.later.get(event.id)
            if later is None or later.not_before <= now:
                wanted.append(event)
            elif event.subject is not None:
                waits.add(event.subject)
        return wanted

    def _probe(self, wanted: Sequence[CloudEvent]) -> CloudEvent:
        """One that shows whether the sink is well: the first of its run, and the least tried, as it may be at fault."""
        heads: dict[str, CloudEvent] = {}
        for event in wanted:
            heads.setdefault(event.subject or event.id, event)
        return min(heads.values(), key=self._tries)

    def _tries(self, event: CloudEvent) -> int:
        later = self.later.get(event.id)
        return 0 if later is None else later.tries

    async def _failed(self, event: CloudEvent, why: str) -> None:
        tries = self._tries(event) + 1
        rest_s = min(_EVENT_REST_S * 2 ** min(tries - 1, 20), _EVENT_REST_S_MAX)
        self.later[event.id] = _Later(tries, asyncio.get_running_loop().time() + rest_s)
        if tries >= self.target.attempts:
            await self._give_up([event], "failed", why)

    async def _give_up(self, events: Sequence[CloudEvent], code: str, why: str) -> None:
        """They are dead letters, and hold up their runs no longer; that they are is on disk first."""
        for event in events:
            tries = max(1, self._tries(event))
            await self.letters.bury(event.to_json().encode(), event, code=code, reason=why, attempts=tries)
            self.has.add(event.id)
        await self._keep(events, given_up=True)

    def _rest(self, delivered: Delivered) -> None:
        if delivered.trouble is None or (delivered.taken and delivered.failed):
            if self.trouble:
                logger.warning("%s takes events again", self.sink.name)
            self.trouble, self.rest_s = False, _REST_S
            return
        if not self.trouble:
            logger.warning("events wait, as %s takes none: %s", self.sink.name, delivered.trouble)
        self.trouble = True
        self.not_before = asyncio.get_running_loop().time() + self.rest_s
        self.rest_s = min(2 * self.rest_s, _REST_S_MAX)

    async def retry_due(self) -> None:
        """Send dead letters again of which a person has said so, each once."""
        for letter in await self.letters.due():
            event = CloudEvent.from_json(letter.body)
            delivered = await self.sink.send([event])
            if event.id in delivered.taken:
                await self.letters.taken(letter)
                await self.letters.note([self.letters.noted("delivered", event)])
                continue
            why = delivered.refused.get(event.id) or delivered.trouble or "it was not taken"
            code = "refused" if event.id in delivered.refused else "failed"
            tries = letter.attempts + 1
            await self.letters.bury(letter.body, event, code=code, reason=why, attempts=tries, before=letter)


class Publisher:
    """Hands on what is in the outbox."""

    def __init__(self, engine: Engine, source: str, targets: Sequence[tuple[EventTarget, Sink]]) -> None:
        self._engine = engine
        self._source = source
        self._targets = [_Target(engine, target, sink) for target, sink in targets]
        self._news = asyncio.Event()
        self._ours = False
        self._asked_at = self._retried_at = float("-inf")
        self.stopping = False
        """Hand on nothing more."""

    def kick(self) -> None:
        """Something is in the outbox."""
        self._news.set()

    async def serve(self) -> None:
        """Hand on, until told to stop."""
        while not self.stopping and self._engine.failure is None:
            try:
                ours = await self._is_ours()
                waits = ours and await self.run_once()
                if ours:
                    await self._retry_due()
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
        crowded = len(rows) == _AHEAD
        await asyncio.gather(*(target.take(events, now, crowded=crowded) for target in self._targets))
        done = [event.id for event in events if all(event.id in target.has for target in self._targets)]
        await store.published(done)
        return len(done) < len(rows) or crowded

    async def _retry_due(self) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._retried_at + _LOOK_S:
            self._retried_at = now
            await asyncio.gather(*(target.retry_due() for target in self._targets))

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
