"""Adopting: work that outlives its engine – leaving it, finding it again, and having it cleared away.

    start on disk ─> runtime.run ─> outcome ─> on disk ─> runtime.forget
         │ crash, or the engine closes                        ▲
         └─> next engine: the same attempt, `resumed` ────────┘

Only for runtimes with `adopts`, as that of containers.  The start of their attempts is on disk before anything is
begun, so that an attempt that was left under way is known to have been: it keeps its number and is no loss.
Invariant: what is kept of an attempt is cleared away after the journal knows what came of it, never before.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from ripresa.contracts.errors import StoreUnavailable
from ripresa.contracts.status import TERMINAL, RunStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ripresa.contracts.step_context import StepContext
    from ripresa.engine.engine import Engine
    from ripresa.engine.held import Flight, Tally
    from ripresa.ports.runtime import Runtime, Work

logger = logging.getLogger("ripresa.engine")

_ASK_AGAIN_S = 0.2
_ENDED = ("failed", "timeout", "cancelled", "succeeded")


class Adopting:
    """What the engine does differently for runtimes whose work outlives it."""

    def __init__(self, engine: Engine, runtimes: Mapping[str, Runtime]) -> None:
        self._engine = engine
        self._runtimes: dict[str, Any] = {
            name: runtime for name, runtime in runtimes.items() if getattr(runtime, "adopts", False)
        }
        self._looked: set[str] = set()
        self._looking: list[asyncio.Task[None]] = []

    def of(self, flight: Flight) -> Any:
        """The flight's runtime, if it adopts; None: it does not."""
        return self._runtimes.get(flight.runtime)

    def prepare(self, flight: Flight, known: Tally | None) -> None:
        """A step begins: its starts are recorded first, and an attempt that was left under way is taken up again."""
        if self.of(flight) is None:
            return
        flight.careful = True
        if known is not None and known.cut_at is not None:
            flight.resumed_at = known.cut_at
            flight.attempt -= 1  # the start counts it again
            flight.losses -= 1

    async def hand_over(self, flight: Flight, work: Work) -> None:
        """Tell the runtime what an earlier engine has seen of this attempt."""
        if self.of(flight) is None:
            return
        flight.given = work
        if (limit_us := flight.ask.step.timeout_us) is not None:
            work.options["limit_s"] = limit_us / 1e6
        if (queue_us := getattr(flight.ask.step, "queue_us", None)) is not None:
            work.options["queue_s"] = queue_us / 1e6
        work.options["queue"] = self._engine.pools.queue_of(flight)
        self._look_once(flight.runtime)
        if flight.resumed_at is not None:
            work.resumed = True
            work.told = await self._lines_told(flight)

    def let_go(self, flight: Flight, *, leave: bool) -> None:
        """The flight is dropped: its work goes on for the next engine, or is ended and cleared away."""
        runtime = self.of(flight)
        if runtime is None or not (flight.launched or flight.resumed_at is not None):
            return
        if leave:
            if flight.given is not None:
                flight.given.leave = True
        else:
            runtime.forget(flight.context())

    def over(self, flight: Flight) -> None:
        """The attempt's outcome is in the open batch: once that is on disk, its work is cleared away."""
        runtime = self.of(flight)
        if runtime is None or self._engine.stopping or self._engine.held.get(flight.held.id) is not flight.held:
            return
        context = flight.context()
        if getattr(runtime, "forgets_with_outcome", False):
            runtime.forget(context)
        else:
            self._engine.committer.then(lambda _: runtime.forget(context))

    def close(self) -> None:
        """Look for nothing more."""
        for task in self._looking:
            task.cancel()

    async def _lines_told(self, flight: Flight) -> dict[str, list[str]]:
        while True:
            try:
                lines = await self._engine.store.logs(flight.held.id, operation=flight.ask.operation)
            except StoreUnavailable:
                await asyncio.sleep(_ASK_AGAIN_S)
                continue
            told: dict[str, list[str]] = {}
            for _, line in lines:
                if line.attempt == flight.attempt:
                    told.setdefault(line.stream, []).append(line.text)
            return told

    # --- what was left behind ------------------------------------------------------------------

    def _look_once(self, name: str) -> None:
        """An engine that ended between an outcome and the clearing away has left something behind: clear it away."""
        if name not in self._looked:
            self._looked.add(name)
            self._looking.append(self._engine.task(self._clear(name), name=f"ripresa leftovers of {name}"))

    async def _clear(self, name: str) -> None:
        runtime = self._runtimes[name]
        try:
            for context in await runtime.left():
                if await self._is_over(context):
                    runtime.forget(context)
        except Exception as error:  # noqa: BLE001 - what is left behind is in nobody's way; the next engine looks again
            logger.warning("cannot look for what is left on runtime %s: %s", name, error)

    async def _is_over(self, context: StepContext) -> bool:
        """Whether the journal of a run of ours says so; of others' runs nobody here knows."""
        store = self._engine.store
        run = await store.get_run(context.run_uuid)
        if run is None or run.id != context.run_uuid:
            return False
        generation = f".{run.base_seq}" if run.base_seq else ""
        if RunStatus(run.status) in TERMINAL or not context.idempotency_key.startswith(f"{run.id}{generation}:"):
            return True
        for attempt in await store.attempts(run.id):
            same = (attempt.operation, attempt.number) == (context.operation, context.attempt)
            if same and attempt.generation == run.base_seq:
                return attempt.status in _ENDED or attempt.error is not None
        return False
