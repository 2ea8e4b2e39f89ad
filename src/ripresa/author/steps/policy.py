"""Policies: what follows when a step fails."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from ripresa.kernel.retry import Retry


class ErrorPolicy(StrEnum):
    """What becomes of the workflow when a step has failed for good."""

    STOP = "stop"
    """The workflow fails."""
    CONTINUE = "continue"
    """The next step runs; what the failed one had to say counts as if it had succeeded."""
    RETRY = "retry"
    """The step is tried again as its `retry` says – `RetryPolicy()` if it has none – and then the workflow fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often, and how long apart, a step is attempted.

    `max_attempts` is the total, the first included.  Delays are in seconds: "exponential" doubles `initial_delay` after
    each failure, "linear" adds it, "constant" keeps it; none is longer than `max_delay`.
    Raises ValueError for a value out of its range.
    """

    max_attempts: int = 3
    backoff: Literal["exponential", "linear", "constant"] = "exponential"
    initial_delay: float = 1.0
    max_delay: float = 60.0

    def __post_init__(self) -> None:
        if self.backoff not in ("exponential", "linear", "constant"):
            msg = f'RetryPolicy.backoff: {self.backoff!r} is not "exponential", "linear" or "constant"'
            raise ValueError(msg)
        self.as_retry()

    def as_retry(self) -> Retry:
        """The same as the kernel's policy."""
        return Retry(
            max_attempts=self.max_attempts,
            delay=self.initial_delay,
            multiplier=2.0 if self.backoff == "exponential" else 1.0,
            growth="linear" if self.backoff == "linear" else "exponential",
            max_delay=self.max_delay,
        )


def retry_of(given: RetryPolicy | Retry | None, on_error: ErrorPolicy) -> Retry | None:
    """The kernel's policy for a step; None: one attempt."""
    if given is None:
        return RetryPolicy().as_retry() if on_error is ErrorPolicy.RETRY else None
    return given.as_retry() if isinstance(given, RetryPolicy) else given
