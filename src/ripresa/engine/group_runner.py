"""`GroupRunner`: a pipeline group to its end, from a plain script."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ripresa.author.groups import ExecutionPlan, PipelineGroup, PlanResolver
from ripresa.author.pipelines import Dispatcher, PipelineResult, PipelineStatus
from ripresa.contracts.errors import RunError
from ripresa.contracts.record_base import maybe_moment
from ripresa.contracts.status import RunStatus, StepStatus
from ripresa.contracts.step_records import steps_of
from ripresa.engine.app import App
from ripresa.engine.workflow_result import StepExecution, execution_of
from ripresa.engine.workflow_runner import blocking, memory_store

if TYPE_CHECKING:
    from ripresa.engine.config import Config
    from ripresa.engine.handles import Run
    from ripresa.ports.clock import Clock
    from ripresa.ports.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupResult:
    """How a run of a group ended.

    `results` holds what each pipeline that ran did, by its step's name; `skipped_steps` those that did not start
    because of others.
    """

    run_id: str
    group_name: str
    status: RunStatus
    results: Mapping[str, PipelineResult] = field(default_factory=dict)
    step_executions: tuple[StepExecution, ...] = ()
    completed_steps: tuple[str, ...] = ()
    failed_steps: tuple[str, ...] = ()
    skipped_steps: tuple[str, ...] = ()
    error: str | None = None
    error_step: str | None = None
    duration_seconds: float | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def success(self) -> bool:
        """Whether the run succeeded."""
        return self.status == RunStatus.SUCCEEDED


class GroupRunner:
    """Runs groups, one call at a time.

    `store`: a URL, or a Store; left out, it is in memory and lasts as long as the runner.  `dispatcher` runs the
    pipelines, in place of the groups' own.  `clock`, `config`: as for `App`.
    """

    def __init__(
        self,
        store: str | Store | None = None,
        *,
        dispatcher: Dispatcher | None = None,
        clock: Clock | None = None,
        config: Config | dict[str, Any] | None = None,
    ) -> None:
        self._store: Any = memory_store() if store is None else store
        self._dispatcher = dispatcher
        self._clock = clock
        self._config = config

    def execute(
        self,
        group_or_plan: PipelineGroup | ExecutionPlan,
        params: Mapping[str, Any] | None = None,
        *,
        run_id: str | None = None,
    ) -> GroupResult:
        """Run it to its end, and say how it ended; a failure is a result, not raised.

        Raises TypeError for params beside a plan, which has its own; RunConflict for an id that exists with another
        input; and what `App.open` raises.
        """
        plan = _plan(group_or_plan, params)
        group = plan.group if self._dispatcher is None else plan.group.with_pipelines(self._dispatcher)

        async def work() -> GroupResult:
            async with App(self._store, [group], clock=self._clock, config=self._config) as app:
                text = group.encode((plan.params,), {})
                run = await app.start_text(app.opened(), group, text, id=run_id)
                with contextlib.suppress(RunError):  # the result tells
                    await run.result()
                return await group_result(app, run, group)

        return blocking(work())


def _plan(given: PipelineGroup | ExecutionPlan, params: Mapping[str, Any] | None) -> ExecutionPlan:
    if isinstance(given, ExecutionPlan):
        if params is not None:
            msg = "GroupRunner.execute(plan, params): the plan was resolved with its params; resolve it anew"
            raise TypeError(msg)
        return given
    if not isinstance(given, PipelineGroup):
        msg = f"GroupRunner.execute: {given!r} is neither a PipelineGroup nor its plan"
        raise TypeError(msg)
    return PlanResolver().resolve(given, params)


async def group_result(app: App, run: Run[Any], group: PipelineGroup) -> GroupResult:
    """How a run of a group stands."""
    store = app.opened().store
    row = await app.opened().verbs.find(run.uuid)
    records = steps_of(row, await store.history(row.id), await store.attempts(row.id))
    steps = [execution_of(record, record.operation) for record in records]
    place = {step.name: index for index, step in enumerate(group.steps)}
    steps.sort(key=lambda one: place.get(one.step, len(place)))
    failed = _with(steps, StepStatus.FAILED, StepStatus.QUARANTINED)
    started = row.started_at or row.created_at
    return GroupResult(
        run_id=row.key or row.id,
        group_name=row.definition,
        status=RunStatus(row.status),
        results={one.step: _result(one) for one in steps if one.status is not StepStatus.SKIPPED},
        step_executions=tuple(steps),
        completed_steps=_with(steps, StepStatus.SUCCEEDED),
        failed_steps=failed,
        skipped_steps=_with(steps, StepStatus.SKIPPED),
        error=next((one.error for one in steps if one.step in failed), None),
        error_step=failed[0] if failed else None,
        duration_seconds=None if row.finished_at is None else (row.finished_at - started) / 1e6,
        started_at=maybe_moment(started),
        finished_at=maybe_moment(row.finished_at),
    )


def _with(steps: Sequence[StepExecution], *status: StepStatus) -> tuple[str, ...]:
    return tuple(one.step for one in steps if one.status in status)


def _result(one: StepExecution) -> PipelineResult:
    done = one.status is StepStatus.SUCCEEDED
    metrics = one.output if isinstance(one.output, Mapping) else {}
    status = PipelineStatus.COMPLETED if done else PipelineStatus.FAILED
    return PipelineResult(
        status=status, error=one.error, metrics=metrics, error_category=one.error_category or "internal"
    )
