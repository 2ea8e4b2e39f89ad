"""Calling: one attempt of a step – the context in, its function called, the gates judged, the result out.

What runs here runs in an attempt: in its thread or the engine's loop, as often as its policy says.  Each
kind of step becomes a step of the kernel whose one argument is the context, and whose fingerprint in the
journal is the context's: an attempt after a crash is given the same, or the run stops.  The context itself
is handed over as it is, since nobody can change it.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ripresa.author.step import AsyncStep, SyncStep
from ripresa.author.steps.context import WorkflowContext
from ripresa.author.steps.expressions import holds, value_of
from ripresa.author.steps.frozen import FrozenDict, freeze, thaw
from ripresa.author.steps.kinds import (
    ChoiceStep,
    LambdaStep,
    MapStep,
    PipelineStep,
    StepBase,
    WorkStep,
)
from ripresa.author.steps.policy import retry_of
from ripresa.author.steps.result import ErrorCategory, StepResult, failure_with, result_of
from ripresa.contracts.errors import Terminal
from ripresa.contracts.payload import dump, load
from ripresa.contracts.quality import QualityBreach
from ripresa.contracts.status import FailureClass
from ripresa.contracts.step_context import step_context

if TYPE_CHECKING:
    from ripresa.author.steps.workflow import Workflow
    from ripresa.contracts.failure import Failure

logger = logging.getLogger("ripresa.steps")

BREACHED = "quality_breached"
"""Type of the event that says that a step's data did not keep its limits, and that the step went on."""


def kernel_step(workflow: Workflow, step: StepBase) -> Any:
    """The step of the kernel that does what `step` says."""
    if isinstance(step, LambdaStep):
        return _made(step, step.handler, _work(workflow, step))
    if isinstance(step, PipelineStep):
        from ripresa.author.pipelines import call_pipeline  # noqa: PLC0415 - only where there are pipelines

        def call(context: WorkflowContext) -> Any:
            return call_pipeline(step, context.params, workflow.pipelines)

        return _made(step, call, _work(workflow, step))
    if isinstance(step, ChoiceStep):
        condition = step.condition
        if isinstance(condition, str):
            condition = workflow.conditions.get(condition, condition)
        return _made(step, condition, lambda truth: _chosen(step, truth))
    assert isinstance(step, MapStep)  # noqa: S101 - a wait is no step of the kernel
    return _made(step, step.items, lambda items: _listed(step, items))


def _made(step: StepBase, source: Any, finish: Callable[[Any], StepResult]) -> Any:
    """A step that gets a value from `source`, given the context, and makes a result of it."""
    get = _getter(step, source)
    made: Any
    if is_async(source):

        async def call_async(context: Any) -> Any:
            return told(finish(await get(seen(context))))

        made = AsyncStep(call_async, names=None, name=step.name, **_options(step))
    elif callable(source):

        def call(context: Any) -> Any:
            return told(finish(get(seen(context))))

        made = SyncStep(call, names=None, name=step.name, **_options(step))
    else:  # nothing of anybody's is called

        async def look(context: Any) -> Any:
            return told(finish(get(seen(context))))

        made = AsyncStep(look, names=None, name=step.name, **_options(step))
    made.measured = measured if isinstance(step, WorkStep) else None
    made.encode = _encoded
    return made


def _encoded(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    """What the journal's fingerprint is made of, and the arguments to call with."""
    return args[0].fingerprint_text(), args, kwargs


def seen(context: WorkflowContext) -> WorkflowContext:
    """The context as the step's function sees it, with the ids of its run."""
    attempt = step_context()
    if attempt is None:
        return context
    return context.of_run(attempt.run_id, attempt.correlation_id, attempt.workflow)


def _options(step: StepBase) -> dict[str, Any]:
    if isinstance(step, WorkStep):
        return {"retry": step.attempts, "timeout": step.timeout}
    return {"retry": retry_of(None, step.on_error)}


def _getter(step: StepBase, source: Any) -> Callable[[WorkflowContext], Any]:
    """What to call with the context."""
    if isinstance(source, str):
        read = holds if isinstance(step, ChoiceStep) else value_of
        return lambda context: read(source, context, f"step {step.name}")
    if not callable(source):
        return lambda _: source
    if isinstance(step, LambdaStep) and takes_config(source):
        return lambda context: source(context, step.config)
    return source  # type: ignore[no-any-return]  # a function of the context


def is_async(function: Any) -> bool:
    """Whether calling it gives something to await."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004 - its kind is asked, not whether it is there


def takes_config(function: Any) -> bool:
    """Whether it takes the step's config beside the context: a second parameter, called `config` or with no default."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return True
    second = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)][1:2]
    return any(p.name == "config" or p.default is p.empty for p in second)


def told(result: StepResult) -> dict[str, Any]:
    """The result as it is recorded.  Raises StepResultFailed for a failure."""
    result.raise_if_failed()
    return result.to_json()


# --- what becomes of a value -------------------------------------------------------------------


def _work(workflow: Workflow, step: WorkStep) -> Callable[[Any], StepResult]:
    def finish(returned: Any) -> StepResult:
        result = result_of(returned)
        if result.next_step is not None:
            workflow.require_target(result.next_step, f"step {step.name}: StepResult.next_step")
        return gated(step, result) if result.success else result

    return finish


def gated(step: WorkStep, result: StepResult) -> StepResult:
    """The result after the step's limits: itself; with an event that says what is wrong; or a failure."""
    gate = step.quality_thresholds
    breaches = () if gate is None else gate.judge(result.quality)
    if gate is None or not breaches:
        return result
    said = "; ".join(str(breach) for breach in breaches)
    if gate.on_breach == "warn":
        logger.warning("step %s: %s", step.name, said)
        return replace(result, events=(*result.events, _breached(step, breaches, result)))
    quarantine = gate.on_breach == "quarantine"
    category = ErrorCategory.QUARANTINE if quarantine else ErrorCategory.DATA_QUALITY
    failed = replace(result, success=False, error=f"quality: {said}", error_category=category.value, next_step=None)
    raise failure_with(failed, FailureClass.QUARANTINE if quarantine else FailureClass.TERMINAL, "quality")


def _breached(step: WorkStep, breaches: tuple[QualityBreach, ...], result: StepResult) -> FrozenDict[str, Any]:
    data = {
        "step": step.name,
        "breaches": [breach.to_json() for breach in breaches],
        "quality": None if result.quality is None else result.quality.to_json(),
    }
    event: FrozenDict[str, Any] = freeze({"type": BREACHED, "data": data}, "event")
    return event


def _chosen(step: ChoiceStep, truth: Any) -> StepResult:
    return StepResult.ok(bool(truth), next_step=step.then_step if truth else step.else_step)


def _listed(step: MapStep, items: Any) -> StepResult:
    if isinstance(items, str | bytes | dict) or not hasattr(items, "__iter__"):
        msg = f"step {step.name}: items: {items!r:.80} is no list"
        raise Terminal(msg)
    return StepResult.ok(thaw(list(items)))


# --- what the engine keeps beside the journal --------------------------------------------------


def measured(output: str | None, failure: Failure | None) -> str | None:
    """The quality that a step's outcome tells of, as JSON text; None: it was not measured."""
    said = load(output) if output is not None else None if failure is None else failure.details
    quality = said.get("quality") if isinstance(said, dict) else None
    return None if quality is None else dump(quality)
