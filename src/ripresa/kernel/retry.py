"""Retry: what to do after an attempt failed.  A pure decision: `now` and `jitter` come in.

A policy counts *attempts*, the first included.  Delays follow `delay * multiplier**(n-1)` for the
n-th failure, capped at `max_delay`; with full jitter the wait is drawn evenly between zero and that
(M. Brooker, "Exponential Backoff and Jitter", 2015).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ripresa.contracts.durations import Duration, micros
from ripresa.contracts.failure import Failure, type_named
from ripresa.contracts.status import FailureClass

LOSSES_MAX = 5
"""Attempts in a row that may be lost to crashes before the step is taken for the cause."""
DELAY_US_MAX = 30 * 86_400 * 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often, and how long apart, a step is attempted.

    `max_attempts` is the total, the first included (1 to 1000).  `delay` before the second attempt,
    multiplied by `multiplier` for each further one up to `max_delay`; with `growth` "linear" it grows by `delay` itself
    each time.  `jitter` "none" keeps delays exact, "full" draws
    each between zero and its value.  `max_elapsed` ends retrying that long after the first attempt began.
    `on` names the exception types worth a retry (all, if empty); `on_exhausted` says what the last
    failure becomes.  Raises ValueError if a field is out of its range.
    """

    max_attempts: int = 3
    delay: Duration = "1s"
    multiplier: float = 2.0
    max_delay: Duration = "1h"
    growth: Literal["exponential", "linear"] = "exponential"
    jitter: Literal["none", "full"] = "none"
    max_elapsed: Duration | None = None
    on: tuple[type[BaseException], ...] = ()
    on_exhausted: Literal["fail", "quarantine"] = "fail"

    def __post_init__(self) -> None:
        if not 1 <= self.max_attempts <= 1000:
            msg = f"Retry.max_attempts: {self.max_attempts} is not in 1..1000 (it counts the first attempt too)"
            raise ValueError(msg)
        if not 1.0 <= self.multiplier <= 100.0:
            msg = f"Retry.multiplier: {self.multiplier} is not in 1..100"
            raise ValueError(msg)
        if self.growth not in ("exponential", "linear"):
            msg = f'Retry.growth: {self.growth!r} is not "exponential" or "linear"'
            raise ValueError(msg)
        if self.jitter not in ("none", "full"):
            msg = f'Retry.jitter: {self.jitter!r} is not "none" or "full"'
            raise ValueError(msg)
        if self.on_exhausted not in ("fail", "quarantine"):
            msg = f'Retry.on_exhausted: {self.on_exhausted!r} is not "fail" or "quarantine"'
            raise ValueError(msg)
        for name in ("delay", "max_delay", "max_elapsed"):
            value = getattr(self, name)
            if value is not None:
                micros(value, where=f"Retry.{name}")

    def wait_us(self, failures: int, *, jitter: float) -> int:
        """Microseconds to wait after the `failures`-th failure; `jitter` is in [0, 1)."""
        top = min(micros(self.max_delay), DELAY_US_MAX)
        wait = float(micros(self.delay))
        if self.growth == "linear":
            wait *= failures
        else:
            for _ in range(failures - 1):
                wait *= self.multiplier
                if wait >= top:
                    break
        capped = min(int(wait), top)
        return int(capped * jitter) if self.jitter == "full" else capped


@dataclass(frozen=True, slots=True)
class RetryAt:
    """Attempt again when `due` has come."""

    due: int


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The step failed for good."""

    reason: str


@dataclass(frozen=True, slots=True)
class SetAside:
    """A person must look at it: the run goes to quarantine."""

    reason: str


Verdict = RetryAt | GiveUp | SetAside


def after_failure(
    policy: Retry | None,
    failure: Failure,
    error: BaseException | None,
    *,
    failures: int,
    first_started: int,
    now: int,
    jitter: float,
) -> Verdict:
    """Retry until the policy is spent; a terminal failure spends it at once.

    `failures` counts this one too.  Times are in microseconds.
    """
    if failure.failure_class is FailureClass.QUARANTINE:
        return SetAside(failure.message)
    if failure.failure_class is FailureClass.TERMINAL:
        return GiveUp("terminal")
    spent = SetAside if policy and policy.on_exhausted == "quarantine" else GiveUp
    if policy is None or failures >= policy.max_attempts:
        return spent("attempts")
    if policy.on and not _is_one_of(policy.on, failure, error):
        return spent("type")
    due = now + max(policy.wait_us(failures, jitter=jitter), failure.retry_after_us or 0)
    if policy.max_elapsed is not None and due > first_started + micros(policy.max_elapsed):
        return spent("elapsed")
    return RetryAt(due)


def _is_one_of(kinds: tuple[type[BaseException], ...], failure: Failure, error: BaseException | None) -> bool:
    """Whether the step raised one of these; what it raised in another process is known by name."""
    if isinstance(error, kinds):
        return True
    raised = type_named(failure.type)
    if raised is not None:
        return issubclass(raised, kinds)
    return failure.type in (kind.__qualname__ for kind in kinds)


def after_loss(losses: int, *, now: int) -> RetryAt | SetAside:
    """An attempt lost to a crash is repeated at once and does not use up the policy, but not for ever."""
    if losses >= LOSSES_MAX:
        return SetAside(f"{losses} attempts in a row were lost with their process")
    return RetryAt(now)
