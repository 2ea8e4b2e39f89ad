"""Job steps: what a run schedules to have a containerised job done.

    run.schedule(step, (order,), {}) ──> JobResult

Any front end makes orders as it likes; the step says how the engine treats them: runtime, retry, time limits.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from ripresa.author.running import running
from ripresa.author.signature import Type
from ripresa.author.step import UNDO_RETRY, as_undo
from ripresa.contracts.errors import NotInWorkflow, PayloadError
from ripresa.contracts.job_order import JobOrder, JobResult, Limits
from ripresa.contracts.labels import Labels, labels_of
from ripresa.contracts.payload import dump, load
from ripresa.contracts.time_limits import TimeLimits
from ripresa.kernel.retry import Retry
from ripresa.kernel.saga import UNDO

JobRuntime = Literal["process", "container", "kubernetes", "celery"]

ENGINE_RUNTIMES: Final[Mapping[str, str]] = {
    "process": "subprocess",  # the engine's own "process" is its pool of Python workers
    "container": "container",
    "kubernetes": "kubernetes",
    "celery": "celery",
}
"""What the engine calls the runtimes that a job may ask for."""


class JobOutput(dict[str, Any]):
    """What a job left in `$JOB_OUTPUT`.  `skipped`: it ended with an exit code that says so, which is `exit_code`."""

    def __init__(self, result: JobResult) -> None:
        super().__init__(result.output)
        self.exit_code = result.exit_code
        self.skipped = result.skipped


@dataclass(frozen=True, slots=True)
class JobUndo:
    """What undoes a job: another job, whose order is made when the time has come from what was ordered and done."""

    step: JobStep
    order_of: Callable[[JobOrder, JobResult], JobOrder]


class JobStep:
    """What a run schedules to have a job done: `run.schedule(step, (order,), {})` gives a `JobResult`.

    `runtime` is what the contract calls it: process, container, kubernetes or celery.  `limits`: those of one attempt
    and of the wait for a slot are the engine's to keep; the order holds those that the runtime keeps; `total` is for
    the caller.  `pool`, `pool_key` and `labels` are as with `step`; the second is a function of the order.
    `compensate` is a `JobUndo`, a `Job`, or a step or function of the order's params.
    """

    __ripresa__ = "step"
    is_async = True

    def __init__(
        self,
        name: str,
        *,
        runtime: str = "container",
        retry: Retry | None = None,
        limits: TimeLimits | None = None,
        compensate: Any = None,
        key: str | None = None,
        pool: str | None = None,
        pool_key: str | Callable[..., object] | None = None,
        labels: Labels | None = None,
    ) -> None:
        if runtime not in ENGINE_RUNTIMES:
            raise ValueError(f"job {name!r}: runtime: {runtime!r} is not one of {', '.join(ENGINE_RUNTIMES)}")
        self.name = name
        self.runtime = ENGINE_RUNTIMES[runtime]
        self.retry = retry
        self.limits = limits or TimeLimits()
        self.timeout_us = self.limits.attempt_us
        self.queue_us = self.limits.queue_us
        self.compensate = compensate
        self.key = key
        self.pool = pool
        self.pool_key = pool_key
        self.labels = labels_of(labels, where=f"job {name}: labels")
        self.must_succeed = False

    @property
    def target(self) -> str:
        """What it is called where steps are told apart by their function."""
        return f"job:{self.name}"

    def function(self, order: JobOrder) -> JobResult:
        """Not to be called: a runtime for jobs does the work."""
        raise NotInWorkflow(f"job {order.name!r} is done by a runtime for jobs, not by this process")

    def encode(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        """The order as JSON text, and as it is.  Raises PayloadError."""
        (order,) = args
        return dump({"order": order.to_json()}, where=f"job {self.name}"), args, kwargs

    def decode_input(self, text: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The order from `encode`'s text.  Raises PayloadError."""
        try:
            return (JobOrder.from_json(load(text)["order"]),), {}
        except (ValueError, KeyError, TypeError) as error:
            raise PayloadError(f"job {self.name}: {error}") from None

    def dump(self, value: JobResult) -> str:
        """The result as JSON text.  Raises PayloadError."""
        return value.dump(where=f"output of job {self.name}")

    def decode(self, text: str) -> Any:
        """The result from its JSON text."""
        return JobResult.load(text)

    def undoing(self, text: str, output: str, operation: str) -> Callable[[], Awaitable[Any]]:
        """What undoes the job ordered by `text` that gave `output` as `operation`, as a step of the workflow."""
        order: JobOrder = self.decode_input(text)[0][0]
        result = JobResult.load(output)
        undo, args, kwargs = self._undo(order, result)
        return lambda: running(undo.name).schedule(undo, args, kwargs, identity=f"{UNDO}{operation}")

    def _undo(self, order: JobOrder, result: JobResult) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
        given = self.compensate
        given = getattr(given, "as_undo", given)
        if isinstance(given, JobUndo):
            return _must_succeed(given.step), (given.order_of(order, result),), {}
        undo = as_undo(given)
        kwargs = dict(order.params)
        if "result" in undo.signature.names and "result" not in kwargs:
            kwargs["result"] = result.output
        return undo, (), kwargs


class TypedStep(JobStep):
    """A job step whose output is read as a type of the author's, or as a `JobOutput`."""

    def __init__(self, name: str, shape: Any, **options: Any) -> None:
        super().__init__(name, **options)
        self.shape = shape
        self._type = Type(Any if shape is None else shape)
        self._where = f"output of job {name}"

    def dump(self, value: JobResult) -> str:
        text = super().dump(value)
        if not value.skipped and not self._type.unchecked:
            self._type.read(text, self._where)
        return text

    def decode(self, text: str) -> Any:
        if self._type.unchecked:
            return JobOutput(JobResult.load(text))
        return self._type.read(text, self._where)


def runtime_limits(limits: TimeLimits) -> Limits:
    """Those of the limits that an order holds, because the runtime keeps them."""
    grace, heartbeat = limits.grace_us, limits.heartbeat_us
    return Limits(
        grace_s=None if grace is None else grace / 1e6, heartbeat_s=None if heartbeat is None else heartbeat / 1e6
    )


def _must_succeed(step: JobStep) -> JobStep:
    undo = JobStep(step.name, retry=step.retry or UNDO_RETRY, limits=step.limits, pool=step.pool, labels=step.labels)
    undo.runtime = step.runtime
    undo.must_succeed = True
    return undo
