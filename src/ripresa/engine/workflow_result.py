"""Results of context-first runs: what `WorkflowRunner` gives back, read from a run's rows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from ripresa.author.steps.dry_run import PlannedStep
from ripresa.author.steps.fold import CheckpointState, checkpoint_of
from ripresa.author.steps.kinds import MapStep
from ripresa.author.steps.result import StepResult
from ripresa.contracts.errors import PayloadError
from ripresa.contracts.quality import QualityMetrics
from ripresa.contracts.record_base import failure, maybe_moment
from ripresa.contracts.status import RunStatus, StepStatus
from ripresa.contracts.step_records import StepRecord, steps_of
from ripresa.kernel import history as h

if TYPE_CHECKING:
    from ripresa.author.steps.context import WorkflowContext
    from ripresa.author.steps.workflow import Workflow

_OPERATION = re.compile(r"(?P<step>[A-Za-z0-9_.-]+)(?:#\d+)?(?:\[(?P<index>\d+)\]/.+)?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepExecution:
    """One step of a run, over all its attempts.  `index` is set for the items of a map.

    Times are in UTC; `duration_seconds` runs from the start of the first attempt.  `error` and `error_category` say why
    it failed.
    """

    step: str
    operation: str
    status: StepStatus
    attempts: int = 1
    index: int | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    duration_seconds: float | None = None
    output: Any = None
    error: str | None = None
    error_category: str | None = None
    quality: QualityMetrics | None = None
    next_step: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowResult:
    """How a run of a `Workflow` stands: after `execute` and `resume`, as a rule, how it ended.

    `context` is what the last step left; `completed_steps` are those that are done, in order, as often as they were
    taken; `error` and `error_step` say what stopped it.  `checkpoint` is where it stands: `execute(…, checkpoint=…)`
    goes on from there.  Of a dry run, `status` is "dry_run" and `plan` what would happen.
    """

    run_id: str
    workflow_name: str
    status: RunStatus | Literal["dry_run"]
    context: WorkflowContext
    checkpoint: CheckpointState | None = None
    step_executions: tuple[StepExecution, ...] = ()
    completed_steps: tuple[str, ...] = ()
    error: str | None = None
    error_step: str | None = None
    duration_seconds: float | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    plan: tuple[PlannedStep, ...] = ()

    @property
    def success(self) -> bool:
        """Whether the run succeeded."""
        return self.status == RunStatus.SUCCEEDED

    def execution(self, step: str) -> StepExecution:
        """The last execution of this step.  Raises KeyError."""
        for one in reversed(self.step_executions):
            if one.step == step and one.index is None:
                return one
        raise KeyError(step)


def result_of(workflow: Workflow, run: Any, events: Sequence[Any], attempts: Sequence[Any]) -> WorkflowResult:
    """How this run stands, from a store's rows: all its events, and all its attempts."""
    since = [event for event in events if event.seq > run.base_seq]
    state = checkpoint_of(workflow, since, run.input, run_id=run.key or run.id, trace_id=run.correlation_id)
    executions = _executions(workflow, run, events, attempts, state)
    error, error_step = _error(run, state, executions)
    started = run.started_at or run.created_at
    return WorkflowResult(
        run_id=run.key or run.id,
        workflow_name=run.definition,
        status=RunStatus(run.status),
        context=state.context,
        checkpoint=state,
        step_executions=tuple(executions),
        completed_steps=state.completed_steps,
        error=error,
        error_step=error_step,
        duration_seconds=None if run.finished_at is None else (run.finished_at - started) / 1e6,
        started_at=maybe_moment(started),
        finished_at=maybe_moment(run.finished_at),
    )


def _error(run: Any, state: CheckpointState, executions: Sequence[StepExecution]) -> tuple[str | None, str | None]:
    """What stopped the run, in the words of the step that did, and that step."""
    told = failure(run.error)
    if told is None:
        return None, None
    stopped = state.next_step
    for one in reversed(executions):
        if one.step == stopped and one.error is not None:
            return one.error, stopped
    return told.message or told.type, stopped


def _executions(
    workflow: Workflow, run: Any, events: Sequence[Any], attempts: Sequence[Any], state: CheckpointState
) -> list[StepExecution]:
    """The steps of each generation of the run: one that began anew numbers its operations anew."""
    found: list[StepExecution] = []
    for part in _generations(events):
        last = part[-1] is events[-1]
        tried = [row for row in attempts if row.started_at >= part[0].at and (last or row.started_at <= part[-1].at)]
        told = {event.operation: place for place, event in enumerate(part) if event.operation is not None}
        steps = [_execution(workflow, record, state) for record in steps_of(run, list(part), tried)]
        steps += [_waited(event) for event in part if event.kind == h.TIMER_FIRED and event.name in workflow]
        kept = [one for one in steps if one is not None]
        found += sorted(kept, key=lambda one, told=told: told.get(one.operation, len(told)))  # type: ignore[misc]
    return found


def _generations(events: Sequence[Any]) -> list[Sequence[Any]]:
    cuts = [0, *(place for place, event in enumerate(events) if event.kind == h.CONTINUED and place), len(events)]
    return [events[start:end] for start, end in pairwise(cuts) if start < end]


def _execution(workflow: Workflow, record: StepRecord, state: CheckpointState) -> StepExecution | None:
    place = _OPERATION.fullmatch(record.operation)
    if place is None or place["step"] not in workflow:
        return None
    index = None if place["index"] is None else int(place["index"])
    made = execution_of(record, place["step"], index)
    if index is None and isinstance(workflow.step(place["step"]), MapStep):
        return replace(made, output=state.context.get_output(place["step"]))
    return made


def execution_of(record: StepRecord, step: str, index: int | None = None) -> StepExecution:
    """A record of a step, with what its result had to say."""
    failed = record.error
    told = failed.model_dump().get("details") if failed is not None else record.output
    try:
        result = StepResult.from_json(told) if told is not None else None
    except PayloadError:
        result = None
    return StepExecution(
        step=step,
        operation=record.operation,
        status=StepStatus(record.status),
        attempts=record.attempts,
        index=index,
        started_at=record.started_at,
        finished_at=record.finished_at,
        duration_seconds=record.duration_seconds,
        output=None if result is None else result.output,
        error=None if failed is None else failed.message or failed.type,
        error_category=None if failed is None else failed.code,
        quality=None if result is None else result.quality,
        next_step=None if result is None else result.next_step,
    )


def _waited(event: Any) -> StepExecution:
    return StepExecution(
        step=event.name,
        operation=event.operation,
        status=StepStatus.SUCCEEDED,
        started_at=maybe_moment(event.started_at or event.at),
        finished_at=maybe_moment(event.at),
        duration_seconds=None if event.started_at is None else (event.at - event.started_at) / 1e6,
    )
