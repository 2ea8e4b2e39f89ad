"""Runtimes: where one attempt of a step runs.  This file owns how an attempt may end badly.

An ordinary exception of the step passes through as it is when the step runs in this process, and as
`RemoteError` when it ran in another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ripresa.contracts.errors import RipresaError

if TYPE_CHECKING:
    from ripresa.contracts.failure import Failure


class WorkerLost(RipresaError):
    """The place where the step ran died under it: the attempt counts as lost, not as failed.

    `exit_code` is the worker's, negative for a signal, None where it is not known.
    """

    def __init__(self, message: str, *, exit_code: int | None = None) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class RuntimeClosed(RipresaError):
    """The runtime was closed before or under this work: the attempt did not end, run it elsewhere."""


class TookTooLong(RipresaError):
    """The runtime itself has ended the attempt, at its time limit."""


class StepExited(RipresaError):
    """The step itself raised `SystemExit`, `KeyboardInterrupt` or `CancelledError`: an ordinary failure of the step.

    Passed on as they are, these would stop the engine or look like its own cancellation.
    """

    def __init__(self, raised: BaseException) -> None:
        super().__init__(f"the step raised {raised!r} itself")


class RemoteError(RipresaError):
    """The step raised in another process; `failure` is what it left: type, message, class and traceback there."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(str(failure))
        self.failure = failure
        self.failure_class = failure.failure_class


class JobFailed(RemoteError):
    """A job ended badly, or could not be started; `failure.code` says how (`exit_3`, `oom`, `cannot_start`)."""
