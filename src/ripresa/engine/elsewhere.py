"""Elsewhere: what is asked of runs that another engine of the store holds.

    verb ─> message in the store ─> their owner takes it ─> journal ─┐
    waits <── heard that something was written, or a while has passed <┘

A message is left with the store's own check that the run has not ended, and whoever asked looks until it was taken.
Who waits for the ends of runs is served by one look at the statuses of all of them.  Nothing here writes to a run
that is not ours.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ripresa.contracts.errors import Diverged, RunError, RunFinished, StoreUnavailable
from ripresa.contracts.failure import Failure
from ripresa.contracts.payload import load
from ripresa.contracts.status import TERMINAL, RunStatus
from ripresa.kernel import history as h
from ripresa.ports.rows import Message

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ripresa.engine.engine import Engine
    from ripresa.kernel.live import LiveRun
    from ripresa.ports.rows import Run

logger = logging.getLogger("ripresa.engine")

_LOOK_S = 1.0
"""How often is looked though nothing was heard."""
_REST = 4
"""For each second that a look takes, so many pass before the next."""
_REST_S_MIN = 0.002
_CHUNK = 1_000
_ENDED = frozenset({*TERMINAL, RunStatus.QUARANTINED, RunStatus.BLOCKED})


class Elsewhere:
    """Asks other engines, and waits for what they do."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._news = asyncio.Event()
        self._looking: list[asyncio.Future[None]] = []
        """Those who look for themselves, at the next news."""

    def heard(self) -> None:
        """Something was written by others."""
        self._news.set()

    def written(self) -> None:
        """We have written something: a run that was nobody's may have become ours, with what it was asked."""
        if self._looking:
            self._news.set()

    async def serve(self) -> None:
        """Wake who waits for runs that end elsewhere, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await self._news.wait()
            self._news.clear()
            began = loop.time()
            with suppress(StoreUnavailable):
                await self._look()
            await asyncio.sleep(max(_REST_S_MIN, _REST * (loop.time() - began)))

    async def _look(self) -> None:
        looking, self._looking = self._looking, []
        for future in looking:
            if not future.done():
                future.set_result(None)
        engine = self._engine
        runs = [run for run in engine.waiters if run not in engine.held]
        for start in range(0, len(runs), _CHUNK):
            for run, status in (await engine.store.statuses(runs[start : start + _CHUNK])).items():
                if RunStatus(status) in _ENDED:
                    engine.wake_waiters(run)

    # --- asking ----------------------------------------------------------------------------------

    async def send(self, run: Run, kind: str, name: str | None = None, data: str | None = None) -> str:
        """Leave a message for whoever owns the run; its id.  Raises RunFinished if it has ended."""
        engine = self._engine
        message = Message(engine.sources.new_id(), run.id, kind, name, data, engine.now())
        try:
            await engine.store.send(message)
        except RunFinished:
            raise RunFinished(run.key or run.id, f"{kind}: run {run.key or run.id!r} has ended") from None
        engine.loading.look()  # it may be nobody's
        return message.id

    async def ask(self, run: Run, kind: str, data: str | None = None) -> None:
        """Leave a message, and return when it was taken.  Raises RunFinished if the run ended before that.

        It goes with a batch of ours, so that an engine which was stopped for long does not ask after all, hours later.
        """
        message = self._engine.sources.new_id()
        await self._engine.messages.post(run.id, kind, None, data, id=message)
        await self._engine.verbs.on_disk()

        async def is_taken() -> bool:
            waiting = {one.id for one in await self._engine.store.messages(run.id)}
            return message not in waiting or (kind != "retry" and await self._has_ended(run))

        await self._engine.calls.answer(self._until(is_taken))
        if kind != "retry" and message in {one.id for one in await self._engine.store.messages(run.id)}:
            raise RunFinished(run.key or run.id, f"{kind}: run {run.key or run.id!r} has ended")

    async def signal(self, run: Run, name: str, data: str) -> None:
        """Leave a signal, if the run as it stands does not wait for another shape of it."""
        live = await self._copy(run)
        if live is not None:
            try:
                live.mail.validate_signal(name, data)
            finally:
                live.discard()
        await self.send(run, "signal", name, data)

    async def update(self, run: Run, name: str, data: str) -> Any:
        """Have the run's owner answer an update that its validator does not refuse, as the run stands."""
        if RunStatus(run.status) in (RunStatus.PAUSED, RunStatus.QUARANTINED, RunStatus.BLOCKED):
            msg = f"update {name!r}: run {run.key or run.id!r} is {run.status}"
            raise RunError(run.key or run.id, msg)
        live = await self._copy(run)
        if live is not None:
            try:
                self._engine.verbs.require_accepted(live, name, data)
            finally:
                live.discard()
        seen = (await self._engine.store.load([run.id]))[0].last_seq
        message = await self.send(run, "update", name, data)
        answer: list[tuple[str | None, str | None]] = []

        async def is_answered() -> bool:
            ended = await self._has_ended(run)
            events = await self._engine.store.history(run.id, after=seen)
            answered = (event for event in events if event.kind == h.UPDATE_COMPLETED and event.operation == message)
            answer.extend((event.data, event.error) for event in answered)
            return bool(answer) or ended

        await self._until(is_answered)
        output, error = answer[0] if answer else (None, None)
        if error is not None or not answer:
            failure = None if error is None else Failure.from_json(load(error))
            msg = f"update {name!r} failed: {failure or 'the run has ended'}"
            raise RunError(run.key or run.id, msg, cause=failure)
        return load(output or "null")

    async def _copy(self, run: Run) -> LiveRun | None:
        """The run's code, to look at; None: this engine lacks its version."""
        await self._engine.learn((run.definition, run.version))
        if self._engine.fleet.lacks(run.definition, run.version):
            return None
        try:
            return await self._engine.verbs.replayed(run)
        except Diverged:
            return None

    async def _has_ended(self, run: Run) -> bool:
        status = (await self._engine.store.statuses([run.id])).get(run.id)
        return status is None or RunStatus(status) in TERMINAL

    async def _until(self, is_so: Callable[[], Awaitable[bool]]) -> None:
        """Look at each news until it is so, however long the store is out of reach."""
        while True:
            future = self._engine.verbs.caller()  # fails if the engine ends
            self._looking.append(future)
            with suppress(StoreUnavailable):
                if await is_so():
                    return
            with suppress(StoreUnavailable):
                await future
