"""What workflow code may call: waits, messages, children, and what is determined.

The functions here only speak to the run whose code is calling; each is durable, and the same on
replay.  Steps and workflows themselves are in `step` and `workflow`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from ripresa.author.running import ChildHandle, StepHandle, running
from ripresa.author.signature import Type
from ripresa.author.step import AsyncStep, Step, SyncStep, as_step, step
from ripresa.author.workflow import WorkflowDefinition, workflow
from ripresa.contracts.durations import Duration, micros
from ripresa.contracts.payload import dump
from ripresa.kernel.live import LiveRun, current_run
from ripresa.kernel.operations import ContinueRequested

if TYPE_CHECKING:
    from ripresa.kernel.loop import Handle

__all__ = [
    "AsyncStep",
    "ChildHandle",
    "Step",
    "StepHandle",
    "SyncStep",
    "WorkflowDefinition",
    "as_step",
    "child",
    "continue_as_new",
    "now",
    "patched",
    "publish",
    "random",
    "running",
    "send_signal",
    "sleep",
    "sleep_until",
    "start_child",
    "step",
    "uuid4",
    "wait_for_signal",
    "wait_until",
    "workflow",
]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


def _duration_us(duration: Duration | None, *, days: float, hours: float, minutes: float, seconds: float) -> int:
    extra = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    if duration is None:
        return micros(float(extra), where="sleep")
    if extra:
        msg = "sleep: give a duration or days=, hours=, minutes=, seconds=, not both"
        raise TypeError(msg)
    return micros(duration, where="sleep")


async def _cancellable(run: LiveRun, delay_us: int) -> None:
    future, handle = run.timer(delay_us, "sleep")
    try:
        await future
    finally:
        handle.cancel()


def sleep(
    duration: Duration | None = None, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0
) -> Coroutine[Any, Any, None]:
    """Wait durably; a crash does not restart the wait.

    `await sleep("1h30m")`, `sleep(timedelta(hours=1))`, `sleep(days=30)`.

    Outside of a workflow it is `asyncio.sleep`.  Raises ValueError for a duration that cannot be read.
    """
    delay_us = _duration_us(duration, days=days, hours=hours, minutes=minutes, seconds=seconds)
    run = current_run()
    if run is None:
        return asyncio.sleep(delay_us / 1e6)  # bans: outside of a workflow
    return _cancellable(run, delay_us)


def until_us(run: LiveRun, when: Any) -> int:
    """Microseconds from now until `when`, a datetime with a time zone or an ISO 8601 text; 0 if it has passed."""
    from datetime import datetime  # noqa: PLC0415 - only here

    moment = datetime.fromisoformat(when) if isinstance(when, str) else when
    if moment.tzinfo is None:
        msg = f"sleep_until: {when!r} has no time zone; write 2026-01-31T08:00:00+01:00 or use datetime(…, tzinfo=…)"
        raise ValueError(msg)
    return max(0, round(moment.timestamp() * 1e6) - run.now_us)


async def sleep_until(when: Any) -> None:
    """Wait durably until a moment: a datetime with a time zone, or ISO 8601 text with an offset."""
    run = running("sleep_until")
    await _cancellable(run, until_us(run, when))


async def within(run: LiveRun, future: asyncio.Future[T], timeout: Duration | None, what: str) -> T:
    """The future's result, or TimeoutError when the durable time limit runs out first."""
    if timeout is None:
        return await future
    _, handle = limit(run, future, timeout, what)
    try:
        return await future
    finally:
        handle.cancel()


def limit(
    run: LiveRun, future: asyncio.Future[Any], timeout: Duration, what: str
) -> tuple[asyncio.Future[None], Handle]:
    """Make `future` raise TimeoutError when the durable time limit runs out."""
    timer, handle = run.timer(micros(timeout, where=f"{what}: timeout"), "timeout")

    def expire(_: Any) -> None:
        if not future.done():
            future.set_exception(TimeoutError(f"{what}: nothing came within {timeout}"))

    timer.add_done_callback(expire)
    return timer, handle


