"""Outside: what another process asked of runs that this engine does not hold in memory.

Most messages are for a held run (`control.by_message`).  Two are not: *retry* of a run that has ended, and
*fork*, which comes as a queued run whose memo names its origin and the step to begin anew with.  Both are
brought here to what an engine's own `retry` and `fork` would have made, and both are safe to repeat after a
crash: the message, or the run's single event, is there until all of it is on disk.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from ripresa.contracts.errors import UnknownDefinition
from ripresa.contracts.payload import load
from ripresa.contracts.status import TERMINAL, RunStatus
from ripresa.engine.rows import forked_history
from ripresa.ports.rows import RunChange

if TYPE_CHECKING:
    from ripresa.engine.engine import Engine
    from ripresa.ports.reading import Loaded

logger = logging.getLogger("ripresa.engine")


class Outside:
    """Makes runs ready to be held."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._one_at_a_time = asyncio.Lock()

    async def ready(self, loaded: Loaded) -> Loaded | None:
        """The run as it is to be held; None: it has ended, or what was asked takes care of itself."""
        if not self._is_asked(loaded):
            return None if RunStatus(loaded.run.status) in TERMINAL else loaded
        async with self._one_at_a_time:  # two who load the same run must not both write its next event
            loaded = (await self._engine.store.load([loaded.run.id]))[0]
            if not self._is_asked(loaded):
                return loaded
            if RunStatus(loaded.run.status) in TERMINAL:
                await self._retry(loaded)
                return None
            return await self._fork(loaded)

    def _is_asked(self, loaded: Loaded) -> bool:
        run = loaded.run
        if RunStatus(run.status) in TERMINAL:
            return any(message.kind == "retry" for message in loaded.messages)
        is_new = run.status == RunStatus.QUEUED and loaded.last_seq == 1
        return is_new and run.memo is not None and "from_step" in load(run.memo)

    async def _retry(self, loaded: Loaded) -> None:
        """A run that has ended is only woken to be retried; one that succeeded has nothing to retry."""
        engine, run = self._engine, loaded.run
        try:
            engine.require_workflow(run.definition, run.version)
        except UnknownDefinition as error:
            logger.warning("retry of run %s waits for its definition: %s", run.key or run.id, error)
            return
        asked = [message.id for message in loaded.messages if message.kind == "retry"]
        if run.status == RunStatus.SUCCEEDED:
            engine.committer.batch.taken.extend(asked)
            engine.committer.batch.changes.append(RunChange(run.id, run.status, run.updated_at, None))
            await engine.verbs.on_disk()
            return
        await engine.control.reopen(run, asked)

    async def _fork(self, loaded: Loaded) -> Loaded:
        """Give a new run its origin's history up to before the step that it begins anew with."""
        engine, run = self._engine, loaded.run
        memo = load(run.memo or "{}")
        origin = (await engine.store.load([memo["forked_from"]]))[0]
        history = forked_history(origin.history, memo["from_step"], run.id)
        if history is None:
            return loaded
        engine.committer.batch.history.extend(history[1:])
        await engine.verbs.on_disk()
        return loaded._replace(history=history, last_seq=len(history))
