"""Jobs: containerised steps, used like any step.

    extract = job("extract", "lakehouse/extract:1.0", command=["python", "extract.py"], outputs={"rows": "integer"})

    @workflow
    async def daily(region: str) -> int:
        out = await extract(region=region)            # the job sees PARAM_REGION
        return out["rows"]

What a run schedules is `job_step.JobStep`.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Generic, TypedDict, TypeVar, Unpack, cast, overload

from ripresa.author.job_step import JobOutput, JobRuntime, JobStep, JobUndo, TypedStep, runtime_limits
from ripresa.author.running import StepHandle, running
from ripresa.author.step import StepCall, require_known
from ripresa.contracts.durations import Duration, spelled
from ripresa.contracts.job_order import JobOrder
from ripresa.contracts.labels import Labels
from ripresa.contracts.time_limits import TimeLimits
from ripresa.kernel.retry import Retry

if TYPE_CHECKING:
    from collections.abc import Generator

    from ripresa.kernel.live import LiveRun

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Job(Generic[R_co]):
    """A containerised job; made by `job`.  Await it, call it with further parameters, or `start` it."""

    __ripresa__ = "job"

    def __init__(self, order: JobOrder, step: JobStep) -> None:
        self.order = order
        self.step = step

    @property
    def name(self) -> str:
        """What it is called in the history."""
        return self.order.name

    def __call__(self, **params: Any) -> Coroutine[Any, Any, R_co]:
        """Have it done, with these parameters beside its own; in a `def` workflow this waits, and gives the output.

        Raises StepFailed, TimeoutError if the total time ran out, NotInWorkflow outside of a workflow.
        """
        run = running(f"job {self.name}")
        if _waits_plainly(run, sys._getframe(1)):  # noqa: SLF001 - the documented way to one's caller
            waited: Any = self.wait(**params)
            return cast("Coroutine[Any, Any, R_co]", waited)  # `ripresa.blocking` has the true type
        if self.step.limits.total_us is None and self.step.key is None:
            call: StepCall[R_co] = StepCall(run, self.step, (self._now(run, params),), {})
            return call
        return self._limited(run, params)

    def __await__(self) -> Generator[Any, None, R_co]:
        return self._limited(running(f"job {self.name}"), {}).__await__()

    def start(self, **params: Any) -> StepHandle[R_co]:
        """Start it without waiting; only inside a workflow."""
        run = running(f"job {self.name}")
        return StepHandle(run.schedule(self.step, (self._now(run, params),), {}, key=self.step.key))

    def wait(self, **params: Any) -> R_co:
        """Have it done and wait for the output in plain code, as a call of a `def` step does."""
        run = running(f"job {self.name}")
        if self.step.limits.total_us is not None:
            limited: R_co = run.block(run.inline_task(self._limited(run, params)), soft=True)
            return limited
        value: R_co = run.block(run.schedule(self.step, (self._now(run, params),), {}, key=self.step.key))
        return value

    async def _limited(self, run: LiveRun, params: Mapping[str, Any]) -> R_co:
        from ripresa.author.code import within  # noqa: PLC0415 - it knows of steps, as we do

        future = run.schedule(self.step, (self._now(run, params),), {}, key=self.step.key)
        total_us = self.step.limits.total_us
        if total_us is None:
            unlimited: R_co = await future
            return unlimited
        try:
            value: R_co = await within(run, future, total_us / 1e6, self.name)
        except TimeoutError:
            raise TimeoutError(f"job {self.name!r} took longer than {spelled(total_us)} in all") from None
        finally:
            future.cancel()
        return value

    def ordered(self, params: Mapping[str, Any], dates: Mapping[str, str]) -> JobOrder:
        """The order, with further parameters and the run's dates.  Raises ValueError."""
        return replace(self.order, params={**self.order.params, **params}, dates={**dates, **self.order.dates})

    @property
    def as_undo(self) -> JobUndo:
        """This job as what undoes another: with the other's parameters beside its own, and the other's dates."""
        return JobUndo(self.step, lambda done, _: self.ordered(done.params, done.dates))

    def _now(self, run: LiveRun, params: Mapping[str, Any]) -> JobOrder:
        return self.ordered(params, _dates(run.started_us))

    def __repr__(self) -> str:
        return f"<job {self.name}: {self.order.image}>"