@overload
def wait_for_signal(name: str, kind: type[T], *, timeout: Duration | None = None) -> Coroutine[Any, Any, T]: ...
@overload
def wait_for_signal(name: str, *, timeout: Duration | None = None) -> Coroutine[Any, Any, Any]: ...
def wait_for_signal(name: str, kind: Any = Any, *, timeout: Duration | None = None) -> Any:
    """Wait for the next signal of this name; one that came before is there at once.

    `kind` is its type, checked.  Raises TimeoutError when `timeout` runs out, PayloadError for a signal of another
    shape.
    """
    run = running("wait_for_signal")
    return within(run, signal_future(run, name, kind), timeout, f"signal {name!r}")


def signal_future(run: LiveRun, name: str, kind: Any) -> asyncio.Future[Any]:
    """A future for the next signal, read as `kind`."""
    shape = Type(kind)
    return run.mail.wait_signal(name, lambda text: shape.read(text, f"signal {name!r}"))


async def send_signal(run: Any, name: str, data: Any = None) -> None:
    """Send a signal to another run (a handle or an id), exactly once.  Raises RipresaError if there is no such run."""
    target = run if isinstance(run, str) else run.id
    await running("send_signal").send_signal(target, name, dump(data, where=f"signal {name!r}"))


async def publish(kind: str, data: Any = None) -> None:
    """Publish an event of this type with the run's next commit, at least once."""
    await running("publish").publish(kind, dump(data, where=f"event {kind!r}"))


async def wait_until(condition: Callable[[], object], *, timeout: Duration | None = None) -> None:
    """Wait until `condition()` is true; it may only look at the workflow's own state.

    It is asked after each event of the run.  Raises TimeoutError when `timeout` runs out.
    """
    run = running("wait_until")
    if run.looking(condition):
        return
    await within(run, run.wait_condition(condition), timeout, "wait_until")


def start_child(
    workflow: WorkflowDefinition[P, Any], *args: Any, id: str | None = None, **kwargs: Any
) -> ChildHandle[Any]:
    """Start a run of another workflow and return a handle; it goes on if this run ends.

    Awaiting the handle gives its output, or raises ChildFailed.
    """
    run = running("start_child")
    operation = run.start_child(workflow, workflow.encode(args, kwargs), key=id)
    return ChildHandle(operation, id or operation.child or "")


@overload
async def child(
    workflow: WorkflowDefinition[..., Coroutine[Any, Any, R]], *args: Any, id: str | None = None, **kwargs: Any
) -> R: ...
@overload
async def child(workflow: WorkflowDefinition[..., R], *args: Any, id: str | None = None, **kwargs: Any) -> R: ...
async def child(workflow: Any, *args: Any, id: str | None = None, **kwargs: Any) -> Any:
    """Run another workflow as a child and return its output; cancelled with this one.  Raises ChildFailed."""
    return await start_child(workflow, *args, id=id, **kwargs)


def now() -> Any:
    """The present as the run sees it: a datetime in UTC that replays the same."""
    from datetime import UTC, datetime, timedelta  # noqa: PLC0415 - only here

    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=running("now").now_us)


def uuid4() -> Any:
    """A `uuid.UUID` that replays the same."""
    return running("uuid4").uuid4()


def random() -> float:
    """A number in [0, 1) that replays the same; not for secrets."""
    return running("random").random()


def patched(patch: str) -> bool:
    """Whether this run takes the new way at the branch `patch`.

    True for runs that reach it now, False for those whose history passed it on old code:
    `if patched("fraud-check"): await check(order)`.
    """
    return running("patched").patched(patch)


def continue_as_new(*args: Any, **kwargs: Any) -> Any:
    """Begin the workflow again with these arguments and an empty history; the run keeps its id.  Does not return."""
    run = running("continue_as_new")
    raise ContinueRequested(run.workflow.encode(args, kwargs))
