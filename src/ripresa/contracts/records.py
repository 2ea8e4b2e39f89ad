"""Records: runs, steps, attempts and events as programs read them – on stdout, over HTTP, in exports.

Versioned with the contract: fields are added, never changed.  The `of` mappers read a store's rows by
their fields' names; times become UTC, JSON texts become values.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from ripresa.contracts.job_order import is_skipped
from ripresa.contracts.payload import load
from ripresa.contracts.status import RunStatus, StepStatus

RECORDS_VERSION: Final = "1.0"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Record(BaseModel):
    """What all records have: they do not change, and fields of newer versions are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_enum_values=True, defer_build=True)


class FailureRecord(Record):
    """What went wrong."""

    model_config = ConfigDict(frozen=True, extra="allow", use_enum_values=True, defer_build=True)

    type: str
    message: str = ""
    failure_class: str = "retryable"
    code: str = "error"


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


class StepRecord(Record):
    """One step of a run, over all its attempts."""

    operation: str
    step: str
    status: StepStatus
    attempts: int
    started_at: datetime | None = None
    finished_at: datetime | None = None
    duration_seconds: float | None = None
    next_attempt_at: datetime | None = None
    output: Any = None
    error: FailureRecord | None = None
    reason: str | None = None
    """Why it was skipped or cancelled, or what it waits for."""


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


class WorkerRecord(Record):
    """A process that carries out steps and jobs for engines."""

    name: str
    runtime: str
    host: str | None = None
    pid: int | None = None
    queues: list[str] = []
    slots: int | None = None
    """How much it carries out at a time."""
    since: datetime
    beat_at: datetime
    """When it last gave a sign of life."""

    @classmethod
    def of(cls, row: Any, about: dict[str, Any]) -> Self:
        """From a store's `WorkerState` and what that tells of itself."""
        told = {name: about[name] for name in ("host", "pid", "queues", "slots") if name in about}
        return cls(name=row.name, runtime=row.runtime, since=moment(row.since), beat_at=moment(row.beat_at), **told)


class TaskRecord(Record):
    """An attempt of a step that a worker carries out, or is to."""

    id: str
    run: str
    """UUID of the run."""
    run_id: str | None = None
    step: str
    attempt: int
    queue: str
    state: str
    """waiting | running | reported"""
    worker: str | None = None
    at: datetime
    """When it was put out."""
    claimed_at: datetime | None = None
    beat_at: datetime | None = None

    @classmethod
    def of(cls, row: Any, *, run_id: str | None = None) -> Self:
        """From a store's `TaskState`."""
        state = "waiting" if row.worker is None else "running" if row.outcome is None else "reported"
        return cls(
            id=row.id,
            run=row.run,
            run_id=run_id,
            step=row.step,
            attempt=row.attempt,
            queue=row.queue,
            state=state,
            worker=row.worker,
            at=moment(row.at),
            claimed_at=maybe_moment(row.claimed_at),
            beat_at=maybe_moment(row.beat_at),
        )


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


class ExportedEvent(HistoryRecord):
    """An event with all that a replay needs."""

    fingerprint: int | None = None
    started_at: datetime | None = None

    @classmethod
    def of(cls, row: Any) -> Self:
        """From a store's `HistoryEvent`."""
        told = HistoryRecord.of(row).model_dump()
        return cls(**told, fingerprint=row.fingerprint, started_at=maybe_moment(row.started_at))


class RunExport(Record):
    """A run with its whole journal: what `ripresa runs export` writes."""

    record: Literal["1.0"] = RECORDS_VERSION
    run: JobRun
    base_seq: int = 0
    """Replay starts after this event."""
    seed: str | None = None
    """What its random numbers are derived from, if not its UUID."""
    history: list[ExportedEvent]
    attempts: list[AttemptRecord]
    children: list[str]
    """UUIDs of the runs that it started."""

    @classmethod
    def of(
        cls, row: Any, *, history: list[Any], attempts: list[Any], children: list[Any], tags: dict[str, str]
    ) -> Self:
        """From a store's rows."""
        return cls(
            run=JobRun.of(row, tags=tags),
            base_seq=row.base_seq,
            seed=(value(row.memo) or {}).get("seed"),
            history=[ExportedEvent.of(event) for event in history],
            attempts=[AttemptRecord.of(attempt) for attempt in attempts],
            children=[child.id for child in children],
        )


def moment(micros: int) -> datetime:
    """A store's time as a datetime in UTC."""
    return _EPOCH + timedelta(microseconds=micros)


def maybe_moment(micros: int | None) -> datetime | None:
    """The same, for a time that may not have come."""
    return None if micros is None else moment(micros)


def value(text: str | None) -> Any:
    """The value of a JSON text; None: there is none."""
    return None if text is None else load(text)


def failure(text: str | None) -> FailureRecord | None:
    """The failure of a JSON text."""
    found = value(text)
    if found is None:
        return None
    return FailureRecord.model_validate(found if isinstance(found, dict) else {"type": "Error", "message": str(found)})


# --- steps: a fold over the journal and the attempts -----------------------------------------


