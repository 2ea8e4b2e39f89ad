"""Verdicts: what becomes of an attempt that has ended, and so of its step.

    output ──────────────────────────────────────────────────> step_completed
    failure ─ after_failure() ─┬─> again, when it is due
    loss ──── after_loss() ────┤
                               ├─> step_failed
                               └─> quarantined

Invariant: another attempt waits until the failure of the one before is on disk.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ripresa.contracts.errors import PayloadError
from ripresa.contracts.failure import Failure
from ripresa.contracts.payload import dump
from ripresa.contracts.status import FailureClass
from ripresa.kernel.retry import GiveUp, RetryAt, SetAside, after_failure, after_loss
from ripresa.ports.rows import Attempt
from ripresa.runtimes import RemoteError, WorkerLost

if TYPE_CHECKING:
    from collections.abc import Callable

    from ripresa.engine.adopting import Adopting
    from ripresa.engine.effects import Effects
    from ripresa.engine.engine import Engine
    from ripresa.engine.held import Flight


class Verdicts:
    """Judges the attempts of all held runs; `due` is told when the next of a flight is."""

    def __init__(self, engine: Engine, adopting: Adopting, effects: Effects, due: Callable[[Flight], None]) -> None:
        self._engine = engine
        self._adopting = adopting
        self._effects = effects
        self._due = due

    def succeeded(self, flight: Flight, output: str | None) -> None:
        flight.ended = True
        if flight.seat is not None:
            self._engine.pools.ended(flight, None)
        if flight.recorded:
            self.record(flight, "succeeded", finished_at=self._engine.now())
        if flight.effect is not None:
            self._effects.done(flight, output)
        self._engine.outcomes.step_done(flight, output, None)
        self.over(flight)

    def failed(self, flight: Flight, error: BaseException) -> None:
        engine = self._engine
        now = engine.now()
        failure = step_failure(error, timed_out=flight.timed_out)
        flight.failures += 1
        flight.losses = 0
        self._engine.pools.ended(flight, failure)
        verdict = after_failure(
            flight.ask.step.retry,
            failure,
            error,
            failures=flight.failures,
            first_started=flight.first_started or now,
            now=now,
            jitter=engine.sources.jitter(),
        )
        if isinstance(verdict, GiveUp) and flight.ask.step.must_succeed:
            verdict = SetAside(verdict.reason)
        status = "timeout" if flight.timed_out else "failed"
        due = verdict.due if isinstance(verdict, RetryAt) else None
        self.record(flight, status, finished_at=now, failure=failure, due=due)
        self.over(flight)
        if isinstance(verdict, RetryAt):
            self._again(flight, verdict.due, failure)
        elif isinstance(verdict, SetAside):
            self.set_aside(flight, failure)
        else:
            flight.ended = True
            self._effects.give_up(flight)
            engine.outcomes.step_done(flight, None, failure)

    def lost(self, flight: Flight, error: WorkerLost) -> None:
        if at_most_once(flight):
            self.interrupted(flight, str(error))
            return
        flight.losses += 1
        self._engine.pools.leave(flight)
        failure = Failure.of(error, FailureClass.RETRYABLE, code="lost")
        self.record(flight, "lost", finished_at=self._engine.now(), failure=failure)
        self.over(flight)
        verdict = after_loss(flight.losses, now=self._engine.now())
        if isinstance(verdict, SetAside):
            self.set_aside(
                flight,
                Failure.from_json(
                    {
                        **failure.to_json(),
                        "failure_class": "quarantine",
                        "message": f"{verdict.reason}: {failure.message}",
                    }
                ),
            )
        else:
            self._again(flight, verdict.due, failure)

    def interrupted(self, flight: Flight, why: str = "its engine ended under it") -> None:
        """A step that must not be done twice was cut off: it may have happened, so the workflow has to find out."""
        message = f"step {flight.ask.step.name!r} was started and cut off ({why}): whether it happened is not known"
        failure = Failure(
            type="ripresa.StepInterrupted", message=message, failure_class=FailureClass.TERMINAL, code="interrupted"
        )
        flight.ended = True
        self._engine.pools.leave(flight)
        self._effects.give_up(flight)
        self.record(flight, "failed", finished_at=self._engine.now(), failure=failure)
        self._engine.outcomes.step_done(flight, None, failure)

    def never(self, flight: Flight, why: str, *, code: str) -> None:
        """The step fails without a further attempt."""
        flight.ended = True
        self._engine.labels.leave(flight)
        self._engine.pools.leave(flight)
        self._effects.give_up(flight)
        flight.started_at = self._engine.now()
        failure = Failure(type="ripresa.JobFailed", message=why, failure_class=FailureClass.TERMINAL, code=code)
        self._engine.outcomes.step_done(flight, None, failure)

    def set_aside(self, flight: Flight, failure: Failure) -> None:
        flight.ended = True
        self._effects.give_up(flight)
        if getattr(flight.ask.step, "tells_quarantine", False):
            self._engine.outcomes.step_done(flight, None, replace(failure, failure_class=FailureClass.QUARANTINE))
        else:
            self._engine.outcomes.step_set_aside(flight, failure)

    def _again(self, flight: Flight, due: int, failure: Failure) -> None:
        """Attempt again when it is due, and not before the failure is on disk."""
        engine = self._engine
        flight.due_at = due
        if engine.watching.observers:
            engine.watching.notify("attempt_failed", flight.held, flight.ask, flight.attempt, due=due, failure=failure)

        def wait(_: frozenset[str]) -> None:
            if not flight.ended:
                flight.due = engine.timers.at(due, self._due, flight)
                engine.labels.look(flight.held)

        engine.committer.then(wait)

    def over(self, flight: Flight) -> None:
        """The attempt's outcome is in the open batch; what comes next is another attempt."""
        if flight.given is not None:
            self._adopting.over(flight)
            flight.given = None
        flight.resumed_at = None

    def record(
        self,
        flight: Flight,
        status: str,
        *,
        finished_at: int | None = None,
        failure: Failure | None = None,
        due: int | None = None,
    ) -> None:
        flight.recorded = status == "running"
        self._engine.committer.batch.attempts.append(
            Attempt(
                flight.held.id,
                flight.ask.operation,
                flight.attempt,
                flight.ask.step.name,
                self._engine.number,
                flight.started_at,
                status,
                finished_at,
                dump(replace(failure, details=None).to_json()) if failure else None,  # the journal keeps them
                due,
                flight.held.base_seq,
            )
        )


def at_most_once(flight: Flight) -> bool:
    return getattr(flight.ask.step, "at_most_once", False)


def step_failure(error: BaseException, *, timed_out: bool = False) -> Failure:
    """What a step's exception means: its class, or retryable if it has none."""
    if timed_out:
        return Failure.of(error, FailureClass.RETRYABLE, code="timeout")
    if isinstance(error, RemoteError):
        return error.failure
    if isinstance(error, PayloadError):
        return Failure.of(error, FailureClass.TERMINAL, code="output_invalid")
    failure_class = getattr(error, "failure_class", FailureClass.RETRYABLE)
    return Failure.of(error, failure_class if isinstance(failure_class, FailureClass) else FailureClass.RETRYABLE)
