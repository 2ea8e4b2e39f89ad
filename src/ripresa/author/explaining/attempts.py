"""Attempts: every wait between them, exactly, and the longest that all of them can take.

The waits are asked of the policy that the engine itself uses, so that they are those that will be waited.
"""

from __future__ import annotations

from dataclasses import dataclass

from ripresa.author.yaml.entries import retry_of
from ripresa.contracts.durations import micros
from ripresa.contracts.spec import RetrySpec
from ripresa.contracts.time_limits import TimeLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempts:
    """How often something is attempted.

    `waits_us`: the wait before the second attempt, before the third, and so on.  `jitter`: each is drawn evenly between
    `shortest_us` of it (zero) and its value.  `memory_bytes`: what each attempt gets, where that grows.
    """

    total: int
    waits_us: tuple[int, ...]
    shortest_us: tuple[int, ...]
    jitter: str
    max_elapsed_us: int | None
    memory_bytes: tuple[int, ...] = ()

    @property
    def waited_us(self) -> int:
        """All waits together, at the most."""
        return sum(self.waits_us)


def attempts_of(spec: RetrySpec | None, memory_bytes: tuple[int, ...] = ()) -> Attempts:
    """The attempts that this policy gives."""
    policy = retry_of(spec)
    if policy is None:
        return Attempts(total=1, waits_us=(), shortest_us=(), jitter="none", max_elapsed_us=None)
    failures = range(1, policy.max_attempts)
    return Attempts(
        total=policy.max_attempts,
        waits_us=tuple(policy.wait_us(failure, jitter=1.0) for failure in failures),
        shortest_us=tuple(policy.wait_us(failure, jitter=0.0) for failure in failures),
        jitter=policy.jitter,
        max_elapsed_us=None if policy.max_elapsed is None else micros(policy.max_elapsed),
        memory_bytes=memory_bytes,
    )


def longest_us(attempts: Attempts, limits: TimeLimits) -> int | None:
    """The longest that all attempts take together; None: there is no limit.

    Each attempt takes its limit and the grace after it, each wait its full length, and each wait for a slot the limit
    of that, if it has one (without one, it is left out).  With `max_elapsed`, the last attempt that begins in time
    counts.
    """
    if limits.total_us is None and limits.attempt_us is None:
        return None
    if limits.attempt_us is None:
        return limits.total_us
    one = limits.attempt_us + (limits.grace_us or 0)
    queue = limits.queue_us or 0
    longest, earliest, latest = queue + one, 0, 0
    for wait, shortest in zip(attempts.waits_us, attempts.shortest_us, strict=True):
        earliest, latest = earliest + shortest, latest + one + wait
        if attempts.max_elapsed_us is not None:
            if earliest > attempts.max_elapsed_us:
                break
            due = min(latest, attempts.max_elapsed_us)
        else:
            due = latest
        latest = due + queue
        longest = queue + latest + one
    return longest if limits.total_us is None else min(longest, limits.total_us)
