"""Entries: each of a definition's `jobs` and `finally` as a node of a graph."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ripresa.author.graph.plan import Dependency, ForEach, Node
from ripresa.author.graph.works import Call, Choose, NamedWorkflow, Pause, Receive, Result, Start
from ripresa.author.job_step import JobStep, runtime_limits
from ripresa.author.yaml import rendering as r
from ripresa.author.yaml.quality import guarded, thresholds
from ripresa.contracts.durations import micros
from ripresa.contracts.job_order import ExitCodes, JobOrder, JobResult
from ripresa.contracts.status import StepStatus
from ripresa.contracts.time_limits import TimeLimits
from ripresa.kernel.retry import Retry

if TYPE_CHECKING:
    from ripresa.author.graph.plan import Values
    from ripresa.author.graph.works import Work
    from ripresa.contracts.spec import Entry, JobSpec, RetrySpec, TimeoutSpec, WorkflowSpec
    from ripresa.contracts.spec.entries import PipelineSpec, PythonSpec

Find = Callable[[str], Any]
"""Finds a function by `package.module:name` as a step, or loads what registers a pipeline by its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What entries are made in: the workflow, who finds a Python function as a step, and who loads a pipeline."""

    spec: WorkflowSpec
    function: Find
    pipeline: Find


_STEPS = ("job", "python", "pipeline")
"""Kinds that are steps, whose attempts and their limits are the engine's."""


def node_of(entry: Entry, around: Surroundings) -> Node:
    """The node of an entry."""
    limits = around.spec.timeout_of(entry)
    total = None if limits is None else _total(entry, limits)
    if entry.signal is not None and entry.signal.timeout is not None:
        total = entry.signal.timeout
    return Node(
        name=entry.name,
        work=_work(entry, around),
        depends_on=tuple(Dependency(one.job, one.when) for one in entry.depends_on),
        run_if=entry.run_if,
        when=None if entry.when is None else r.condition(entry.when, f"{entry.name}.when"),
        on_error=entry.on_error,
        for_each=_for_each(entry),
        timeout_us=None if total is None else micros(total),
        retry=None if entry.kind in _STEPS else retry_of(entry.own_retry),
        compensate=entry.compensate,
        description=entry.work.description.strip().partition("\n")[0],
    )


def _total(entry: Entry, limits: TimeoutSpec) -> str | None:
    """The limit of a node as a whole; of what makes no attempts, that of an attempt too."""
    if entry.kind in _STEPS:
        return limits.total
    return limits.total or limits.attempt


def _for_each(entry: Entry) -> ForEach | None:
    if entry.for_each is None:
        return None
    return ForEach(
        items=r.expression(entry.for_each, f"{entry.name}.for_each"),
        max_parallel=entry.max_parallel,
        min_success=entry.min_success,
        batch=entry.batch,
    )


def _work(entry: Entry, around: Surroundings) -> Work:
    work: Work = _WORKS[entry.kind](entry, around)
    return work


# --- steps -------------------------------------------------------------------------------------


def retry_of(spec: RetrySpec | None) -> Retry | None:
    """The policy that a definition says."""
    if spec is None:
        return None
    return Retry(
        max_attempts=spec.attempts,
        delay=spec.delay,
        multiplier=spec.multiplier,
        max_delay=spec.max_delay,
        jitter=spec.jitter,
        max_elapsed=spec.max_elapsed,
    )


def limits_of(spec: TimeoutSpec | None) -> TimeLimits:
    """The time limits that a definition says."""
    return TimeLimits() if spec is None else TimeLimits.of(spec.model_dump(exclude_none=True))


def _job(entry: Entry, around: Surroundings) -> Call:
    spec = entry.job
    assert spec is not None  # noqa: S101 - it is of this kind
    limits = limits_of(around.spec.timeout_of(entry))
    step: Any = JobStep(
        spec.name,
        runtime=around.spec.runtime_of(spec),
        retry=retry_of(around.spec.retry_of(entry)),
        limits=limits,
        pool=spec.pool,
        labels=spec.labels,
    )
    if entry.quality is not None:
        step = guarded(step, thresholds(entry.quality), lambda result: None if result.skipped else result.output)
    return Call.of(
        spec.name,
        step,
        order_of(spec, limits),
        kind="job",
        read=_read_job,
        quarantine=entry.on_error == "quarantine",
        pool_key=_pool_key(spec),
    )


def _pool_key(spec: JobSpec | PythonSpec | PipelineSpec) -> Callable[[Values], Any] | None:
    """Whose turn it is in the entry's pool, from the run's values."""
    return None if spec.pool_key is None else r.expression(spec.pool_key, f"{spec.name}.pool_key")


