"""Dry run: what a workflow would do, as far as that is known before it does anything.

Nothing of the author's is called and nothing is written.  The steps are followed from the first; at a
choice, one way if its expression reads only what is known (parameters), else both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ripresa.author.steps.expressions import parsed, variables
from ripresa.author.steps.kinds import (
    AnyStep,
    ChoiceStep,
    LambdaStep,
    MapStep,
    PipelineStep,
    WaitStep,
)
from ripresa.contracts.errors import TemplateError

if TYPE_CHECKING:
    from ripresa.author.steps.fold import Progress
    from ripresa.author.steps.workflow import Workflow


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStep:
    """A step that would run.

    `certain` is False if it depends on what is not known yet (a choice before it; a function's `next_step` is never
    known).  `condition` is the value of a choice, if it is known.  `items` is how many items a map has, if it is known.
    `note` says the rest in words.
    """

    name: str
    kind: str
    certain: bool
    note: str
    condition: bool | None = None
    items: int | None = None


def plan_of(workflow: Workflow, progress: Progress) -> tuple[PlannedStep, ...]:
    """What would happen from here on, in the order in which it would begin; each step once."""
    found: dict[str, PlannedStep] = {}
    ways: list[tuple[str | None, bool]] = [(progress.next_step, True)]
    while ways:
        name, certain = ways.pop(0)
        if name is None or name in found:
            continue
        step = workflow.step(name)
        planned = _planned(workflow, progress, step, certain=certain)
        found[name] = planned
        if isinstance(step, ChoiceStep):
            ways = _after_choice(workflow, step, planned) + ways
        else:
            ways.insert(0, (workflow.after(name, None), certain))
    return tuple(found.values())


def _after_choice(workflow: Workflow, step: ChoiceStep, planned: PlannedStep) -> list[tuple[str | None, bool]]:
    then = workflow.after(step.name, step.then_step)
    other = workflow.after(step.name, step.else_step)
    if planned.condition is None:
        return [(then, planned.certain and then == other), (other, False)]
    return [(then if planned.condition else other, planned.certain)]


def _planned(workflow: Workflow, progress: Progress, step: AnyStep, *, certain: bool) -> PlannedStep:
    condition: bool | None = None
    items: int | None = None
    note = ""
    match step:
        case LambdaStep():
            note = f"calls {getattr(step.handler, '__qualname__', type(step.handler).__name__)}"
        case PipelineStep():
            note = f"runs pipeline {step.pipeline_name}"
        case WaitStep():
            note = f"waits {step.duration}" if step.until is None else f"waits until {step.until}"
        case ChoiceStep():
            condition, note = _condition(workflow, progress, step)
        case MapStep():
            items, note = _items(progress, step)
    attempts = getattr(step, "attempts", None)
    if attempts is not None:
        note += f", up to {attempts.max_attempts} attempts"
    return PlannedStep(name=step.name, kind=step.kind, certain=certain, note=note, condition=condition, items=items)


def _condition(workflow: Workflow, progress: Progress, step: ChoiceStep) -> tuple[bool | None, str]:
    ways = f"{step.then_step or 'the next step'}, else {step.else_step or 'the next step'}"
    if not isinstance(step.condition, str) or step.condition in workflow.conditions:
        return None, f"asks a function: {ways}"
    try:
        value = parsed(step.condition, step.name).holds(variables(progress.seen))
    except TemplateError:
        return None, f"asks {step.condition}: {ways}"
    return value, f"asks {step.condition}, which is {str(value).lower()}: {ways}"


def _items(progress: Progress, step: MapStep) -> tuple[int | None, str]:
    width = "all at once" if step.max_parallel is None else f"{step.max_parallel} at a time"
    found: Any = None
    if isinstance(step.items, str):
        try:
            found = parsed(step.items, step.name).render(variables(progress.seen))
        except TemplateError:
            found = None
    elif not callable(step.items):
        found = step.items
    count = len(found) if isinstance(found, list | tuple) else None
    told = f"{count} items" if count is not None else "items that are not known yet"
    return count, f"runs {step.inner.name} for {told}, {width}"
