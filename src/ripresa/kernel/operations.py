"""Operations: what the code asked for and the journal will answer."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from ripresa.contracts.errors import ChildFailed, PayloadError, StepFailed
from ripresa.contracts.failure import Failure
from ripresa.contracts.status import FailureClass

if TYPE_CHECKING:
    from collections.abc import Callable

    from ripresa.kernel.live import LiveRun


class Event(NamedTuple):
    """What the kernel reads of a history event; `ports.rows.HistoryEvent` has these fields among others."""

    seq: int
    kind: str
    at: int
    operation: str | None = None
    name: str | None = None
    fingerprint: int | None = None
    attempt: int | None = None
    data: str | None = None
    error: str | None = None


class ContinueRequested(BaseException):
    """Ends the code's run through; the run begins again with `input`."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.input = text


class _Seldom(asyncio.Future[Any]):
    """What few operations have; kept apart, so that the others need no dictionary."""

    line: str = ""
    child: str | None = None
    undo: Callable[[Any], None] | None = None
    saga: Any = None
    asked: Any = None
    """The command that asked for it, if it is a step of which more may be left than its attempts."""


class Operation(_Seldom):
    """A future that an event of the same identity resolves; `kind` is step, child, signal or publish."""

    __slots__ = ("decode", "fingerprint", "id", "kind", "name", "run")

    run: LiveRun
    id: str
    kind: str
    name: str
    fingerprint: int
    decode: Callable[[str], Any]

    def __hash__(self) -> int:
        return self.fingerprint

    def cancel(self, msg: Any = None) -> bool:
        """Withdraw: the engine is told to stop the work."""
        if super().cancel(msg=msg):
            self.run.operation_cancelled(self)
            return True
        return False


def resolve(future: asyncio.Future[Any], decode: Callable[[str], Any], data: str) -> None:
    """Give the future what `data` holds, or the error that it does not fit."""
    try:
        value = decode(data)
    except PayloadError as error:
        future.set_exception(error)
    else:
        future.set_result(value)


_AWAITED = "can't be used in 'await' expression"
"""What Python says of who awaits a value."""


def set_unless_done(future: asyncio.Future[None]) -> None:
    """Resolve a future that somebody may have cancelled."""
    if not future.done():
        future.set_result(None)


def continue_request(error: BaseException) -> ContinueRequested | None:
    """The wish to begin anew that `error` is, or that a task group has wrapped."""
    if isinstance(error, BaseExceptionGroup):
        wishes = error.subgroup(ContinueRequested)
        return None if wishes is None else continue_request(wishes.exceptions[0])
    return error if isinstance(error, ContinueRequested) else None


def failure_of(error: BaseException) -> Failure:
    """The failure that ends a run, with the class of its cause."""
    failure_class = getattr(error, "failure_class", FailureClass.TERMINAL)
    if failure_class is FailureClass.RETRYABLE or not isinstance(failure_class, FailureClass):
        failure_class = FailureClass.TERMINAL
    code = error.cause.code if isinstance(error, StepFailed | ChildFailed) else "error"
    failure = Failure.of(error, failure_class, code=code)
    if type(error) is TypeError and _AWAITED in failure.message:
        return replace(failure, message=f"{failure.message}: a step that is a `def` is called without await")
    if isinstance(error, StepFailed):
        return Failure.from_json({**failure.to_json(), "step": error.step, "attempts": error.attempts})
    return failure


def user_line() -> str:
    """File and line of the innermost frame that is neither ours nor asyncio's."""
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if not name.startswith(("ripresa.", "asyncio")) or name.startswith("ripresa.testing"):
            return f"{frame.f_code.co_filename}:{frame.f_lineno}"
        if frame.f_back is None:
            return ""
        frame = frame.f_back
    return ""
