"""Records: runs, attempts and events as programs read them – on stdout, over HTTP, in exports.

Versioned with the contract: fields are added, never changed.  The `of` mappers read a store's rows by
their fields' names; times become UTC, JSON texts become values.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, Self

from pydantic import Field

from ripresa.contracts.record_base import (
    RECORDS_VERSION,
    FailureRecord,
    Record,
    failure,
    maybe_moment,
    moment,
    value,
)
from ripresa.contracts.status import RunStatus, StepStatus


class HistoryRecord(Record):
    """One event of a run's journal."""

    seq: int
    at: datetime
    kind: str
    operation: str | None = None
    """Identity of the operation within the run, as `charge#2`."""
    step: str | None = None
    """What it ran: step, signal, patch or workflow."""
    attempt: int | None = None
    output: Any = None
    error: FailureRecord | None = None

    @classmethod
    def of(cls, row: Any) -> Self:
        """From a store's `HistoryEvent`."""
        return cls(
            seq=row.seq,
            at=moment(row.at),
            kind=row.kind,
            operation=row.operation,
            step=row.name,
            attempt=row.attempt,
            output=value(row.data),
            error=failure(row.error),
        )


class AttemptRecord(Record):
    """One try of a step."""

    operation: str
    number: int
    step: str
    status: Literal["running", "failed", "lost", "cancelled", "succeeded", "timeout"]
    engine: int | None = None
    started_at: datetime
    finished_at: datetime | None = None
    error: FailureRecord | None = None
    due: datetime | None = None
    """When the next try is due, if there is one."""
    generation: int = 0
    """The run's `base_seq` when it began: after continue-as-new an operation's name may come again."""

    @classmethod
    def of(cls, row: Any) -> Self:
        """From a store's `Attempt`."""
        return cls(
            operation=row.operation,
            number=row.number,
            step=row.name,
            status=row.status,
            engine=row.engine,
            started_at=moment(row.started_at),
            finished_at=maybe_moment(row.finished_at),
            error=failure(row.error),
            due=maybe_moment(row.due),
            generation=row.generation,
        )


class JobRun(Record):
    """One execution of a workflow."""

    record: Literal["1.0"] = RECORDS_VERSION
    id: str
    """The id given at start, else the UUID."""
    uuid: str
    definition: str
    version: str
    status: RunStatus
    priority: int = 0
    input: Any = None
    output: Any = None
    error: FailureRecord | None = None
    parent: str | None = None
    """UUID of the run that started it."""
    correlation_id: str | None = None
    forked_from: str | None = None
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    updated_at: datetime
    duration_seconds: float | None = None
    tags: dict[str, str] = Field(default_factory=dict)
    reason: str | None = None
    """Why it is queued."""

    @classmethod
    def of(cls, row: Any, *, tags: dict[str, str] | None = None, reason: str | None = None) -> Self:
        """From a store's `Run`."""
        started = row.started_at or row.created_at
        return cls(
            id=row.key or row.id,
            uuid=row.id,
            definition=row.definition,
            version=row.version,
            status=row.status,
            priority=row.priority,
            input=value(row.input),
            output=value(row.output),
            error=failure(row.error),
            parent=row.parent,
            correlation_id=row.correlation_id,
            forked_from=(value(row.memo) or {}).get("forked_from"),
            created_at=moment(row.created_at),
            started_at=maybe_moment(row.started_at),
            finished_at=maybe_moment(row.finished_at),
            updated_at=moment(row.updated_at),
            duration_seconds=None if row.finished_at is None else (row.finished_at - started) / 1e6,
            tags=tags or {},
            reason=reason,
        )


class DefinitionRecord(Record):
    """A version of a workflow, as first used."""

    record: Literal["1.0"] = RECORDS_VERSION
    name: str
    version: str
    """Content hash."""
    label: str | None = None
    """The author's own version."""
    kind: str
    created_at: datetime
    input_schema: Any = None
    output_schema: Any = None
    body: str

    @classmethod
    def of(cls, row: Any) -> Self:
        """From a store's `Definition`."""
        return cls(
            name=row.name,
            version=row.version,
            label=row.label,
            kind=row.kind,
            created_at=moment(row.created_at),
            input_schema=value(row.input_schema),
            output_schema=value(row.output_schema),
            body=row.body,
        )


class QualityRecord(Record):
    """What a step measured of its data, once."""

    definition: str
    step: str
    operation: str
    run: str
    """UUID of the run."""
    run_id: str | None = None
    """The run's id: the one given at start, else the UUID; None: it is not known any more."""
    at: datetime
    status: StepStatus
    """What became of the step."""
    metrics: dict[str, Any]

    @classmethod
    def of(cls, row: Any, *, run_id: str | None = None) -> Self:
        """From a store's `Quality`."""
        return cls(
            definition=row.definition,
            step=row.step,
            operation=row.operation,
            run=row.run,
            run_id=run_id,
            at=moment(row.at),
            status=row.status,
            metrics=value(row.metrics),
        )


class OutgoingRecord(Record):
    """An event that a run published, and that nobody has taken yet."""

    id: str
    """The same each time the event is handed out: whoever takes it twice can tell."""
    type: str
    run: str
    """UUID of the run."""
    run_id: str | None = None
    """The run's id: the one given at start, else the UUID."""
    at: datetime
    data: Any = None

    @classmethod
    def of(cls, row: Any, *, run_id: str | None = None) -> Self:
        """From a store's `Outgoing`."""
        return cls(id=row.id, type=row.type, run=row.run, run_id=run_id, at=moment(row.at), data=value(row.data))


class LogRecord(Record):
    """A line that a step wrote."""

    number: int
    at: datetime
    run: str | None = None
    """UUID of the run."""
    operation: str | None = None
    """Which wrote it; of a child's lines that are told with its parent's, with the parent's operation before it."""
    attempt: int | None = None
    stream: Literal["stdout", "stderr", "log"]
    level: str | None = None
    text: str

    @classmethod
    def of(cls, number: int, row: Any) -> Self:
        """From a store's `LogLine`."""
        return cls(
            number=number,
            at=moment(row.at),
            run=row.run,
            operation=row.operation,
            attempt=row.attempt,
            stream=row.stream,
            level=row.level,
            text=row.text,
        )
