"""`Workflow`: a definition made of steps; what an App is given and runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from functools import cached_property
from types import FunctionType
from typing import Any

from ripresa.author.pipelines import Dispatcher
from ripresa.author.signature import Signature
from ripresa.author.steps.calling import kernel_step
from ripresa.author.steps.context import WorkflowContext
from ripresa.author.steps.expressions import parsed
from ripresa.author.steps.kinds import (
    END,
    AnyStep,
    ChoiceStep,
    MapStep,
    PipelineStep,
    StepBase,
    WaitStep,
    require_name,
    source_of,
)
from ripresa.author.steps.trend import READ_TREND
from ripresa.author.templates import VARIABLES
from ripresa.author.workflow import WorkflowDefinition
from ripresa.contracts.errors import NotInWorkflow, Terminal
from ripresa.contracts.payload import dump, load

MAX_STEPS = 10_000
"""How many steps a run takes, if its workflow does not say: more is taken for a loop that does not end."""


class Workflow(WorkflowDefinition[[Mapping[str, Any] | WorkflowContext | None], WorkflowContext]):
    """Steps in order, and a context that is passed from one to the next.

    `name` is its name in the store; `version` a label.  `steps` run in the order of the list unless one says which
    comes next.  `conditions` are functions of the context that choices name.  `pipelines` runs the pipelines that
    steps name: a `PipelineRegistry` or another dispatcher; left out, that of `@register_pipeline`.
    `max_steps` bounds a run: one that takes more steps fails.
    Start it with `App.start(workflow, params)`, or `WorkflowRunner().execute(workflow, params)`.
    Raises ValueError for steps that do not fit together, TypeError for what is no step.
    """

    kind = "steps"

    def __init__(
        self,
        name: str,
        steps: Sequence[AnyStep],
        *,
        version: str | None = None,
        description: str = "",
        conditions: Mapping[str, Callable[[WorkflowContext], object]] | None = None,
        pipelines: Dispatcher | None = None,
        max_steps: int = MAX_STEPS,
    ) -> None:
        require_name(name, "Workflow.name")
        self.name = name
        self.label = version
        self.description = description
        self.steps: tuple[AnyStep, ...] = tuple(steps)
        self.conditions = dict(conditions or {})
        self.pipelines = pipelines
        self.max_steps = max_steps
        self.function = _start_of(name)
        self.signature = _StepsSignature(self.function, name)
        self.__doc__ = description or type(self).__doc__
        self._by_name = self._named()
        self._check_targets()
        self._kernel_steps: dict[str, Any] = {}
        if max_steps < 1:
            msg = f"Workflow {name}: max_steps={max_steps} would never start; use 1 or more"
            raise ValueError(msg)

    # --- its steps -----------------------------------------------------------------------------

    def _named(self) -> dict[str, tuple[int, AnyStep]]:
        found: dict[str, tuple[int, AnyStep]] = {}
        for place, step in enumerate(self.steps):
            if not isinstance(step, StepBase):
                msg = f"Workflow {self.name}: steps[{place}]: {step!r} is no step; make one with Step.lambda_(…)"
                raise TypeError(msg)
            if step.name in found:
                msg = f"Workflow {self.name}: steps[{place}]: two steps are called {step.name!r}; rename one"
                raise ValueError(msg)
            if isinstance(step, PipelineStep) and step.depends_on:
                msg = (
                    f"Workflow {self.name}: step {step.name}: depends_on is for a PipelineGroup;"
                    " the steps of a Workflow run in their order"
                )
                raise ValueError(msg)
            found[step.name] = (place, step)
        if not found:
            msg = f"Workflow {self.name}: it has no steps"
            raise ValueError(msg)
        return found

    def _check_targets(self) -> None:
        for step in self.steps:
            expression = expression_of(step, self.conditions)
            if expression is not None:
                self._check_expression(expression, f"Workflow {self.name}: step {step.name}")
            for target in step.targets:
                if target != END and target not in self._by_name:
                    raise ValueError(self._no_step(target, f"Workflow {self.name}: step {step.name}"))

    def _check_expression(self, expression: str, where: str) -> None:
        if expression.isidentifier() and expression not in VARIABLES:
            near = get_close_matches(expression, self.conditions, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(self.conditions) or 'none'}"
            msg = f"{where}: there is no condition {expression!r} in Workflow(conditions=…); {hint}"
            raise ValueError(msg)
        parsed(expression, where)

    def _no_step(self, name: str, where: str) -> str:
        near = get_close_matches(name, self._by_name, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(self._by_name)}"
        return f"{where}: there is no step {name!r}; {hint}"

    def require_target(self, name: str, where: str) -> None:
        """Raise Terminal unless a step of this name may follow."""
        if name != END and name not in self._by_name:
            raise Terminal(self._no_step(name, where))

    def step(self, name: str) -> AnyStep:
        """The step of this name.  Raises KeyError."""
        return self._by_name[name][1]

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    @property
    def first(self) -> str:
        """The name of the step that a run begins with."""
        return self.steps[0].name

    def after(self, name: str, chosen: str | None) -> str | None:
        """The step that follows `name`: the one chosen, else as the step says, else the next; None: the end."""
        place, step = self._by_name[name]
        target = chosen or step.next_step
        if target == END:
            return None
        if target is not None:
            return target
        return self.steps[place + 1].name if place + 1 < len(self.steps) else None

    def kernel_step(self, step: AnyStep) -> Any:
        """What the kernel runs for this step; of a map: what lists its items."""
        made = self._kernel_steps.get(step.name)
        if made is None:
            made = self._kernel_steps[step.name] = kernel_step(self, step)
        return made

    def item_step(self, step: MapStep) -> Any:
        """What the kernel runs for each item of a map."""
        key = f"{step.name}[]"
        made = self._kernel_steps.get(key)
        if made is None:
            made = self._kernel_steps[key] = kernel_step(self, step.inner)
        return made

    @property
    def kernel_steps(self) -> list[Any]:
        """All that the kernel may run for this workflow."""
        named = [self.kernel_step(step) for step in self.steps if not isinstance(step, WaitStep)]
        return [*named, *(self.item_step(step) for step in self.steps if isinstance(step, MapStep)), READ_TREND]

    # --- the definition ------------------------------------------------------------------------

    @cached_property
    def body(self) -> str:
        """The steps as JSON, with the source of their functions, as recorded with the definition."""
        told = {
            "workflow": self.name,
            "version": self.label,
            "description": self.description,
            "max_steps": self.max_steps,
            "conditions": {name: source_of(condition) for name, condition in self.conditions.items()},
            "steps": [step.describe() for step in self.steps],
        }
        return json.dumps(told, indent=2, default=str)

    @cached_property
    def version(self) -> str:
        """Content hash of the body."""
        return hashlib.blake2b(self.body.encode("utf-8", "replace"), digest_size=8).hexdigest()

    def call(self, text: str) -> Any:
        """The durable program on an input's JSON text."""
        from ripresa.author.steps.program import run_steps  # noqa: PLC0415 - the program needs us

        return run_steps(self, load(text))

    def encode(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """The input as checked JSON text: `params` (a mapping or a `WorkflowContext`), the context's fields by name.

        Raises PayloadError, TypeError.
        """
        if len(args) > 1:
            msg = f"{self.name}(): one positional argument, params, and {len(args)} were given"
            raise TypeError(msg)
        given = args[0] if args else kwargs.pop("params", None)
        if not isinstance(given, WorkflowContext):
            if given is not None and not isinstance(given, Mapping):
                msg = f"{self.name}(params): {given!r:.80} is no mapping of names to values, nor a WorkflowContext"
                raise TypeError(msg)
            checkpoint = kwargs.pop("checkpoint", None)
            given = WorkflowContext.new(given, **kwargs)
            return input_text(given, checkpoint)
        return input_text(given, kwargs.pop("checkpoint", None))

    def dump(self, value: Any) -> str:
        """The final context as JSON text."""
        return dump(value.to_json(), where=f"context of workflow {self.name}")

    def decode(self, text: str) -> WorkflowContext:
        """The final context from its JSON text."""
        return WorkflowContext.from_json(load(text) or {})

    def __call__(self, params: Mapping[str, Any] | WorkflowContext | None = None) -> WorkflowContext:
        msg = f"{self.name}: start a Workflow with App.start({self.name}, params) or WorkflowRunner().execute(…)"
        raise NotInWorkflow(msg)

    def __repr__(self) -> str:
        return f"<workflow {self.name}: {', '.join(step.name for step in self.steps)}>"


def expression_of(step: AnyStep, conditions: Mapping[str, Any]) -> str | None:
    """The expression over the context that the step is written with, if it is."""
    if isinstance(step, ChoiceStep):
        return step.condition if isinstance(step.condition, str) and step.condition not in conditions else None
    if isinstance(step, MapStep):
        return step.items if isinstance(step.items, str) else None
    return None


def input_text(context: WorkflowContext, checkpoint: Any = None) -> str:
    """A run's input: what it was started with, and the checkpoint that it goes on from."""
    told = {name: value for name, value in context.to_json().items() if name in _INPUT}
    if checkpoint is not None:
        told["checkpoint"] = checkpoint if isinstance(checkpoint, Mapping) else checkpoint.to_json()
    return dump(told, where="input")


def _start(
    *,
    batch_id: str | None = None,
    trace_id: str | None = None,
    partition: dict[str, Any] | None = None,
    as_of_date: str | None = None,
    capture_id: str | None = None,
    checkpoint: dict[str, Any] | None = None,
    **params: Any,
) -> None:
    """The signature of every `Workflow`: parameters by name, and the fields of the context."""


def _start_of(name: str) -> Any:
    """`_start` under the workflow's own name, as those see it who look for a definition's function."""
    made = FunctionType(_start.__code__, _start.__globals__, name)
    made.__kwdefaults__ = _start.__kwdefaults__
    made.__annotations__ = _start.__annotations__
    made.__doc__ = _start.__doc__
    return made


_INPUT = frozenset({"params", "batch_id", "trace_id", "partition", "as_of_date", "capture_id"})


class _StepsSignature(Signature):
    """Reads what the command line gives: the same, without what was left out."""

    def check_input(self, text: str) -> str:
        told = load(super().check_input(text))
        context = WorkflowContext.from_json({name: value for name, value in told.items() if name in _INPUT})
        return input_text(context, told.get("checkpoint"))
