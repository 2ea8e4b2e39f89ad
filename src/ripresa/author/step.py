"""Steps: functions whose outcome is recorded.

A step is called the way its function is: an `async def` step is awaited, a `def` step returns its
value; outside of a workflow both are plain functions.  `step.start(…)` gives a handle for either.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Generic, Literal, ParamSpec, Protocol, TypeVar, cast, overload

from ripresa.author.running import StepHandle, running
from ripresa.author.signature import Signature, local_names
from ripresa.contracts.durations import Duration, micros
from ripresa.contracts.labels import labels_of
from ripresa.kernel.live import current_run
from ripresa.kernel.retry import Retry
from ripresa.kernel.saga import UNDO

if TYPE_CHECKING:
    from collections.abc import Awaitable, Generator

    from ripresa.contracts.failure import Failure
    from ripresa.contracts.labels import Labels
    from ripresa.kernel.live import LiveRun

P = ParamSpec("P")
R = TypeVar("R")

Runtime = Literal["inline", "thread", "process", "celery"]

UNDO_RETRY = Retry(max_attempts=5, delay="1s", on_exhausted="quarantine")


class StepCall(Coroutine[Any, Any, R]):
    """An awaited call of an async step: asked for when it is awaited, as a coroutine would."""

    __slots__ = ("_args", "_iterator", "_kwargs", "_run", "_step")
    __ripresa_call__ = True

    def __init__(self, run: LiveRun, step: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._run = run
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
        self._iterator = iterator = self._run.schedule(self._step, self._args, self._kwargs).__await__()
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
    given = 0
    """How many parameters, the first ones, its runtime hands in."""

    def __init__(self, function: Callable[..., Any], *, names: dict[str, Any] | None, **options: Any) -> None:
        functools.update_wrapper(cast("Any", self), function)
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
        self.effect: str | Callable[..., str] | None = options.get("effect")
        self.at_most_once = bool(options.get("at_most_once"))
        if self.at_most_once and self.retry is not None and self.retry.max_attempts != 1:
            msg = f"step {self.name}: at_most_once and a retry contradict each other; leave one of them out"
            raise ValueError(msg)
        self.pool: str | None = options.get("pool")
        self.pool_key: str | Callable[..., object] | None = options.get("pool_key")
        if self.pool_key is not None and self.pool is None:
            msg = f"step {self.name}: pool_key says whose turn it is in a pool, and there is no pool; give it one"
            raise ValueError(msg)
        self.labels = labels_of(options.get("labels"), where=f"step {self.name}: labels")
        """What it needs of the engine that carries it out."""
        self.must_succeed = False
        """If it fails for good the run is set aside for a person."""
        self.tells_quarantine = False
        """If it is set aside, its program is told and decides what that means for the run."""
        self.measured: Callable[[str | None, Failure | None], str | None] | None = None
        """What its outcome (output, failure) tells of its data's quality, as JSON text; None: it tells of none."""
        self.signature = Signature(function, self.name, names, given=self.given)
        self._output_where = f"output of step {self.name}"
        self.encode = self.signature.encode

    @property
    def target(self) -> str:
        """Where another process finds the function."""
        return f"{self.function.__module__}:{self.function.__qualname__}"

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
            "at_most_once": self.at_most_once,
            "effect": self.effect,
            "pool": self.pool,
            "pool_key": self.pool_key,
            "labels": self.labels,
        }
        require_known("using()", options, current)
        changed = type(self)(self.function, names=None, **{**current, **options})
        changed.signature = self.signature
        return changed

    def undoing(self, text: str, output: str, operation: str) -> Callable[[], Awaitable[Any]]:
        """What undoes the call `text` that gave `output` as `operation`, as a step of the workflow."""
        undo = as_undo(self.compensate)
        args, kwargs = self.decode_input(text)
        if "result" in undo.signature.names and "result" not in self.signature.names:
            kwargs = {**kwargs, "result": self.decode(output)}
        return lambda: running(undo.name).schedule(undo, args, kwargs, identity=f"{UNDO}{operation}")

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        msg = f"step {self.name} is a function of its arguments alone: declare it outside of the class"
        raise TypeError(msg)


