"""Applying: what each kind of event does to a live run.

One function a kind, in the table at the end.  An outcome resolves the operation it answers; an event
that answers nothing the code asked for, or asked for otherwise, raises `Diverged`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ripresa.contracts.errors import ChildFailed, PayloadError, RipresaError, StepFailed, StepInterrupted
from ripresa.contracts.failure import Failure
from ripresa.contracts.payload import load
from ripresa.kernel import history as h
from ripresa.kernel.divergence import diverged
from ripresa.kernel.loop import Timer
from ripresa.kernel.operations import Operation, resolve

if TYPE_CHECKING:
    from collections.abc import Callable

    from ripresa.kernel.live import LiveRun


def apply(run: LiveRun, event: Any) -> None:
    """Let the run learn what the event says.  Raises Diverged."""
    run.now_us = max(run.now_us, event.at)
    _APPLY[event.kind](run, event)


def apply_late(run: LiveRun, event: Any) -> None:
    """The code has ended; an outcome it asked for may still come in, anything else has diverged."""
    asked = event.operation in run.operations or event.operation in run.withdrawn
    if event.kind in h.OUTCOMES and not asked:
        raise diverged(run, event)


def _take(run: LiveRun, event: Any) -> Operation | Timer | None:
    operation = run.operations.pop(event.operation, None)
    if operation is None:
        if event.operation in run.withdrawn:
            return None
        raise diverged(run, event)
    if event.fingerprint is not None and operation.fingerprint != event.fingerprint:
        run.operations[operation.id] = operation
        raise diverged(run, event)
    return operation


def _on_started(run: LiveRun, event: Any) -> None:
    run.started_us = event.at
    run.start_main()


def _on_step_completed(run: LiveRun, event: Any) -> None:
    operation = run.operations.pop(event.operation, None)
    if operation is None or event.fingerprint not in (None, operation.fingerprint):
        if operation is not None:
            run.operations[operation.id] = operation
        operation = _take(run, event)
    if operation is None:
        undo = run.withdrawn.get(event.operation)
        if undo is not None:  # nobody waits for it any more, but it was done, and may have to be undone
            undo(event.data)
            _no_doubt(run, event)
        return
    if not isinstance(operation, Operation) or operation.done():
        return
    try:
        value = operation.decode(event.data)
    except PayloadError as error:
        operation.set_exception(error)
        return
    if operation.undo is not None:
        operation.undo(event.data)
    operation.set_result(value)


def _no_doubt(run: LiveRun, event: Any) -> None:
    """The journal has said what became of a step that was cut off."""
    answer = run.doubtful.pop(event.operation, None)
    if answer is not None and not answer.done():
        answer.set_result(None)


def _on_step_failed(run: LiveRun, event: Any) -> None:
    operation = _take(run, event)
    if operation is None:
        _no_doubt(run, event)
    failure = Failure.from_json(load(event.error))
    if event.name == "discard" or failure.code == "discarded":
        run.doomed = failure
    if isinstance(operation, Operation) and not operation.done():
        kind = StepInterrupted if failure.code == "interrupted" else StepFailed
        operation.set_exception(kind(operation.name, failure, event.attempt or 1))


def _on_timer_fired(run: LiveRun, event: Any) -> None:
    timer = _take(run, event)
    if isinstance(timer, Timer) and not timer.cancelled():
        run.loop.ready.append(timer)


def _on_child_finished(run: LiveRun, event: Any) -> None:
    operation = _take(run, event)
    if not isinstance(operation, Operation) or operation.done():
        return
    if event.error is None:
        resolve(operation, operation.decode, event.data or "null")
    else:
        failure = Failure.from_json(load(event.error))
        operation.set_exception(ChildFailed(operation.child or operation.name, failure.code, failure))


def _on_sent(run: LiveRun, event: Any) -> None:
    operation = _take(run, event)
    if not isinstance(operation, Operation) or operation.done():
        return
    if event.error is None:
        operation.set_result(None)
    else:
        operation.set_exception(RipresaError(Failure.from_json(load(event.error)).message))


def _on_signal(run: LiveRun, event: Any) -> None:
    run.mail.take_signal(event)


def _on_update(run: LiveRun, event: Any) -> None:
    run.mail.take_update(event)


def _on_update_completed(run: LiveRun, event: Any) -> None:
    run.mail.answered.add(event.operation)


def _on_cancel(run: LiveRun, _: Any) -> None:
    run.cancel()


def _on_nothing(run: LiveRun, _: Any) -> None:
    """The engine's matter; the code does not see it, but for the time that has passed."""


_APPLY: dict[str, Callable[[LiveRun, Any], None]] = {
    h.RUN_STARTED: _on_started,
    h.CONTINUED: _on_started,
    h.STEP_COMPLETED: _on_step_completed,
    h.STEP_FAILED: _on_step_failed,
    h.TIMER_FIRED: _on_timer_fired,
    h.CHILD_FINISHED: _on_child_finished,
    h.SIGNAL_SENT: _on_sent,
    h.EVENT_PUBLISHED: _on_sent,
    h.SIGNAL_RECEIVED: _on_signal,
    h.UPDATE_RECEIVED: _on_update,
    h.UPDATE_COMPLETED: _on_update_completed,
    h.CANCEL_REQUESTED: _on_cancel,
    h.PATCH_TAKEN: _on_nothing,
    h.NODE_SETTLED: _on_nothing,
    h.PAUSE_REQUESTED: _on_nothing,
    h.RESUME_REQUESTED: _on_nothing,
    h.QUARANTINED: _on_nothing,
    h.RELEASED: _on_nothing,
    h.RETRIED: _on_nothing,
    h.FINISHED: _on_nothing,
}
