"""Steps of a run as programs read them: a fold over its journal and its attempts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ripresa.contracts.job_order import is_skipped
from ripresa.contracts.record_base import FailureRecord, Record, failure, maybe_moment, moment, value
from ripresa.contracts.status import StepStatus

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
