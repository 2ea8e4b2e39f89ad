"""Outcomes: what becomes of a run when a step of it ends, needs a person, or no longer fits.

Each writes its events and status into the open batch; who waits is told once they are on disk.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ripresa.contracts.failure import Failure
from ripresa.contracts.payload import dump
from ripresa.contracts.status import FailureClass, RunStatus, StepStatus
from ripresa.engine.held import Tally
from ripresa.kernel import history as h
from ripresa.ports.rows import HistoryEvent, Quality

if TYPE_CHECKING:
    from ripresa.contracts.errors import Diverged
    from ripresa.engine.engine import Engine
    from ripresa.engine.held import Flight, Held

logger = logging.getLogger("ripresa.engine")


class Outcomes:
    """Writes outcomes for one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def step_done(self, flight: Flight, output: str | None, failure: Failure | None) -> None:
        """A step has its outcome: record it, then show it."""
        held = flight.held
        ask = flight.ask
        if self._engine.held.get(held.id) is not held or self._engine.stopping:
            return
        held.seq += 1
        held.untold += 1
        event = HistoryEvent(
            held.id,
            held.seq,
            h.STEP_COMPLETED if failure is None else h.STEP_FAILED,
            self._engine.now(),
            ask.operation,
            ask.step.name,
            ask.fingerprint,
            flight.attempt,
            flight.started_at,
            output,
            None if failure is None else dump(failure.to_json()),
        )
        if (measured := getattr(ask.step, "measured", None)) is not None:
            status = StepStatus.SUCCEEDED if failure is None else StepStatus.FAILED
            self._measured(flight, held.seq, status, measured(output, failure))
        flight.decided = True
        if failure is not None and failure.failure_class is FailureClass.QUARANTINE:
            held.nodes_aside.add(ask.operation)
        self._engine.committer.batch.history.append(event)
        self._engine.committer.tell(held, event)
        if self._engine.watching.observers:
            self._engine.watching.notify("step_done", held, ask, flight.attempt, failure=failure)

    def step_set_aside(self, flight: Flight, failure: Failure) -> None:
        """A step needs a person: the run goes to quarantine; what is under way ends by itself."""
        held = flight.held
        ask = flight.ask
        held.flights.pop(ask.operation, None)
        if self._engine.held.get(held.id) is not held or self._engine.stopping:
            return
        held.quarantined[ask.operation] = failure
        held.loss_counts[ask.operation] = Tally(flight.attempt)
        event = self._engine.append(
            held,
            h.QUARANTINED,
            operation=ask.operation,
            name=ask.step.name,
            fingerprint=ask.fingerprint,
            attempt=flight.attempt,
            started_at=flight.started_at,
            error=dump({**failure.to_json(), "step": ask.step.name}),
        )
        if (measured := getattr(ask.step, "measured", None)) is not None:
            self._measured(flight, event.seq, StepStatus.QUARANTINED, measured(None, failure))
        if self._engine.watching.observers:
            self._engine.watching.notify("step_set_aside", held, ask, flight.attempt, failure=failure)
        if held.status is not RunStatus.CANCELLED:
            self._engine.set_status(
                held, RunStatus.QUARANTINED, write=True, error=dump({**failure.to_json(), "step": ask.step.name})
            )
            self._engine.committer.then(lambda _: self.halted(held))

    def _measured(self, flight: Flight, seq: int, status: StepStatus, metrics: str | None) -> None:
        """Keep what the step measured of its data, in the transaction that keeps its outcome."""
        if metrics is None:
            return
        held = flight.held
        self._engine.committer.batch.quality.append(
            Quality(
                held.id,
                seq,
                held.definition,
                flight.ask.step.name,
                flight.ask.operation,
                self._engine.now(),
                status.value,
                metrics,
            )
        )

    def halted(self, held: Held) -> None:
        """The run has come to a stop that only a person ends: tell who waits, let it go when its attempts end."""
        self._engine.wake_waiters(held.id)
        self._engine.parking.idle(held)

    def block(self, held: Held, error: Diverged) -> None:
        """The code does not fit the history: stop here, and say so."""
        logger.warning("%s", error)
        held.trying = False
        if held.live is not None:
            held.live.discard()
            held.live = None
        for flight in list(held.flights.values()):
            self._engine.attempts.forget(flight)
        failure = Failure(
            type="ripresa.Diverged",
            message=str(error),
            failure_class=FailureClass.TERMINAL,
            code="diverged",
            step=error.operation,
        )
        self._engine.set_status(held, RunStatus.BLOCKED, write=True, error=dump(failure.to_json()))
        self._engine.committer.then(lambda _: self.halted(held))
