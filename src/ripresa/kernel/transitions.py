"""Which status may follow which: the one table, for runs and for steps.

Nothing outside this file decides whether a status may change.  The diagrams in the documentation
are drawn from these tables, and the history checker holds every observed change against them.
"""

from __future__ import annotations

from typing import Final

from ripresa.contracts.status import RunStatus as R
from ripresa.contracts.status import StepStatus as S

RUN: Final[dict[R, frozenset[R]]] = {
    R.QUEUED: frozenset({R.RUNNING, R.CANCELLED, R.PAUSED, R.BLOCKED, R.FAILED}),
    R.RUNNING: frozenset({R.WAITING, R.PAUSED, R.SUCCEEDED, R.FAILED, R.CANCELLED, R.QUARANTINED, R.BLOCKED}),
    R.WAITING: frozenset({R.RUNNING, R.PAUSED, R.SUCCEEDED, R.FAILED, R.CANCELLED, R.QUARANTINED, R.BLOCKED}),
    R.PAUSED: frozenset({R.RUNNING, R.CANCELLED, R.FAILED, R.QUARANTINED, R.BLOCKED}),
    R.QUARANTINED: frozenset({R.RUNNING, R.SUCCEEDED, R.FAILED, R.CANCELLED, R.BLOCKED}),
    R.BLOCKED: frozenset({R.RUNNING, R.WAITING, R.PAUSED, R.QUARANTINED, R.CANCELLED, R.FAILED, R.SUCCEEDED}),
    R.SUCCEEDED: frozenset(),
    # A person may retry a run that did not succeed; nothing else leaves these two.
    R.FAILED: frozenset({R.RUNNING}),
    R.CANCELLED: frozenset({R.RUNNING}),
}

STEP: Final[dict[S, frozenset[S]]] = {
    S.PENDING: frozenset({S.QUEUED, S.RUNNING, S.SKIPPED, S.CANCELLED}),
    S.QUEUED: frozenset({S.RUNNING, S.CANCELLED, S.FAILED}),
    S.RUNNING: frozenset({S.SUCCEEDED, S.FAILED, S.WAITING, S.CANCELLED, S.QUARANTINED}),
    S.WAITING: frozenset({S.RUNNING, S.FAILED, S.CANCELLED, S.QUARANTINED}),
    S.SUCCEEDED: frozenset({S.COMPENSATED}),
    S.FAILED: frozenset({S.RUNNING}),
    S.QUARANTINED: frozenset({S.RUNNING, S.SUCCEEDED, S.FAILED, S.CANCELLED}),
    S.SKIPPED: frozenset(),
    S.CANCELLED: frozenset(),
    S.COMPENSATED: frozenset(),
}


def may_follow(now: str, then: str) -> bool:
    """Whether a run in status `now` may be given status `then`; staying as it is is always allowed."""
    return now == then or then in RUN[now]  # type: ignore[index]  # a StrEnum is its text


def require(now: str, then: str) -> None:
    """Raise ValueError unless a run in status `now` may be given status `then`."""
    if not may_follow(now, then):
        allowed = ", ".join(sorted(RUN[R(now)])) or "nothing"
        msg = f"a {now} run cannot become {then} (only: {allowed})"
        raise ValueError(msg)
