"""The kinds of steps, as data: what is to be done, and what follows.

A step is a value; what runs it is `program`, and one attempt of it is `calling`.  `Step` makes them:

    Step.lambda_("count", count_rows, retry=RetryPolicy(max_attempts=5))
    Step.choice("route", condition=lambda ctx: ctx.get_output("count") > 0, then_step="load", else_step="skip")
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import CodeType
from typing import Any, ClassVar

from ripresa.author.steps.context import WorkflowContext
from ripresa.author.steps.frozen import NOTHING, freeze
from ripresa.author.steps.policy import ErrorPolicy, RetryPolicy, retry_of
from ripresa.contracts.durations import Duration, micros
from ripresa.contracts.quality import QualityThresholds
from ripresa.contracts.quality_trend import QualityTrend
from ripresa.kernel.retry import Retry

Handler = Callable[..., Any]
"""`handler(context)` or `handler(context, config)`, `def` or `async def`; returns a `StepResult`, or a plain output."""
Condition = Callable[[WorkflowContext], object] | str
"""A function of the context, the name of one that the workflow was given, or an expression over the context."""
Items = Callable[[WorkflowContext], Sequence[Any]] | Sequence[Any] | str
"""A function of the context, the items themselves, or an expression over the context."""

END = "$end"
"""As `next_step`: the workflow ends here."""

_TREND = QualityTrend()
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,200}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class StepBase:
    """What every step has.  `next_step` names the step that follows, if not the next in the list."""

    name: str = field(kw_only=False)
    on_error: ErrorPolicy = ErrorPolicy.STOP
    next_step: str | None = None

    kind: ClassVar[str] = ""

    def __post_init__(self) -> None:
        require_name(self.name, f"{type(self).__name__}.name")
        if self.on_error not in set(ErrorPolicy):
            msg = f"step {self.name}: on_error={self.on_error!r} is not one of {', '.join(ErrorPolicy)}"
            raise ValueError(msg)
        object.__setattr__(self, "on_error", ErrorPolicy(self.on_error))

    @property
    def targets(self) -> tuple[str, ...]:
        """Steps that it names as those that may follow."""
        return () if self.next_step is None else (self.next_step,)

    def describe(self) -> dict[str, Any]:
        """What it is, as JSON, for the definition's body and its content hash."""
        return {"kind": self.kind, "name": self.name, "on_error": self.on_error.value, "next_step": self.next_step}


@dataclass(frozen=True, kw_only=True)
class WorkStep(StepBase):
    """What a step has that does work: a policy, a time limit, gates.

    `retry`: how often it is attempted (once, if left out and `on_error` is not RETRY).  `timeout`: for one attempt.
    `config`: handed to it beside the context.  `quality_thresholds`: limits that its data must keep.
    `quality_trend`: when its data counts as worse than that of earlier runs; None: never.
    """

    retry: RetryPolicy | Retry | None = None
    timeout: Duration | None = None
    config: Mapping[str, Any] = NOTHING
    quality_thresholds: QualityThresholds | None = None
    quality_trend: QualityTrend | None = _TREND

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.timeout is not None:
            micros(self.timeout, where=f"step {self.name}: timeout")
        object.__setattr__(self, "config", freeze(dict(self.config), f"step {self.name}: config"))

    @property
    def attempts(self) -> Retry | None:
        """The kernel's policy; None: one attempt."""
        return retry_of(self.retry, self.on_error)

    def describe(self) -> dict[str, Any]:
        gate = self.quality_thresholds
        return {
            **super().describe(),
            "retry": None if self.attempts is None else str(self.attempts),
            "timeout": None if self.timeout is None else str(self.timeout),
            "config": self.config,
            "quality": None if gate is None else gate.to_json(),
        }


@dataclass(frozen=True, kw_only=True)
class LambdaStep(WorkStep):
    """Calls a function of the context: in a thread if it is a `def`, in the engine's loop if it is `async def`."""

    handler: Handler = field(kw_only=False)

    kind: ClassVar[str] = "lambda"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not callable(self.handler):
            msg = f"step {self.name}: handler={self.handler!r} is not a function of the context"
            raise TypeError(msg)

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), "handler": source_of(self.handler)}


@dataclass(frozen=True, kw_only=True)
class PipelineStep(WorkStep):
    """Runs a pipeline: one that is registered under this name, or a `Pipeline` class.

    Its parameters are those of the context, with `params` over them.  `depends_on` names the steps of a
    `PipelineGroup` that come first; the steps of a `Workflow` run in their order.
    """

    pipeline: Any = field(kw_only=False)
    params: Mapping[str, Any] = NOTHING
    depends_on: Sequence[str] = ()

    kind: ClassVar[str] = "pipeline"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.pipeline, str | type):
            msg = f"step {self.name}: pipeline={self.pipeline!r} is neither a registered name nor a Pipeline class"
            raise TypeError(msg)
        if isinstance(self.depends_on, str):
            msg = f"step {self.name}: depends_on={self.depends_on!r} is a text; write depends_on=[{self.depends_on!r}]"
            raise TypeError(msg)
        object.__setattr__(self, "params", freeze(dict(self.params), f"step {self.name}: params"))
        object.__setattr__(self, "depends_on", tuple(self.depends_on))

    @property
    def pipeline_name(self) -> str:
        """How the pipeline is called."""
        return (
            self.pipeline
            if isinstance(self.pipeline, str)
            else getattr(self.pipeline, "name", "") or self.pipeline.__name__
        )

    def describe(self) -> dict[str, Any]:
        return {
            **super().describe(),
            "pipeline": self.pipeline_name if isinstance(self.pipeline, str) else source_of(self.pipeline),
            "params": self.params,
            "depends_on": list(self.depends_on),
        }


