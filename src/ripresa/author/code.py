"""Workflows and steps in Python: the decorators, and what workflow code may call.

A step is called the way its function is: an `async def` step is awaited, a `def` step returns its
value; outside of a workflow both are plain functions.  `step.start(…)` gives a handle for either.
The functions here only speak to the run whose code is calling (`kernel.live.current_run`).
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any, Generic, Literal, ParamSpec, TypeVar, overload

from ripresa.author.signature import Signature, local_names
from ripresa.contracts.durations import Duration, micros
from ripresa.contracts.errors import ForbiddenInWorkflow, NotInWorkflow
from ripresa.contracts.payload import dump
from ripresa.kernel.guard import scan
from ripresa.kernel.live import ContinueRequested, LiveRun, current_run
from ripresa.kernel.retry import Retry

if TYPE_CHECKING:
    from ripresa.kernel.loop import Handle

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

Runtime = Literal["inline", "thread", "process"]

_UNDO_RETRY = Retry(max_attempts=5, delay="1s", on_exhausted="quarantine")


def running(what: str) -> LiveRun:
    """The run whose code is calling.  Raises NotInWorkflow."""
    run = current_run()
    if run is None:
        msg = f"{what} works only inside a workflow: call it from a function with @workflow that an App runs"
        raise NotInWorkflow(msg)
    return run


class StepHandle(Generic[R]):
    """A step that was started: await it, or take its `result()` in a `def` workflow."""

    __slots__ = ("_future",)

    def __init__(self, future: asyncio.Future[Any]) -> None:
        self._future = future

    def __await__(self) -> Generator[Any, None, R]:
        return self._future.__await__()

    def result(self) -> R:
        """Wait here for the output.  Raises StepFailed."""
        value: R = running("result()").block(self._future, soft=True)
        return value

    def done(self) -> bool:
        """Whether the outcome is known."""
        return self._future.done()

    def cancel(self) -> bool:
        """Stop the work; False if it has ended already."""
        return self._future.cancel()


class ChildHandle(StepHandle[R]):
    """A child run that was started; `id` is its run id."""

    __slots__ = ("id",)

    def __init__(self, future: asyncio.Future[Any], run_id: str) -> None:
        super().__init__(future)
        self.id = run_id


class StepCall(Coroutine[Any, Any, R]):
    """An awaited call of an async step: asked for when it is awaited, as a coroutine would."""

    __slots__ = ("_args", "_iterator", "_kwargs", "_step")
    __ripresa_call__ = True

    def __init__(self, step: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._step = step
        self._args = args
        self._kwargs = kwargs
        self._iterator: Any = None

    @property
    def __name__(self) -> str:
        return str(self._step.name)

    def __await__(self) -> Generator[Any, None, R]:
        if self._iterator is not None:
            msg = "cannot reuse already awaited coroutine"
            raise RuntimeError(msg)
        self._iterator = iterator = running(self._step.name).schedule(self._step, self._args, self._kwargs).__await__()
        return iterator

    def send(self, value: Any) -> Any:
        if self._iterator is None:
            self.__await__()
        return self._iterator.send(value)

    def throw(self, kind: Any, value: Any = None, trace: Any = None) -> Any:
        if self._iterator is None:
            self._iterator = iter(())
            raise kind if value is None else value
        return self._iterator.throw(kind) if value is None else self._iterator.throw(kind, value, trace)

    def close(self) -> None:
        if self._iterator is None:
            self._iterator = iter(())
        elif hasattr(self._iterator, "close"):
            self._iterator.close()


class Step(Generic[P, R]):
    """A function whose outcome is recorded.  Made by `@step`."""

    __ripresa__ = "step"

    def __init__(self, function: Callable[..., Any], *, names: dict[str, Any] | None, **options: Any) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.name: str = options.get("name") or function.__name__
        self.is_async = inspect.iscoroutinefunction(function)
        self.retry: Retry | None = options.get("retry")
        timeout = options.get("timeout")
        self.timeout_us = None if timeout is None else micros(timeout, where=f"step {self.name}: timeout")
        self.runtime: str = options.get("runtime") or ("inline" if self.is_async else "thread")
        if self.runtime == "inline" and not self.is_async:
            msg = f'step {self.name}: runtime="inline" needs an async def function; leave it out to use a thread'
            raise ValueError(msg)
        if self.runtime == "thread" and self.is_async:
            msg = f"step {self.name}: an async def function runs inline; write def to use a thread"
            raise ValueError(msg)
        self.compensate: Any = options.get("compensate")
        self.key: str | None = options.get("key")
        self.signature = Signature(function, self.name, names)
        self._output_where = f"output of step {self.name}"

    @property
    def target(self) -> str:
        """Where another process finds the function."""
        return f"{self.function.__module__}:{self.function.__qualname__}"

    def encode(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        """The call as JSON text, and arguments of its own.  Raises PayloadError, TypeError."""
        return self.signature.encode(args, kwargs)

    def decode_input(self, text: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arguments from `encode`'s text.  Raises PayloadError."""
        return self.signature.decode(text)

    def dump(self, value: Any) -> str:
        """The output as checked JSON text.  Raises PayloadError."""
        return self.signature.result.write(value, self._output_where)

    def decode(self, text: str) -> Any:
        """The output from its JSON text.  Raises PayloadError."""
        if text == "null":
            return None
        return self.signature.result.read(text, self._output_where)

    def start(self, *args: P.args, **kwargs: P.kwargs) -> StepHandle[R]:
        """Start the step without waiting for it; only inside a workflow."""
        return StepHandle(running(self.name).schedule(self, args, dict(kwargs), key=self.key))

    def using(self, **options: Any) -> Any:
        """The same step with other options: `charge.using(key="order-7", timeout="5s")`.  `key` is its identity."""
        current = {
            "name": self.name,
            "retry": self.retry,
            "timeout": None if self.timeout_us is None else self.timeout_us / 1e6,
            "runtime": self.runtime,
            "compensate": self.compensate,
            "key": self.key,
        }
        _require_known("using()", options, current)
        changed = type(self)(self.function, names=None, **{**current, **options})
        changed.signature = self.signature
        return changed

    def undoing(self, text: str, output: str) -> Callable[[], Awaitable[Any]]:
        """What undoes the call `text` that gave `output`, as a step of the workflow."""
        undo = as_step(self.compensate)
        if undo.retry is None:
            undo = undo.using(retry=_UNDO_RETRY)
        args, kwargs = self.decode_input(text)
        if "result" in undo.signature.names and "result" not in self.signature.names:
            kwargs = {**kwargs, "result": self.decode(output)}
        return lambda: running(undo.name).schedule(undo, args, kwargs)

    def _outside(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self.function(*args, **kwargs)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        msg = f"step {self.name}: a step is a function of its arguments alone; declare it outside of the class or as a staticmethod"
        raise TypeError(msg)


class AsyncStep(Step[P, R]):
    """An `async def` step."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        if current_run() is None:
            outside: Coroutine[Any, Any, R] = self.function(*args, **kwargs)
            return outside
        if self.key is not None:
            return _keyed(self, args, kwargs)
        return StepCall(self, args, kwargs)


async def _keyed(step: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return await running(step.name).schedule(step, args, kwargs, key=step.key)


class SyncStep(Step[P, R]):
    """A `def` step."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        run = current_run()
        if run is None:
            outside: R = self.function(*args, **kwargs)
            return outside
        inside: R = run.block(run.schedule(self, args, kwargs, key=self.key))
        return inside


_STEP_OPTIONS = ("name", "retry", "timeout", "runtime", "compensate", "key")


def _require_known(what: str, given: Any, known: Any) -> None:
    for name in given:
        if name not in known:
            from difflib import get_close_matches  # noqa: PLC0415 - only for the message

            near = get_close_matches(name, list(known), 1)
            hint = f'; did you mean "{near[0]}"?' if near else f" (there are: {', '.join(known)})"
            msg = f"{what}: unknown option {name!r}{hint}"
            raise TypeError(msg)


@overload
def step(function: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncStep[P, R]: ...
@overload
def step(function: Callable[P, R], /) -> SyncStep[P, R]: ...
@overload
def step(
    *,
    name: str | None = None,
    retry: Retry | None = None,
    timeout: Duration | None = None,
    runtime: Runtime | None = None,
    compensate: Callable[..., Any] | None = None,
) -> _StepDecorator: ...
def step(function: Any = None, /, **options: Any) -> Any:
    """Make a function a step: its outcome is recorded, retried as `retry` says, and never repeated once recorded.

    `name` is its name in the history (the function's, if left out).  `timeout` limits one attempt, and stops the
    work.  `runtime` is "inline" (async def), "thread" or "process".  `compensate` undoes it when the
    run fails: it gets the step's arguments, and the output if it has a parameter `result`.
    Raises TypeError for an unknown option, ValueError for a value out of range.
    """
    _require_known("@step", options, _STEP_OPTIONS)
    names = local_names(1)
    if function is not None:
        return _make_step(function, names, options)
    return lambda target: _make_step(target, names, options)


class _StepDecorator:
    """What `@step(…)` returns: typed for both kinds of function."""

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncStep[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> SyncStep[P, R]: ...
    def __call__(self, function: Any, /) -> Any:
        raise NotImplementedError  # pragma: no cover - a type only; `step` returns a plain function


def _make_step(function: Any, names: dict[str, Any] | None, options: dict[str, Any]) -> Any:
    if isinstance(function, staticmethod):
        function = function.__func__
    if not callable(function):
        msg = f"@step: {function!r} is not a function"
        raise TypeError(msg)
    kind: Any = AsyncStep if inspect.iscoroutinefunction(function) else SyncStep
    return kind(function, names=names, **options)


def as_step(function: Any) -> Step[..., Any]:
    """A step as it is; a plain function as a step without options."""
    if isinstance(function, Step):
        return function
    made: Step[..., Any] = _make_step(function, None, {})
    return made


class WorkflowDefinition(Generic[P, R]):
    """A durable function.  Made by `@workflow`."""

    __ripresa__ = "workflow"
    kind = "code"

    def __init__(
        self, function: Callable[..., Any], *, names: dict[str, Any] | None, name: str | None, version: str | None
    ) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.name = name or function.__name__
        self.label = version
        self.signature = Signature(function, self.name, names)
        self._output_where = f"output of workflow {self.name}"

    @functools.cached_property
    def body(self) -> str:
        """The source, as recorded with the definition."""
        try:
            return inspect.getsource(self.function)
        except (OSError, TypeError):
            code = self.function.__code__
            return f"{code.co_code.hex()} {code.co_consts!r}"

    @functools.cached_property
    def version(self) -> str:
        """Content hash of the source."""
        return hashlib.blake2b(f"{self.label}\0{self.body}".encode("utf-8", "replace"), digest_size=8).hexdigest()

    @functools.cached_property
    def _forbidden(self) -> ForbiddenInWorkflow | None:
        findings = scan(self.function)
        return ForbiddenInWorkflow("; ".join(str(finding) for finding in findings)) if findings else None

    def call(self, text: str) -> Any:
        """Run the function on an input's JSON text.  Raises ForbiddenInWorkflow before anything has happened."""
        if self._forbidden is not None:
            raise self._forbidden
        args, kwargs = self.signature.decode(text)
        return self.function(*args, **kwargs)

    def encode(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """The input as checked JSON text.  Raises PayloadError, TypeError."""
        return self.signature.encode(args, kwargs)[0]

    def dump(self, value: Any) -> str:
        """The output as checked JSON text.  Raises PayloadError."""
        return self.signature.result.write(value, self._output_where)

    def decode(self, text: str) -> Any:
        """The output from its JSON text.  Raises PayloadError."""
        return self.signature.result.read(text, self._output_where)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        run = current_run()
        if run is not None:
            msg = f"{self.name}: start a workflow from a workflow with child({self.name}, …) or start_child"
            raise NotInWorkflow(msg)
        value: R = self.function(*args, **kwargs)
        return value

    def __repr__(self) -> str:
        return f"<workflow {self.name}>"


@overload
def workflow(function: Callable[P, R], /) -> WorkflowDefinition[P, R]: ...
@overload
def workflow(
    *, name: str | None = None, version: str | None = None
) -> Callable[[Callable[P, R]], WorkflowDefinition[P, R]]: ...
def workflow(function: Any = None, /, *, name: str | None = None, version: str | None = None) -> Any:
    """Make a function (`async def` or `def`) a workflow: durable, deterministic, resumed where it was.

    `name` is its name in the store (the function's, if left out).  `version` is a label: a run goes on with the
    code of the label that it was started with as long as the App has it.
    """
    names = local_names(1)

    def make(target: Any) -> WorkflowDefinition[Any, Any]:
        if not callable(target):
            msg = f"@workflow: {target!r} is not a function"
            raise TypeError(msg)
        return WorkflowDefinition(target, names=names, name=name, version=version)

    return make(function) if function is not None else make


def _duration_us(
    duration: Duration | None, days: float, hours: float, minutes: float, seconds: float, where: str
) -> int:
    extra = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    if duration is None:
        return micros(float(extra), where=where)
    if extra:
        msg = f"{where}: give a duration or days=, hours=, minutes=, seconds=, not both"
        raise TypeError(msg)
    return micros(duration, where=where)


def _timer(run: LiveRun, delay_us: int) -> asyncio.Future[None]:
    return run.timer(delay_us, "sleep")[0]


async def _cancellable(run: LiveRun, delay_us: int) -> None:
    future, handle = run.timer(delay_us, "sleep")
    try:
        await future
    finally:
        handle.cancel()


def sleep(
    duration: Duration | None = None, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0
) -> Coroutine[Any, Any, None]:
    """Wait durably: `await sleep("1h30m")`, `sleep(timedelta)`, `sleep(days=30)`; a crash does not restart it.

    Outside of a workflow it is `asyncio.sleep`.  Raises ValueError for a duration that cannot be read.
    """
    delay_us = _duration_us(duration, days, hours, minutes, seconds, "sleep")
    run = current_run()
    return asyncio.sleep(delay_us / 1e6) if run is None else _cancellable(run, delay_us)


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

    `kind` is its type, checked.  Raises TimeoutError when `timeout` runs out, PayloadError for a signal of another shape.
    """
    run = running("wait_for_signal")
    return within(run, signal_future(run, name, kind), timeout, f"signal {name!r}")


def signal_future(run: LiveRun, name: str, kind: Any) -> asyncio.Future[Any]:
    """A future for the next signal, read as `kind`."""
    from ripresa.author.signature import Type  # noqa: PLC0415 - keeps the module's imports to its story

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
    if condition():
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
