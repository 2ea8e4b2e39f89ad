"""Definitions from files: a workflow or job of the contract, as what an App is given.

Its body is the whole file with all that it includes, as JSON: a run goes on with the body that it was started
with, though the file has changed since.  Its version is the hash of the content.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ripresa.author.graph.definition import Concurrency, GraphDefinition
from ripresa.author.graph.inputs import GraphInput
from ripresa.author.graph.plan import Graph
from ripresa.author.templates import Template, templates_in
from ripresa.author.yaml import rendering as r
from ripresa.author.yaml.entries import Find, Surroundings, node_of
from ripresa.contracts.durations import micros
from ripresa.contracts.params import problems_of
from ripresa.contracts.spec import Entry, JobSpec, Loaded, WorkflowSpec, load
from ripresa.contracts.status import StepStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ripresa.author.graph.plan import Values


class FileDefinition(GraphDefinition):
    """A workflow of a definition file.  `spec` is what the file says, `file` where it was.

    Raises GraphError, ValueError naming the entry, and what `function` raises for a function that is not there.
    """

    kind = "yaml"

    def __init__(
        self,
        loaded: Loaded[WorkflowSpec] | Loaded[JobSpec],
        *,
        function: Find,
        pipeline: Find,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        self.spec = spec = _as_workflow(loaded.spec)
        self.file = loaded.files[0]
        self.name = spec.name
        self.label = spec.version
        self.body = loaded.body
        self.version = loaded.version  # known already
        self.description = spec.description
        self.graph = _graph(spec, Surroundings(spec=spec, function=functools.cache(function), pipeline=pipeline))
        self.priority = spec.priority
        self.labels = tuple(sorted(set(spec.labels)))
        if spec.concurrency is not None:
            rule = spec.concurrency
            self.concurrency = Concurrency(r.text(rule.key, "concurrency.key"), rule.limit, rule.policy)
        if spec.idempotency_key is not None:
            self.idempotency_key = r.text(spec.idempotency_key, "idempotency_key")
        self.schedule = None if spec.schedule is None else spec.schedule.written()
        names = r.config_names(list(_templates(spec)))
        self.signature = GraphInput(
            spec.name,
            _closed(spec.input),
            check=lambda params: problems_of(spec.input, params),
            config={name: value for name, value in (config or {}).items() if name in names},
        )

    @property
    def runs(self) -> list[str]:
        """The names of the workflows that it runs."""
        entries = (*self.spec.jobs, *self.spec.finally_)
        return [entry.workflow.definition for entry in entries if entry.workflow is not None]

    def __repr__(self) -> str:
        return f"<workflow {self.name} of {self.file}>"


def rebuilt(body: str, *, function: Find, pipeline: Find, config: Mapping[str, Any] | None = None) -> FileDefinition:
    """The definition whose body a store has kept.  Raises SpecInvalid if this ripresa cannot read it any more."""
    loaded = load(body, "stored.json", templates=Template.parse)
    return FileDefinition(loaded, function=function, pipeline=pipeline, config=config)


def _as_workflow(spec: WorkflowSpec | JobSpec) -> WorkflowSpec:
    """A job that stands alone is a workflow of one job."""
    if isinstance(spec, WorkflowSpec):
        return spec
    return WorkflowSpec.model_construct(
        _fields_set={"name", "jobs"}, name=spec.name, description=spec.description, jobs=[_entry(spec)]
    )


def _entry(job: JobSpec) -> Entry:
    return Entry.model_construct(_fields_set={"job"}, job=job)


def _graph(spec: WorkflowSpec, around: Surroundings) -> Graph:
    jobs = enumerate(spec.jobs)
    last = enumerate(spec.finally_)
    places = {entry.name: f"workflow.jobs[{place}]" for place, entry in jobs}
    places |= {entry.name: f"workflow.finally[{place}]" for place, entry in last}
    return Graph(
        name=spec.name,
        nodes=tuple(node_of(entry, around) for entry in spec.jobs),
        finally_=tuple(node_of(entry, around) for entry in spec.finally_),
        on_failure=spec.on_failure,
        timeout_us=None if spec.timeout is None else micros(spec.timeout),
        output=None if spec.output is None else _at_the_end(r.expression(spec.output, "output")),
        places=places,
    )


def _at_the_end(output: Callable[[Values], Any]) -> Callable[[Values], Any]:
    """The workflow's output, in which a step that was skipped has null: a run may skip what it is made of."""

    def rendered(values: Values) -> Any:
        steps = {
            name: {"output": None, **step} if step["status"] == StepStatus.SKIPPED else step
            for name, step in values["steps"].items()
        }
        return output({**values, "steps": steps})

    return rendered


def _closed(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of the params; params that it does not list are refused, unless it allows for them."""
    if schema.get("properties") and "additionalProperties" not in schema:
        return {**schema, "additionalProperties": False}
    return dict(schema)


def _templates(spec: WorkflowSpec) -> Iterable[Template]:
    yield from templates_in(spec.written())
