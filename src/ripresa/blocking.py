"""The durable waits for `def` workflows: the same names, called plainly.

    from ripresa.blocking import sleep, wait_for_signal

While one of these waits, the run's handlers and other tasks go on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, Unpack, overload

from ripresa.author import code as _code
from ripresa.author import fan_out as _fan_out
from ripresa.author.code import running
from ripresa.author.job import Job, JobOptions, R_co, declared
from ripresa.author.job_step import JobOutput
from ripresa.contracts.payload import dump

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping

    from ripresa.author.fan_out import OfOneArgument
    from ripresa.contracts.durations import Duration
    from ripresa.contracts.failure import Failure

T = TypeVar("T")
R = TypeVar("R")

__all__ = [
    "BlockingJob",
    "child",
    "job",
    "map_",
    "publish",
    "send_signal",
    "sleep",
    "sleep_until",
    "start_child",
    "wait_for_signal",
    "wait_until",
]

start_child = _code.start_child


def _wait(what: str, wait: Callable[[], Coroutine[Any, Any, T]]) -> T:
    run = running(what)
    value: T = run.block(run.inline_task(wait()), soft=True)
    return value


def sleep(
    duration: Duration | None = None, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0
) -> None:
    """Wait durably.  Raises ValueError for a duration that cannot be read."""
    _wait("sleep", lambda: _code.sleep(duration, days=days, hours=hours, minutes=minutes, seconds=seconds))


def sleep_until(when: Any) -> None:
    """Wait durably until a moment: a datetime with a time zone, or ISO 8601 text with an offset."""
    _wait("sleep_until", lambda: _code.sleep_until(when))


@overload
def wait_for_signal(name: str, kind: type[T], *, timeout: Duration | None = None) -> T: ...
@overload
def wait_for_signal(name: str, *, timeout: Duration | None = None) -> Any: ...
def wait_for_signal(name: str, kind: Any = Any, *, timeout: Duration | None = None) -> Any:
    """Wait for the next signal of this name.  Raises TimeoutError, PayloadError."""
    return _wait("wait_for_signal", lambda: _code.wait_for_signal(name, kind, timeout=timeout))


def wait_until(condition: Callable[[], object], *, timeout: Duration | None = None) -> None:
    """Wait until `condition()` is true.  Raises TimeoutError."""
    _wait("wait_until", lambda: _code.wait_until(condition, timeout=timeout))


@overload
def child(
    workflow: _code.WorkflowDefinition[..., Coroutine[Any, Any, R]], *args: Any, id: str | None = None, **kwargs: Any
) -> R: ...
@overload
def child(workflow: _code.WorkflowDefinition[..., R], *args: Any, id: str | None = None, **kwargs: Any) -> R: ...
def child(workflow: Any, *args: Any, id: str | None = None, **kwargs: Any) -> Any:
    """Run another workflow as a child and return its output.  Raises ChildFailed."""
    return _code.start_child(workflow, *args, id=id, **kwargs).result()


@overload
def map_(
    target: OfOneArgument[T, Coroutine[Any, Any, R]],
    items: Iterable[T],
    *,
    max_parallel: int | None = None,
    min_success: None = None,
) -> list[R]: ...
@overload
def map_(
    target: OfOneArgument[T, Coroutine[Any, Any, R]],
    items: Iterable[T],
    *,
    max_parallel: int | None = None,
    min_success: int,
) -> list[R | Failure]: ...
@overload
def map_(
    target: OfOneArgument[T, R], items: Iterable[T], *, max_parallel: int | None = None, min_success: None = None
) -> list[R]: ...
@overload
def map_(
    target: OfOneArgument[T, R], items: Iterable[T], *, max_parallel: int | None = None, min_success: int
) -> list[R | Failure]: ...
def map_(
    target: Any, items: Iterable[Any], *, max_parallel: int | None = None, min_success: int | None = None
) -> list[Any]:
    """Run a step or workflow over `items`; outputs in the order of the items.  As `ripresa.map_`."""
    return _wait("map_", lambda: _fan_out.map_(target, items, max_parallel=max_parallel, min_success=min_success))


class BlockingJob(Job[R_co]):
    """A containerised job whose call gives its output."""

    def __call__(self, **params: Any) -> R_co:  # type: ignore[override]  # the same, waited for here
        """Have it done, with these parameters beside its own.  Raises StepFailed, TimeoutError, NotInWorkflow."""
        return self.wait(**params)


@overload
def job(name: str, image: str, *, outputs: type[R], **options: Unpack[JobOptions]) -> BlockingJob[R]: ...
@overload
def job(
    name: str, image: str, *, outputs: Mapping[str, str] | None = None, **options: Unpack[JobOptions]
) -> BlockingJob[JobOutput]: ...
def job(name: str, image: str, *, outputs: Any = None, **options: Any) -> BlockingJob[Any]:
    """Declare a containerised job whose call gives its output.  As `ripresa.job`."""
    return BlockingJob(*declared(name, image, outputs, options))


def send_signal(run: Any, name: str, data: Any = None) -> None:
    """Send a signal to another run, exactly once."""
    target = run if isinstance(run, str) else run.id
    here = running("send_signal")
    here.block(here.send_signal(target, name, dump(data, where=f"signal {name!r}")))


def publish(kind: str, data: Any = None) -> None:
    """Publish an event of this type, at least once."""
    here = running("publish")
    here.block(here.publish(kind, dump(data, where=f"event {kind!r}")))
