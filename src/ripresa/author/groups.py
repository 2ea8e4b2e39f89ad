"""Pipeline groups: pipelines and what each waits for.

    group = PipelineGroup("finra_weekly", [
        PipelineStep("fetch", "finra.fetch"),
        PipelineStep("load", "finra.load_week", depends_on=["fetch"]),
        PipelineStep("report", Report, depends_on=["load"], params={"top": 10}),
    ])

A group is a graph: it is compiled to the plan that a YAML file or a `DAG` is compiled to, and that is what runs.
It may be given to `App(workflows=[…])`, or to `GroupRunner().execute(group, params)`.
"""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ripresa.author.graph.definition import GraphDefinition
from ripresa.author.graph.inputs import GraphInput
from ripresa.author.graph.plan import Dependency, Graph, Node, OnFailure
from ripresa.author.graph.works import Call, Result
from ripresa.author.pipelines import Dispatcher, call_pipeline
from ripresa.author.step import SyncStep
from ripresa.author.steps.calling import gated, measured, told
from ripresa.author.steps.frozen import FrozenDict, freeze
from ripresa.author.steps.kinds import PipelineStep, require_name, source_of
from ripresa.author.steps.policy import ErrorPolicy
from ripresa.author.steps.result import StepResult
from ripresa.contracts.errors import GraphError

if TYPE_CHECKING:
    from ripresa.author.graph.plan import Values


class PipelineGroup(GraphDefinition):
    """Pipelines by name, each with those it depends on; what depends on nothing starts at once, side by side.

    `params` are defaults of the run's params, which every pipeline gets, with its step's own over them.  `version` is
    a label.  `on_failure`: "stop" (what depends on a failed step does not start), "abort" or "continue".  `pipelines`
    runs them: a `PipelineRegistry` or another dispatcher; left out, that of `@register_pipeline`.
    Raises GraphError with all that is wrong – a name twice, a dependency that is not there, a circle.
    """

    kind = "group"

    def __init__(
        self,
        name: str,
        steps: Sequence[PipelineStep],
        *,
        params: Mapping[str, Any] | None = None,
        version: str | None = None,
        description: str = "",
        on_failure: OnFailure = "stop",
        pipelines: Dispatcher | None = None,
    ) -> None:
        require_name(name, "PipelineGroup.name")
        self.name = name
        self.label = version
        self.description = description
        self.steps = tuple(steps)
        self.params: FrozenDict[str, Any] = freeze(dict(params or {}), f"PipelineGroup {name}: params")
        self.pipelines = pipelines
        self._on_failure: OnFailure = on_failure
        self.graph = self._compiled()
        properties = {key: {"default": value} for key, value in self.params.items()}
        self.signature = GraphInput(name, {"properties": properties, "additionalProperties": True})

    def _compiled(self) -> Graph:
        names: dict[str, int] = {}
        for place, step in enumerate(self.steps):
            if not isinstance(step, PipelineStep):
                msg = f"PipelineGroup {self.name}: steps[{place}]: {step!r} is not a PipelineStep"
                raise TypeError(msg)
            if step.name in names:
                raise GraphError(self.name, [f"steps[{place}]: two steps are called {step.name!r}; rename one"])
            names[step.name] = place
        places = {name: f"{self.name}.steps[{place}]" for name, place in names.items()}
        nodes = tuple(_node(step, self.pipelines) for step in self.steps)
        return Graph(name=self.name, nodes=nodes, on_failure=self._on_failure, places=places)

    @functools.cached_property
    def body(self) -> str:  # type: ignore[override]  # worked out at first use
        """The steps as JSON, with the source of their classes, as recorded with the definition."""
        sources = {
            step.pipeline_name: source_of(step.pipeline) for step in self.steps if isinstance(step.pipeline, type)
        }
        told_of = {"group": self.name, "description": self.description, "on_failure": self._on_failure}
        steps = [step.describe() for step in self.steps]
        return json.dumps({**told_of, "params": self.params, "steps": steps, "sources": sources}, indent=1)

    def with_pipelines(self, pipelines: Dispatcher) -> PipelineGroup:
        """The same group, its pipelines run by this dispatcher."""
        made = copy.copy(self)
        made.pipelines = pipelines
        made.graph = made._compiled()  # noqa: SLF001 - of its own class
        return made

    def __repr__(self) -> str:
        return f"<group {self.name}: {', '.join(step.name for step in self.steps)}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedPipeline:
    """A pipeline of a plan: its step's name, the parameters that it will get, and what it waits for."""

    name: str
    pipeline: str
    params: Mapping[str, Any]
    depends_on: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionPlan:
    """What `GroupRunner` will do: batches in order, each of pipelines that may run side by side."""

    group: PipelineGroup
    params: Mapping[str, Any]
    batches: tuple[tuple[PlannedPipeline, ...], ...]

    @property
    def order(self) -> tuple[str, ...]:
        """The names of the steps in an order in which they could run one by one."""
        return tuple(one.name for batch in self.batches for one in batch)


class PlanResolver:
    """Says what a group will do."""

    def resolve(self, group: PipelineGroup, params: Mapping[str, Any] | None = None) -> ExecutionPlan:
        """The plan of this group with these params.  Raises PayloadError for params that JSON cannot hold."""
        given = freeze({**group.params, **(params or {})}, f"params of {group.name}")
        steps = {step.name: step for step in group.steps}
        batches = tuple(tuple(_planned(steps[name], given) for name in layer) for layer in group.graph.main.layers)
        return ExecutionPlan(group=group, params=given, batches=batches)


def _planned(step: PipelineStep, params: Mapping[str, Any]) -> PlannedPipeline:
    return PlannedPipeline(
        name=step.name,
        pipeline=step.pipeline_name,
        params=FrozenDict({**params, **step.params}),
        depends_on=tuple(step.depends_on),
    )


# --- compiling ---------------------------------------------------------------------------------


def _node(step: PipelineStep, dispatcher: Dispatcher | None) -> Node:
    return Node(
        name=step.name,
        work=Call.of(step.name, pipeline_call(step, dispatcher), _arguments, kind="pipeline", read=read_pipeline),
        depends_on=tuple(Dependency(name) for name in step.depends_on),
        on_error="continue" if step.on_error is ErrorPolicy.CONTINUE else "stop",
    )


def pipeline_call(step: PipelineStep, dispatcher: Dispatcher | None) -> Any:
    """What the kernel runs for a pipeline in a graph: its argument is the params, its output a `StepResult` as JSON."""

    def call(params: Any) -> Any:
        return told(gated(step, call_pipeline(step, params, dispatcher)))

    made: Any = SyncStep(call, names=None, name=step.name, retry=step.attempts, timeout=step.timeout)
    made.measured = measured
    return made


def _arguments(values: Values) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return (dict(values["params"]),), {}


def read_pipeline(value: Any) -> Result:
    """What the output of `pipeline_call` means."""
    result = StepResult.from_json(value)
    return Result(result.output, updates=dict(result.context_updates) or None)
