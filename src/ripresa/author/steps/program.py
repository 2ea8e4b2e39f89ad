"""The program: takes the steps of a `Workflow` one after another, as operations of the kernel.

    progress.next_step ─> schedule | timer | fan-out ─> outcome on disk ─> progress.done ─┐
             ^                                                                            │
             └────────────────────────────────────────────────────────────────────────────┘

All it knows is in `Progress`, and all that changes it are recorded outcomes; so it may be thrown away at
every await and made anew from the journal.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ripresa.author.code import until_us
from ripresa.author.fan_out import FanOut
from ripresa.author.running import running
from ripresa.author.steps.fold import Progress, failed_result
from ripresa.author.steps.kinds import AnyStep, MapStep, WaitStep, WorkStep
from ripresa.author.steps.policy import ErrorPolicy
from ripresa.author.steps.result import StepResult
from ripresa.author.steps.trend import publish_trend
from ripresa.contracts.durations import micros
from ripresa.contracts.errors import StepFailed
from ripresa.contracts.payload import dump
from ripresa.kernel.operations import ContinueRequested

if TYPE_CHECKING:
    from ripresa.author.steps.context import WorkflowContext
    from ripresa.author.steps.workflow import Workflow
    from ripresa.kernel.live import LiveRun
    from ripresa.kernel.operations import Operation

ANEW_AFTER = 2_000
"""Steps after which a run begins anew from its own checkpoint, so that no journal is too long to replay."""


async def run_steps(workflow: Workflow, given: Mapping[str, Any]) -> WorkflowContext:
    """Take the steps to the end; return the final context.  Raises StepFailed, Terminal."""
    run = running(workflow.name)
    progress = Progress(workflow, given, run_id=run.name, trace_id=run.correlation_id)
    before = len(progress.completed)
    while progress.next_step is not None:
        progress.require_bound()
        if len(progress.completed) - before >= ANEW_AFTER:
            raise ContinueRequested(dump({"checkpoint": progress.checkpoint().to_json()}))
        await _take(run, workflow, workflow.step(progress.next_step), progress)
    return progress.seen


async def _take(run: LiveRun, workflow: Workflow, step: AnyStep, progress: Progress) -> None:
    if isinstance(step, WaitStep):
        await _wait(run, step)
        progress.done(step, StepResult.ok())
    elif isinstance(step, MapStep):
        await _map(run, workflow, step, progress)
    else:
        operation = run.schedule(workflow.kernel_step(step), (progress.context,), {})
        result = await _outcome(operation, step)
        await _tell(run, workflow, step, operation.id, result)
        progress.done(step, result)


async def _outcome(operation: Operation, step: AnyStep) -> StepResult:
    """What the step has to say.  Raises StepFailed if that ends the workflow."""
    try:
        return StepResult.from_json(await operation)
    except StepFailed as error:
        if step.on_error is not ErrorPolicy.CONTINUE:
            raise
        return failed_result(error.cause)


async def _wait(run: LiveRun, step: WaitStep) -> None:
    delay = until_us(run, step.until) if step.duration is None else micros(step.duration)
    future, handle = run.timer(max(1, delay), step.name)  # even one that is over is in the journal
    try:
        await future
    finally:
        handle.cancel()


async def _tell(run: LiveRun, workflow: Workflow, step: AnyStep, operation: str, result: StepResult) -> None:
    """Publish what the step wants known, and whether its data has become worse."""
    asked = [run.publish(event["type"], dump(event.get("data"))) for event in result.events]
    for one in asked:
        await one
    if isinstance(step, WorkStep) and result.success and result.quality is not None:
        await publish_trend(run, workflow.name, step, operation, result.quality)


# --- maps --------------------------------------------------------------------------------------


async def _map(run: LiveRun, workflow: Workflow, step: MapStep, progress: Progress) -> None:
    if progress.items is None:
        operation = run.schedule(workflow.kernel_step(step), (progress.context,), {})
        scope = operation.id
        result = await _outcome(operation, step)
        progress.done(step, result)
    else:
        scope = run.scope_of(step.name)
        progress.settle(step)
    if progress.items is None:
        return
    await _Items(run, workflow, step, progress, scope).run()


class _Items:
    """The items of a map that are still to be done."""

    def __init__(self, run: LiveRun, workflow: Workflow, step: MapStep, progress: Progress, scope: str) -> None:
        self._run = run
        self._workflow = workflow
        self._step = step
        self._progress = progress
        self._scope = scope
        self._inner = workflow.item_step(step)
        self._left = [index for index in range(len(progress.items or ())) if index not in progress.results]

    async def run(self) -> None:
        step = self._step
        fan_out = FanOut(
            self._run,
            len(self._left),
            self._start,
            max_parallel=step.max_parallel,
            min_success=0 if step.on_error is ErrorPolicy.CONTINUE else None,
        )
        told = await fan_out.run()
        for place, (index, value) in enumerate(zip(self._left, told, strict=True)):
            result = failed_result(value) if place in fan_out.failed else StepResult.from_json(value)
            await _tell(self._run, self._workflow, step, self._scope, result)
            self._progress.item_done(step, index, result)

    def _start(self, place: int) -> Operation:
        index = self._left[place]
        context = self._progress.item_context(index)
        return self._run.schedule(self._inner, (context,), {}, scope=f"{self._scope}[{index}]/")
