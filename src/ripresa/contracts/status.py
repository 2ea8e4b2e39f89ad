"""Status and failure classes, spelled once for code, tables, API and documents."""

from __future__ import annotations

from enum import StrEnum


class RunStatus(StrEnum):
    """Where a run stands.  `kernel.transitions` says which may follow which."""

    QUEUED = "queued"
    """Accepted; an engine starts it."""
    RUNNING = "running"
    """Its code runs, or a step of it does; the engine moves it on."""
    WAITING = "waiting"
    """Only a timer, a signal or a child can move it on; it costs no memory."""
    PAUSED = "paused"
    """A person moves it on with `resume`; nothing starts until then."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    QUARANTINED = "quarantined"
    """A person moves it on: release, override or discard."""
    BLOCKED = "blocked"
    """The code on disk no longer fits the history; fitting code moves it on."""


TERMINAL = frozenset({RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED})


class StepStatus(StrEnum):
    """Where one step of a run stands."""

    PENDING = "pending"
    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"
    QUARANTINED = "quarantined"
    COMPENSATED = "compensated"


class FailureClass(StrEnum):
    """What to do about a failure: try again, give up, or set aside for a person."""

    RETRYABLE = "retryable"
    TERMINAL = "terminal"
    QUARANTINE = "quarantine"