@dataclass(frozen=True, kw_only=True)
class ChoiceStep(StepBase):
    """Goes on with `then_step` if the condition is true, else with `else_step`; None: with the next in the list."""

    condition: Condition = field(kw_only=False)
    then_step: str | None = None
    else_step: str | None = None

    kind: ClassVar[str] = "choice"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.condition, str) and not callable(self.condition):
            msg = (
                f"step {self.name}: condition={self.condition!r} is neither a function of the context nor an expression"
            )
            raise TypeError(msg)
        if self.then_step is None and self.else_step is None:
            msg = f"step {self.name}: a choice needs then_step=, else_step= or both"
            raise ValueError(msg)

    @property
    def targets(self) -> tuple[str, ...]:
        return tuple(one for one in (self.then_step, self.else_step) if one is not None)

    def describe(self) -> dict[str, Any]:
        return {
            **super().describe(),
            "condition": self.condition if isinstance(self.condition, str) else source_of(self.condition),
            "then_step": self.then_step,
            "else_step": self.else_step,
        }


@dataclass(frozen=True, kw_only=True)
class WaitStep(StepBase):
    """Waits, durably: for a duration, or until a moment (a datetime with a time zone, or ISO 8601 text)."""

    duration: Duration | None = field(default=None, kw_only=False)
    until: datetime | str | None = None

    kind: ClassVar[str] = "wait"

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.duration is None) == (self.until is None):
            msg = f"step {self.name}: a wait needs a duration or until=, one of them"
            raise ValueError(msg)
        if self.duration is not None:
            micros(self.duration, where=f"step {self.name}: duration")
        else:
            _require_moment(self.until, self.name)

    def describe(self) -> dict[str, Any]:
        return {
            **super().describe(),
            "duration": None if self.duration is None else str(self.duration),
            "until": None if self.until is None else str(self.until),
        }


@dataclass(frozen=True, kw_only=True)
class MapStep(StepBase):
    """Runs one step for each of many items, `max_parallel` at a time; its output is the list of theirs.

    The step sees `context.item` and `context.index`.  The first failure stops the rest and fails the map; with
    `on_error=ErrorPolicy.CONTINUE` None stands in place of each failed output.
    """

    items: Items = field(kw_only=False)
    step: LambdaStep | PipelineStep | Handler = field(kw_only=False)
    max_parallel: int | None = None

    kind: ClassVar[str] = "map"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.step, LambdaStep | PipelineStep):
            if isinstance(self.step, StepBase):
                msg = f"step {self.name}: a map runs a lambda or pipeline step, not a {self.step.kind} step"
                raise TypeError(msg)
            name = getattr(self.step, "__name__", "item")
            object.__setattr__(self, "step", LambdaStep(name if _NAME.fullmatch(name) else "item", self.step))
        if self.max_parallel is not None and self.max_parallel < 1:
            msg = f"step {self.name}: max_parallel={self.max_parallel} would never start; use 1 or more, or None"
            raise ValueError(msg)
        if not isinstance(self.items, str) and not callable(self.items):
            object.__setattr__(self, "items", freeze(list(self.items), f"step {self.name}: items"))

    @property
    def inner(self) -> LambdaStep | PipelineStep:
        """The step that is run for each item."""
        assert isinstance(self.step, LambdaStep | PipelineStep)  # noqa: S101 - a handler was made one
        return self.step

    def describe(self) -> dict[str, Any]:
        items = source_of(self.items) if callable(self.items) else self.items
        return {**super().describe(), "items": items, "step": self.inner.describe(), "max_parallel": self.max_parallel}


AnyStep = LambdaStep | PipelineStep | ChoiceStep | WaitStep | MapStep


def require_name(name: object, where: str) -> None:
    """Raise ValueError unless it is a name that an operation can have."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        msg = f"{where}: {name!r} is not a name of 1 to 200 letters, digits, _ . -"
        raise ValueError(msg)


def source_of(function: Any) -> str:
    """What tells one version of a function from another: its source, else its code."""
    import inspect  # noqa: PLC0415 - only when a definition is recorded

    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        code = getattr(function, "__code__", None)
        return repr(type(function)) if code is None else _code_text(code)


def _code_text(code: CodeType) -> str:
    """The code as text that is the same in every process: no addresses, and sets in order."""
    constants = (
        _code_text(one)
        if isinstance(one, CodeType)
        else str(sorted(map(repr, one)))
        if isinstance(one, frozenset)
        else repr(one)
        for one in code.co_consts
    )
    return f"{code.co_code.hex()} {' '.join(code.co_names)} {' '.join(constants)}"


def _require_moment(until: Any, name: str) -> None:
    moment = until
    if isinstance(until, str):
        try:
            moment = datetime.fromisoformat(until)
        except ValueError:
            moment = None
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        msg = f"step {name}: until={until!r} is no moment with a time zone; write 2026-01-31T08:00:00+01:00"
        raise ValueError(msg)