_STATUS_OF_ATTEMPT = {
    "running": StepStatus.RUNNING,
    "failed": StepStatus.WAITING,
    "timeout": StepStatus.WAITING,
    "lost": StepStatus.WAITING,
    "cancelled": StepStatus.CANCELLED,
    "succeeded": StepStatus.RUNNING,
}
"""Where a step stands whose last attempt stands so, as long as the journal knows of no outcome."""

_STATUS_OF_EVENT = {
    "step_completed": StepStatus.SUCCEEDED,
    "step_failed": StepStatus.FAILED,
    "quarantined": StepStatus.QUARANTINED,
}
_UNDO = "undo:"
_NEVER = datetime.max.replace(tzinfo=UTC)
_DONE_AGAIN = frozenset(StepStatus(one) for one in ("failed", "quarantined", "cancelled", "skipped", "compensated"))
"""What a person's `retry` or `release` sets back."""


def steps_of(run: Any, history: list[Any], attempts: list[Any]) -> list[StepRecord]:
    """The steps of a run, in order of their start, from its journal since its last beginning and its attempts."""
    told = [(row.started_at, 0, row) for row in attempts if row.generation == run.base_seq]
    told += [(event.at, event.seq, event) for event in history]
    found: dict[str, dict[str, Any]] = {}
    children: dict[str, Any] = {}
    for _, seq, row in sorted(told, key=lambda item: item[:2]):
        if not seq:
            _see_attempt(found, row)
        elif row.kind == "child_finished" and row.operation is not None:
            children[row.operation] = value(row.data)
        elif row.kind == "node_settled":
            _see_node(found, children, row)
        else:
            _see_event(found, row)
    if run.finished_at is not None:
        _end(found, run.finished_at)
    steps = [StepRecord(**fields) for fields in found.values()]
    return sorted(steps, key=lambda step: step.started_at or _NEVER)


def _see_attempt(found: dict[str, dict[str, Any]], row: Any) -> None:
    step = found.setdefault(row.operation, {"operation": row.operation, "step": row.name})
    step.setdefault("started_at", moment(row.started_at))
    step |= {
        "status": _STATUS_OF_ATTEMPT[row.status],
        "attempts": row.number,
        "error": failure(row.error),
        "next_attempt_at": maybe_moment(row.due),
        "finished_at": None,
        "duration_seconds": None,
    }


def _see_event(found: dict[str, dict[str, Any]], event: Any) -> None:
    if event.kind in {"retried", "released"}:
        for step in found.values():
            if step["status"] in _DONE_AGAIN:
                step |= {"status": StepStatus.PENDING, "finished_at": None, "duration_seconds": None}
                del step["started_at"]
    if event.kind not in _STATUS_OF_EVENT or event.operation is None:
        return
    step = found.setdefault(event.operation, {"operation": event.operation, "step": event.name or event.operation})
    started = step.setdefault("started_at", moment(event.started_at or event.at))
    error = failure(event.error)
    output = value(event.data)
    status = _STATUS_OF_EVENT[event.kind]
    if error is not None and error.failure_class == "quarantine":
        status = StepStatus.QUARANTINED
    elif is_skipped(output):
        status, output = StepStatus.SKIPPED, None
    step |= {
        "status": status,
        "attempts": max(event.attempt or 0, step.get("attempts", 0)),
        "finished_at": moment(event.at),
        "duration_seconds": (moment(event.at) - started).total_seconds(),
        "next_attempt_at": None,
        "output": output,
        "error": error,
    }
    if event.kind == "step_completed" and event.operation.startswith(_UNDO):
        undone = found.get(event.operation.removeprefix(_UNDO))
        if undone is not None:
            undone["status"] = StepStatus.COMPENSATED


def _see_node(found: dict[str, dict[str, Any]], children: dict[str, Any], event: Any) -> None:
    """What a graph's program decided of a node; `children`: the outputs of those that have ended, by operation."""
    told = value(event.data)
    started = moment(told.get("started_at") or event.at)
    step = found.setdefault(event.operation, {"operation": event.operation, "step": event.operation, "attempts": 0})
    step.setdefault("started_at", started)
    step |= {
        "status": StepStatus(told["status"]),
        "finished_at": moment(event.at),
        "duration_seconds": (moment(event.at) - step["started_at"]).total_seconds(),
        "next_attempt_at": None,
        "reason": told.get("reason"),
        "error": failure(event.error),
    }
    if "output" in told:
        step["output"] = told["output"]
    elif "items" in told:
        names = [f"{event.operation}[{number}]" for number in range(told["items"])]
        step["output"] = [found[name].get("output") if name in found else children.get(name) for name in names]


def _end(found: dict[str, dict[str, Any]], finished: int) -> None:
    """What an ended run left under way was stopped."""
    for step in found.values():
        if step["status"] in {StepStatus.RUNNING, StepStatus.WAITING, StepStatus.PENDING}:
            step |= {"status": StepStatus.CANCELLED, "finished_at": moment(finished), "next_attempt_at": None}
