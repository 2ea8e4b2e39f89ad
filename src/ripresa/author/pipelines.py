"""Pipelines: work that is known by a name, and that steps and groups run.

    @register_pipeline("finra.load_week")
    class LoadWeek(Pipeline):
        def run(self) -> PipelineResult:
            rows = load(self.params["tier"])
            return PipelineResult(metrics={"record_count": rows})

A `PipelineRegistry` is a value: a workflow or a group is given one, or any other `Dispatcher`.  The decorator
writes into one that belongs to this module, since that is what it is for: a name in one file, its use in
another.  Importing ripresa registers nothing.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

from ripresa.author.steps.frozen import NOTHING, freeze
from ripresa.author.steps.result import ErrorCategory, StepResult
from ripresa.contracts.errors import PayloadError, Terminal
from ripresa.contracts.quality import NUMBERS, QualityMetrics

if TYPE_CHECKING:
    from ripresa.author.steps.kinds import PipelineStep

C = TypeVar("C", bound="type[Pipeline]")


class PipelineStatus(StrEnum):
    """How a pipeline ended."""

    COMPLETED = "completed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineResult:
    """What a pipeline did.  `metrics` is JSON; numbers of known names (`record_count`, …) are its data's quality.

    `error_category` says, for one that failed, whether another attempt can help: see `ErrorCategory`.
    Raises PayloadError for metrics that JSON cannot hold.
    """

    status: PipelineStatus = PipelineStatus.COMPLETED
    error: str | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    error_category: str = ErrorCategory.INTERNAL

    def __post_init__(self) -> None:
        object.__setattr__(self, "status", PipelineStatus(self.status))
        object.__setattr__(self, "metrics", freeze(dict(self.metrics), "PipelineResult.metrics"))


class Pipeline:
    """Work that is known by a name: subclass it, and return a `PipelineResult` from `run`.

    `self.params` holds the parameters, and cannot be changed.
    """

    name: ClassVar[str] = ""
    """The name that it is registered under."""

    def __init__(self, params: Mapping[str, Any] | None = None) -> None:
        self.params: Mapping[str, Any] = freeze(dict(params or {}), f"params of {type(self).__name__}")

    def run(self) -> PipelineResult:
        """Do the work; called in a thread."""
        msg = f"{type(self).__name__} has no run(): write one that returns a PipelineResult"
        raise NotImplementedError(msg)


class Dispatcher(Protocol):
    """What runs a pipeline by its name: a `PipelineRegistry`, or a client of a service that does."""

    def dispatch(self, pipeline: str, params: Mapping[str, Any]) -> PipelineResult:
        """Run it to its end.  Raises Terminal for a name that is not known."""


class PipelineRegistry:
    """Pipelines by name; a dispatcher that runs them here."""

    def __init__(self) -> None:
        self._classes: dict[str, type[Pipeline]] = {}

    def register(self, name: str) -> Callable[[C], C]:
        """Decorate a `Pipeline` class with this.  Raises ValueError if the name is taken, TypeError for no pipeline."""

        def add(pipeline: C) -> C:
            if not _is_pipeline(pipeline):
                msg = f"register_pipeline({name!r}): {pipeline!r} is not a subclass of Pipeline"
                raise TypeError(msg)
            known = self._classes.get(name)
            if known is not None and _place(known) != _place(pipeline):
                msg = f"register_pipeline({name!r}): {_place(known)} has this name already"
                raise ValueError(msg)
            pipeline.name = name
            self._classes[name] = pipeline
            return pipeline

        return add

    def get(self, name: str) -> type[Pipeline]:
        """The pipeline of this name.  Raises Terminal."""
        found = self._classes.get(name)
        if found is None:
            near = get_close_matches(name, self._classes, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(self._classes) or 'none'}"
            msg = f"no pipeline is registered as {name!r}; {hint}"
            raise Terminal(msg)
        return found

    def dispatch(self, pipeline: str, params: Mapping[str, Any]) -> PipelineResult:
        """Run the pipeline of this name here.  Raises Terminal for a name that is not known, and what it raises."""
        return run_class(self.get(pipeline), params)

    def __contains__(self, name: object) -> bool:
        return name in self._classes

    def __iter__(self) -> Iterator[str]:
        return iter(self._classes)


_REGISTERED = PipelineRegistry()


def register_pipeline(name: str) -> Callable[[C], C]:
    """Make a `Pipeline` class known by this name, to all workflows and groups that are given no registry of their own.

    Raises ValueError if another class has the name, TypeError for what is no pipeline.
    """
    return _REGISTERED.register(name)


def registered_pipelines() -> PipelineRegistry:
    """The registry that `@register_pipeline` writes to."""
    return _REGISTERED


def run_class(pipeline: type[Pipeline], params: Mapping[str, Any]) -> PipelineResult:
    """Make it and run it.  Raises Terminal if it returns something else than a result."""
    returned: Any = pipeline(params).run()
    if inspect.iscoroutine(returned):
        returned.close()
        msg = f"{pipeline.__qualname__}.run is `async def`; a pipeline is run in a thread: write `def`"
        raise Terminal(msg)
    if not isinstance(returned, PipelineResult):
        msg = f"{pipeline.__qualname__}.run returned {returned!r:.80}, not a PipelineResult"
        raise Terminal(msg)
    return returned


def call_pipeline(step: PipelineStep, params: Mapping[str, Any], dispatcher: Dispatcher | None) -> StepResult:
    """The result of a step that runs a pipeline, its own params over these.  Raises what the pipeline raises."""
    params = {**params, **step.params}
    if isinstance(step.pipeline, type):
        result = run_class(step.pipeline, params)
    else:
        result = (dispatcher or _REGISTERED).dispatch(step.pipeline, params)
    return as_step_result(result)


def as_step_result(result: PipelineResult) -> StepResult:
    """A pipeline's result as a step's: its metrics are the output, and its quality if they tell of it."""
    metrics = result.metrics or NOTHING
    try:
        quality = QualityMetrics.of(metrics) if any(name in metrics for name in NUMBERS) else None
    except ValueError as error:
        msg = f"PipelineResult.metrics: {error}"
        raise PayloadError(msg) from None
    if result.status is PipelineStatus.COMPLETED:
        return StepResult.ok(metrics, quality=quality)
    reason = result.error or "the pipeline failed"
    return StepResult.fail(reason, result.error_category, output=metrics, quality=quality)


def _is_pipeline(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Pipeline)


def _place(pipeline: type[Pipeline]) -> str:
    """Where it is written: a module that is loaded twice registers the same again."""
    return f"{pipeline.__module__}.{pipeline.__qualname__}"