class AsyncStep(Step[P, R]):
    """An `async def` step."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        run = current_run()
        if run is None:
            outside: Coroutine[Any, Any, R] = self.function(*args, **kwargs)
            return outside
        if self.key is not None:
            return _keyed(self, args, kwargs)
        return StepCall(run, self, args, kwargs)


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


_STEP_OPTIONS = (
    "name",
    "retry",
    "timeout",
    "runtime",
    "compensate",
    "key",
    "at_most_once",
    "effect",
    "pool",
    "pool_key",
    "labels",
)


def require_known(what: str, given: Any, known: Any) -> None:
    """Raise TypeError for an option that is not known, with the nearest that is."""
    for name in given:
        if name not in known:
            from difflib import get_close_matches  # noqa: PLC0415 - only for the message

            near = get_close_matches(name, list(known), 1)
            hint = f'; did you mean "{near[0]}"?' if near else f" (there are: {', '.join(known)})"
            msg = f"{what}: unknown option {name!r}{hint}"
            raise TypeError(msg)


@overload
def step(  # type: ignore[overload-overlap]  # an async def is a def too; the first that fits is meant
    function: Callable[P, Coroutine[Any, Any, R]], /
) -> AsyncStep[P, R]: ...
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
    at_most_once: bool = False,
    effect: str | Callable[..., str] | None = None,
    pool: str | None = None,
    pool_key: str | Callable[..., object] | None = None,
    labels: Labels | None = None,
) -> _StepDecorator: ...
def step(function: Any = None, /, **options: Any) -> Any:
    """Make a function a step: its outcome is recorded, retried as `retry` says, and never repeated once recorded.

    `name` is its name in the history (the function's, if left out).  `timeout` limits one attempt, and stops the
    work.  `runtime` is "inline" (async def), "thread" or "process".  `compensate` undoes it when the
    run fails: it gets the step's arguments, and the output if it has a parameter `result`.  `at_most_once` is for what
    must not be done twice and cannot be asked about: cut off by a crash, it is not attempted again, and raises
    StepInterrupted in the workflow.  `effect` names what it does, as a text or a function of its arguments: whichever
    run's step succeeds first under that name does it, and all others get its output.  `pool` names a capacity that it
    waits for before each attempt; within one, the keys take turns that `pool_key` gives, a text or a function of its
    arguments.  `labels` are those that the engine must have which carries it out, as `{"gpu": "a100"}` or `{"gpu"}`:
    the run goes to one that has them, or waits for it.
    Raises TypeError for an unknown option, ValueError for a value out of range.
    """
    require_known("@step", options, _STEP_OPTIONS)
    names = local_names(1)
    if function is not None:
        return _make_step(function, names, options)
    return lambda target: _make_step(target, names, options)


class _StepDecorator(Protocol):
    """What `@step(…)` returns: typed for both kinds of function."""

    @overload
    def __call__(  # type: ignore[overload-overlap]  # as `step`
        self, function: Callable[P, Coroutine[Any, Any, R]], /
    ) -> AsyncStep[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> SyncStep[P, R]: ...


def _make_step(function: Any, names: dict[str, Any] | None, options: dict[str, Any]) -> Any:
    if isinstance(function, staticmethod):
        function = function.__func__
    if not callable(function):
        msg = f"@step: {function!r} is not a function"
        raise TypeError(msg)
    kind: Any = AsyncStep if inspect.iscoroutinefunction(function) else SyncStep
    return kind(function, names=names, **options)


def as_undo(function: Any) -> Step[..., Any]:
    """A step that undoes: tried a few times unless it says how often, and set aside for a person if it fails."""
    declared = as_step(function)
    retry = declared.retry if declared.at_most_once else declared.retry or UNDO_RETRY
    undo: Step[..., Any] = declared.using(retry=retry)
    undo.must_succeed = True
    return undo


def as_step(function: Any) -> Step[..., Any]:
    """A step as it is; a plain function as a step without options."""
    if isinstance(function, Step):
        return function
    made: Step[..., Any] = _make_step(function, None, {})
    return made
