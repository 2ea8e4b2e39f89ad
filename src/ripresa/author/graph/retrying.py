"""Retrying: work that is no step – a child workflow, a signal – begun again as its policy says.

A step's attempts are the engine's; these are the program's, each an operation of its own (`sub`, `sub#2`) with
a durable wait between.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ripresa.contracts.errors import ChildFailed
from ripresa.contracts.failure import Failure
from ripresa.contracts.status import FailureClass
from ripresa.kernel.retry import RetryAt, after_failure

if TYPE_CHECKING:
    from ripresa.author.graph.works import Place, Work
    from ripresa.kernel.loop import Handle, Timer
    from ripresa.kernel.retry import Retry


class Retrying(asyncio.Future[Any]):
    """Resolves as the last attempt does; cancelling it cancels the attempt or the wait for the next."""

    def __init__(self, work: Work, place: Place, retry: Retry) -> None:
        super().__init__(loop=place.run.loop)
        self._work = work
        self._place = place
        self._retry = retry
        self._failures = 0
        self._started = place.run.now_us
        self._attempt: asyncio.Future[Any] | None = None
        self._wait: Timer | Handle | None = None
        self._begin()

    def cancel(self, msg: Any = None) -> bool:
        """Cancel what is under way, and this."""
        if self._wait is not None:
            self._wait.cancel()
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.cancel()
        return super().cancel(msg=msg)

    def _begin(self) -> None:
        self._wait = None
        self._attempt = attempt = self._work.begin(self._place)
        attempt.add_done_callback(self._ended)

    def _ended(self, attempt: asyncio.Future[Any]) -> None:
        if self._attempt is not attempt or self.done():
            return
        error = asyncio.CancelledError() if attempt.cancelled() else attempt.exception()
        if error is None:
            self.set_result(attempt.result())
        elif attempt.cancelled():
            super().cancel()
        elif not isinstance(error, Exception) or not self._again(error):
            self.set_exception(error)

    def _again(self, error: Exception) -> bool:
        """Begin again in a while; False: the policy is spent."""
        run = self._place.run
        self._failures += 1
        verdict = after_failure(
            self._retry,
            _worth_another(error),
            error,
            failures=self._failures,
            first_started=self._started,
            now=run.now_us,
            jitter=run.random(),
        )
        if not isinstance(verdict, RetryAt):
            return False
        future, self._wait = run.timer(verdict.due - run.now_us, f"{self._place.identity}/retry")
        future.add_done_callback(self._due)
        return True

    def _due(self, ended: asyncio.Future[None]) -> None:
        if self.done() or ended.cancelled():
            return
        try:
            self._begin()
        except Exception as error:  # noqa: BLE001 - whatever its values raise ends it
            self.set_exception(error)


def _worth_another(error: Exception) -> Failure:
    """A run that failed has failed for good; whether it is started anew is this policy's to say."""
    if isinstance(error, ChildFailed):
        return replace(error.cause, failure_class=FailureClass.RETRYABLE)
    return Failure.of(error, FailureClass.RETRYABLE)