def order_of(spec: JobSpec, limits: TimeLimits) -> Callable[[Values], tuple[tuple[Any, ...], dict[str, Any]]]:
    """The job's order, everything rendered, as the argument of its step."""
    args = r.listed(spec.args, f"{spec.name}.args")
    params = r.expression(spec.params, f"{spec.name}.params")
    env = r.texts(spec.env, f"{spec.name}.env")
    fixed: dict[str, Any] = {
        "name": spec.name,
        "image": spec.image,
        "command": None if spec.command is None else tuple(spec.command),
        "secrets": dict(spec.secrets),
        "volumes": tuple(spec.volumes),
        "resources": spec.resources.written(),
        "exit_codes": ExitCodes.of(spec.exit_codes.written()),
        "outputs": dict(spec.outputs),
        "limits": runtime_limits(limits),
    }

    def order(values: Values) -> tuple[tuple[Any, ...], dict[str, Any]]:
        made = JobOrder(
            **fixed, args=args(values), params=params(values), env=env(values), dates=values.get("date_texts", {})
        )
        return (made,), {}

    return order


def _read_job(result: JobResult) -> Result:
    if result.skipped:
        return Result(None, StepStatus.SKIPPED, reason=f"it ended with exit code {result.exit_code}")
    return Result(result.output)


def _python(entry: Entry, around: Surroundings) -> Call:
    spec = entry.python
    assert spec is not None  # noqa: S101 - it is of this kind
    given = r.expression(dict(spec.with_), f"{spec.name}.with")
    step = _with_policies(around.function(spec.call), entry, around)
    if entry.quality is not None:
        step = guarded(step, thresholds(entry.quality), lambda value: {} if value is None else value)
    quarantine = entry.on_error == "quarantine"
    key = _pool_key(spec)
    return Call.of(spec.name, step, lambda values: ((), given(values)), quarantine=quarantine, pool_key=key)


def _pipeline(entry: Entry, around: Surroundings) -> Call:
    from ripresa.author.groups import pipeline_call, read_pipeline  # noqa: PLC0415 - only where there are pipelines
    from ripresa.author.steps.kinds import PipelineStep  # noqa: PLC0415 - as above

    spec = entry.pipeline
    assert spec is not None  # noqa: S101 - it is of this kind
    given = r.expression(dict(spec.params), f"{spec.name}.params")
    around.pipeline(spec.pipeline)
    gate = None if entry.quality is None else thresholds(entry.quality)
    made = pipeline_call(PipelineStep(spec.name, spec.pipeline, quality_thresholds=gate), None)
    step = _with_policies(made, entry, around)
    return Call.of(
        spec.name,
        step,
        lambda values: ((given(values),), {}),
        kind="pipeline",
        read=read_pipeline,
        quarantine=entry.on_error == "quarantine",
        pool_key=_pool_key(spec),
    )


def _with_policies(step: Any, entry: Entry, around: Surroundings) -> Any:
    """The step with the entry's own policies over its own."""
    made = copy.copy(step)
    limits = limits_of(around.spec.timeout_of(entry))
    made.retry = retry_of(around.spec.retry_of(entry)) or step.retry
    made.timeout_us = step.timeout_us if limits.attempt_us is None else limits.attempt_us
    made.queue_us = limits.queue_us
    made.pool = getattr(entry.work, "pool", None) or getattr(step, "pool", None)
    made.labels = tuple(sorted({*getattr(entry.work, "labels", ()), *getattr(step, "labels", ())}))
    return made


# --- what the program does by itself --------------------------------------------------------------


def _choice(entry: Entry, _: Surroundings) -> Choose:
    spec = entry.choice
    assert spec is not None  # noqa: S101 - it is of this kind
    cases = tuple(
        (r.condition(case.if_, f"{spec.name}.cases[{place}].if"), (case.then,)) for place, case in enumerate(spec.cases)
    )
    return Choose(cases, () if spec.else_ is None else (spec.else_,))


def _wait(entry: Entry, _: Surroundings) -> Pause:
    spec = entry.wait
    assert spec is not None  # noqa: S101 - it is of this kind
    if spec.until is not None:
        return Pause(until=r.expression(spec.until, f"{spec.name}.until"))
    delay = micros(spec.for_ or "0s")
    return Pause(for_us=lambda _: delay)


def _signal(_: Entry, __: Surroundings) -> Receive:
    return Receive()


def _child(entry: Entry, _: Surroundings) -> Start:
    spec = entry.workflow
    assert spec is not None  # noqa: S101 - it is of this kind
    params: Mapping[str, Any] = spec.params
    return Start(NamedWorkflow(spec.definition), r.expression(dict(params), f"{spec.name}.params"))


_WORKS: dict[str, Callable[[Entry, Surroundings], Any]] = {
    "job": _job,
    "python": _python,
    "pipeline": _pipeline,
    "choice": _choice,
    "wait": _wait,
    "signal": _signal,
    "workflow": _child,
}
