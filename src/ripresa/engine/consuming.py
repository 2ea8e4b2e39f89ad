"""Consuming: events from elsewhere start runs, or are signals to them – each once, however often it comes.

    source ─> event ─> rules ─> run started, signal sent ─> on disk ─> acknowledged
                 │        ^ known by the event's source and id: the second time nothing happens
                 └── cannot be taken ─> dead letter ─> on disk ─────────┘

A run that an event starts has an id made of the event; a signal has such an id as a message.  So an event is dealt with
once as long as the store knows the run, and no table of what was seen is needed.

What nobody can make sense of (no CloudEvent, data that the workflow's contract refuses, no such workflow) is a dead
letter at once.  What may be otherwise in a while (no such run yet, a handler that raises) is tried `_TRIES` times, with
rests in between, and then waits for a person.  Neither holds up what comes after it.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from typing import TYPE_CHECKING, Any, Final

from ripresa.contracts.errors import (
    EngineFenced,
    PayloadError,
    RunConflict,
    RunFinished,
    RunNotFound,
    StoreUnavailable,
    UnknownDefinition,
)
from ripresa.contracts.events import CloudEvent
from ripresa.contracts.payload import dump
from ripresa.engine.letters import Letters
from ripresa.ports.rows import Message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ripresa.contracts.events import EventSource
    from ripresa.engine.app import App
    from ripresa.engine.engine import Engine
    from ripresa.ports.bus import Received, Source
    from ripresa.ports.events import NotedEvent

logger = logging.getLogger("ripresa.events")

_REST_S: Final = 0.5
_REST_S_MAX: Final = 10.0
_TRIES: Final = 5
_AGAIN_S: Final = 1.0
"""Before the second try; before each one after it twice as long."""
_LOOK_S: Final = 1.0
"""How often is looked for dead letters that are to be tried again."""


_MAY_PASS: Final = frozenset(["refused", "no_run"])


class _Unfit(Exception):
    """The event can never be taken as it is; `code` says why in a word."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class Consumer:
    """Takes from one source, by the rules for it."""

    def __init__(self, app: App, engine: Engine, rules: Sequence[EventSource], source: Source) -> None:
        self._app = app
        self._engine = engine
        self._rules = rules
        self._source = source
        self._letters = Letters(engine, "in", source.name)
        self._notes: list[NotedEvent] = []
        self._trouble = False
        self._looked_at = float("-inf")
        self.stopping = False
        """Take nothing more."""

    async def serve(self) -> None:
        """Take what comes, until told to stop."""
        rest_s = _REST_S
        while not self._over:
            try:
                await self.run_once()
                await self._retry_due()
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
        return self.stopping or self._engine.stopping or self._app.engine is None or self._engine.failure is not None

    async def run_once(self) -> int:
        """Take what waits; how much that was.  Raises OSError, StoreUnavailable."""
        came = await self._source.receive()
        dealt_with: list[Received] = []
        try:
            for received in came:
                if not await self._deal_with(received.body):
                    return len(dealt_with)
                dealt_with.append(received)
        finally:
            if not self._over:
                await self._source.done(dealt_with)
        notes, self._notes = self._notes, []
        await self._letters.note(notes)
        return len(came)

    async def close(self) -> None:
        """Let go of the source."""
        await self._source.close()

    async def _again(self) -> None:
        try:
            await self._source.again()
        except OSError as error:
            logger.debug("%s: %s", self._source.name, error)

    # --- dead letters --------------------------------------------------------------------------

    async def _deal_with(self, body: bytes) -> bool:
        """Take it, or keep it as a dead letter; False: we end, and it comes again."""
        event, refused = await self._tried(body)
        if refused is not None:
            if self._over:  # it is no fault of the event's
                return False
            later = _AGAIN_S if refused.code in _MAY_PASS else None
            await self._letters.bury(body, event, code=refused.code, reason=str(refused), due_in_s=later)
        return True

    async def _retry_due(self) -> None:
        """Try those again of which somebody has said so, or whose rest is over."""
        now = asyncio.get_running_loop().time()
        if now < self._looked_at + _LOOK_S or self._over:
            return
        self._looked_at = now
        for letter in await self._letters.due():
            event, refused = await self._tried(letter.body)
            if self._over:
                return
            if refused is None:
                await self._letters.taken(letter)
                continue
            tries = letter.attempts + 1
            again = refused.code in _MAY_PASS and tries < _TRIES
            await self._letters.bury(
                letter.body,
                event,
                code=refused.code,
                reason=str(refused),
                attempts=tries,
                due_in_s=_AGAIN_S * 2 ** (tries - 1) if again else None,
                before=letter,
            )
        notes, self._notes = self._notes, []
        await self._letters.note(notes)

    async def _tried(self, body: bytes) -> tuple[CloudEvent | None, _Unfit | None]:
        """The event, if it is one, and why it cannot be taken, if it cannot.  Raises StoreUnavailable."""
        event: CloudEvent | None = None
        try:
            event = _read(body)
            await self._take(event)
        except _Unfit as error:
            return event, error
        except (OSError, StoreUnavailable, EngineFenced):
            raise
        except Exception as error:  # noqa: BLE001 - code of others: a handler, a validator
            return event, _Unfit("refused", f"{type(error).__name__}: {error}")
        return event, None

    # --- what events do ------------------------------------------------------------------------

    async def _take(self, event: CloudEvent) -> None:
        wanted = [rule for rule in self._rules if rule.wants(event.type)]
        if not wanted:
            self._notes.append(self._letters.noted("passed", event))
        name = hashlib.blake2b(f"{event.source}\0{event.id}".encode(), digest_size=16).hexdigest()
        for rule in wanted:
            if rule.start is not None:
                await self._start(rule.start, event, name)
            else:
                await self._signal(rule, event, f"event/{name}")

    async def _start(self, workflow: str, event: CloudEvent, name: str) -> None:
        tags = {"event_type": event.type[:255]}
        try:
            run = await self._app.start(workflow, event.data, id=f"event-{workflow[:200]}-{name}", tags=tags)
        except UnknownDefinition as error:
            raise _Unfit("no_workflow", str(error)) from error
        except (PayloadError, ValueError, TypeError) as error:
            raise _Unfit("contract", str(error)) from error
        except RunConflict as error:
            raise _Unfit("conflict", str(error)) from error
        self._notes.append(self._letters.noted("started", event, run=run.id))

    async def _signal(self, rule: EventSource, event: CloudEvent, id: str) -> None:
        engine = self._engine
        try:
            ref = str(_at(event, rule.run or ""))
        except LookupError as error:
            raise _Unfit("contract", str(error)) from error
        run = await engine.store.get_run(ref)
        if run is None:
            raise _Unfit("no_run", f"no run {ref!r}, to which event {event.id!r} is a signal")
        data = dump(event.data, where=f"event {event.id!r}")
        try:
            await engine.store.send(Message(f"{id}/{run.id}", run.id, "signal", rule.signal, data, engine.now()))
        except RunNotFound as error:
            raise _Unfit("no_run", str(error)) from error
        except RunFinished:
            logger.info("event %s came too late for run %s, which has ended", event.id, ref)
            self._notes.append(self._letters.noted("late", event, run=ref))
            return
        engine.loading.look()
        self._notes.append(self._letters.noted("signalled", event, run=ref))


def _read(body: bytes) -> CloudEvent:
    try:
        return CloudEvent.from_json(body)
    except (ValueError, RecursionError) as error:
        raise _Unfit("no_event", str(error)) from error


def _at(event: CloudEvent, path: str) -> Any:
    """What stands at this path of the event, as `data.order.id`.  Raises LookupError."""
    found: Any = {"data": event.data, "subject": event.subject, "id": event.id, "source": event.source}
    for name in path.split("."):
        if not isinstance(found, dict) or name not in found:
            raise LookupError(f"event {event.id!r} has nothing at {path!r}")
        found = found[name]
    return found