class JobOptions(TypedDict, total=False):
    """What `job` may be told beside name, image and outputs."""

    command: Iterable[str]
    args: Iterable[str]
    env: Mapping[str, str]
    params: Mapping[str, Any]
    secrets: Mapping[str, str]
    volumes: Iterable[str]
    resources: Mapping[str, Any]
    retry: Retry | None
    timeout: Duration | Mapping[str, Duration] | None
    exit_codes: Mapping[str, Iterable[int]]
    runtime: JobRuntime
    compensate: Any
    key: str | None
    pool: str | None
    pool_key: str | None
    labels: Labels


_OF_THE_STEP = ("retry", "timeout", "runtime", "compensate", "key", "pool", "pool_key", "labels")


@overload
def job(name: str, image: str, *, outputs: type[R], **options: Unpack[JobOptions]) -> Job[R]: ...
@overload
def job(
    name: str, image: str, *, outputs: Mapping[str, str] | None = None, **options: Unpack[JobOptions]
) -> Job[JobOutput]: ...
def job(name: str, image: str, *, outputs: Any = None, **options: Any) -> Job[Any]:
    """Declare a containerised job, to be used like a step: `await extract()`, or await the declaration itself.

    `command` replaces the image's entry point and `args` its arguments; both are lists, never given to a shell.
    `params` are in the environment as `PARAM_NAME`.  `secrets` are references: `env:NAME`, `file:/path`,
    `secret:path#key`.  `volumes` are `name:/path` or `/host/path:/path`, either with `:ro`.  `resources` are
    `{"cpu": "500m", "memory": "2Gi", "on_retry": {"memory": "*2", "max": "8Gi"}}`.  `timeout` is a duration for each
    attempt, or `{"attempt", "total", "queue", "heartbeat", "grace"}`.  `exit_codes` are
    `{"terminal": [2], "quarantine": [42], "skip": [99]}`; 0 is success and all others may be retried.  `outputs` are
    the types of the keys of the JSON object that the job leaves in the file `$JOB_OUTPUT`, or a type to read it as.
    `runtime` is process, container, kubernetes or celery.  `compensate` undoes it: a job, or a step or function of its
    parameters.  `key` is its identity in the history.  `pool` names a capacity that it waits for, in which keys take
    turns that `pool_key` gives; `labels` are what it needs of the engine that carries it out.  Raises ValueError naming
    job and field, TypeError for an unknown option.
    """
    order, step = declared(name, image, outputs, options)
    return Job(order, step)


def declared(name: str, image: str, outputs: Any, options: dict[str, Any]) -> tuple[JobOrder, JobStep]:
    """What a `Job` is made of.  Raises ValueError, TypeError."""
    require_known(f"job {name!r}", options, JobOptions.__annotations__)
    of_step = {field: options.pop(field) for field in _OF_THE_STEP if options.get(field) is not None}
    limits = TimeLimits.of(of_step.pop("timeout", None), where=f"job {name!r}: timeout")
    shape = None if outputs is None or isinstance(outputs, Mapping) else outputs
    order = JobOrder(
        name=name,
        image=image,
        outputs=dict(outputs or {}) if shape is None else {},
        limits=runtime_limits(limits),
        **{field: value for field, value in options.items() if value is not None},
    )
    if shape is not None and order.exit_codes.skip:
        raise ValueError(f"job {name!r}: if it is skipped there is no {shape!r} to give; list its outputs by key")
    return order, TypedStep(name, shape, limits=limits, **of_step)


def _waits_plainly(run: LiveRun, caller: Any) -> bool:
    """Whether the caller is plain code of a `def` workflow, where a step's call gives its value."""
    if inspect.iscoroutinefunction(getattr(run.workflow, "function", _nothing)):
        return False
    return not caller.f_code.co_flags & (inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR)


async def _nothing() -> None:
    """A workflow that is no function awaits what it asks for."""


def _dates(us: int) -> dict[str, str]:
    """The dates of a run without a schedule: its logical date is when it was started."""
    moment = datetime.fromtimestamp(us // 1_000_000, UTC)
    text = moment.isoformat()
    return {
        "EXECUTION_DATE": text,
        "DS": f"{moment:%Y-%m-%d}",
        "TS": text,
        "DATA_INTERVAL_START": text,
        "DATA_INTERVAL_END": text,
    }
