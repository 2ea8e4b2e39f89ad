"""Fan-out: one step or workflow over many items, a few at a time, results in the order of the items."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar, overload

from ripresa.author.code import Step, WorkflowDefinition, running
from ripresa.contracts.errors import ChildFailed, StepFailed
from ripresa.kernel.loop import SCOPE

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine, Iterable

    from ripresa.contracts.failure import Failure
    from ripresa.kernel.live import LiveRun
    from ripresa.kernel.operations import Operation

T = TypeVar("T")
R = TypeVar("R")
T_contra = TypeVar("T_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)


class OfOneArgument(Protocol[T_contra, R_co]):
    """A step or workflow that can be called with one argument."""

    @property
    def __ripresa__(self) -> str: ...

    def __call__(self, item: T_contra, /) -> R_co:
        """Call it."""


@overload
async def map_(
    target: OfOneArgument[T, Coroutine[Any, Any, R]],
    items: Iterable[T],
    *,
    max_parallel: int | None = None,
    min_success: None = None,
) -> list[R]: ...
@overload
async def map_(
    target: OfOneArgument[T, Coroutine[Any, Any, R]],
    items: Iterable[T],
    *,
    max_parallel: int | None = None,
    min_success: int,
) -> list[R | Failure]: ...
@overload
async def map_(
    target: OfOneArgument[T, R], items: Iterable[T], *, max_parallel: int | None = None, min_success: None = None
) -> list[R]: ...
@overload
async def map_(
    target: OfOneArgument[T, R], items: Iterable[T], *, max_parallel: int | None = None, min_success: int
) -> list[R | Failure]: ...
async def map_(
    target: Any, items: Iterable[Any], *, max_parallel: int | None = None, min_success: int | None = None
) -> list[Any]:
    """Run `target` (a step or workflow of one argument) over `items`; outputs in the order of the items.

    At most `max_parallel` at a time.  The first failure cancels the rest and is raised, unless
    `min_success` is given: then a `Failure` stands in place of each failed output, and StepFailed is
    raised only if fewer than `min_success` items succeeded.
    """
    run = running("map_")
    chosen = list(items)
    _check(target, chosen, max_parallel, min_success)
    starter = _Starter(run, target, chosen)
    return await FanOut(run, len(chosen), starter.start, max_parallel=max_parallel, min_success=min_success).run()


def _check(target: Any, items: list[Any], max_parallel: int | None, min_success: int | None) -> None:
    if not isinstance(target, Step | WorkflowDefinition):
        msg = f"map_: {target!r} is neither a @step nor a @workflow"
        raise TypeError(msg)
    if max_parallel is not None and max_parallel < 1:
        msg = f"map_: max_parallel={max_parallel} would never start; use 1 or more, or None for no limit"
        raise ValueError(msg)
    if min_success is not None and not 0 <= min_success <= len(items):
        msg = f"map_: min_success={min_success} of {len(items)} items cannot be; use 0 to the number of items"
        raise ValueError(msg)


class _Starter:
    """Starts the target for one item, in a scope of the item's own."""

    def __init__(self, run: LiveRun, target: Any, items: list[Any]) -> None:
        self._run = run
        self._target = target
        self._items = items
        self._scope = run.scope_of("item")

    def start(self, index: int) -> Operation:
        item = self._items[index]
        scope = f"{self._scope}[{index}]/"
        if isinstance(self._target, Step):
            return self._run.schedule(self._target, (item,), {}, scope=scope)
        token = SCOPE.set(scope)
        try:
            return self._run.start_child(self._target, self._target.encode((item,), {}), key=None)
        finally:
            SCOPE.reset(token)


class FanOut:
    """`count` operations, at most `max_parallel` at a time; `start(index)` begins one.

    The first failure cancels the rest and is raised – unless `min_success` is given: see `map_`.  `failed` holds the
    indexes that failed.
    """

    def __init__(
        self,
        run: LiveRun,
        count: int,
        start: Callable[[int], Operation],
        *,
        max_parallel: int | None = None,
        min_success: int | None = None,
    ) -> None:
        self._start = start
        self._count = count
        self._width = max_parallel or count
        self._min_success = min_success
        self._results: list[Any] = [None] * count
        self._failures: list[BaseException] = []
        self.failed: set[int] = set()
        self._next = 0
        self._open: dict[int, Operation] = {}
        self._done: asyncio.Future[None] = run.loop.create_future()

    async def run(self) -> list[Any]:
        """The outputs in order of the indexes; in place of one that failed, its `Failure`."""
        if not self._count:
            return []
        try:
            self._start_more()
            await self._done
        finally:
            self._stop()
        if self._min_success is not None and self._count - len(self._failures) < self._min_success:
            raise self._failures[0]
        return self._results

    def _start_more(self) -> None:
        while self._next < self._count and len(self._open) < self._width:
            index = self._next
            self._next += 1
            operation = self._start(index)
            self._open[index] = operation
            operation.add_done_callback(lambda future, at=index: self._finished(at, future))  # type: ignore[misc]

    def _finished(self, index: int, operation: asyncio.Future[Any]) -> None:
        self._open.pop(index, None)
        if self._done.done():
            return
        error = None if operation.cancelled() else operation.exception()
        if error is None:
            self._results[index] = None if operation.cancelled() else operation.result()
        else:
            self._failures.append(error)
            self.failed.add(index)
            if self._min_success is None or not isinstance(error, StepFailed | ChildFailed):
                self._done.set_exception(error)
                return
            self._results[index] = error.cause
        try:
            self._start_more()
        except Exception as unfit:  # noqa: BLE001 - an item that cannot be started fails the map
            self._done.set_exception(unfit)
            return
        if not self._open and self._next >= self._count:
            self._done.set_result(None)

    def _stop(self) -> None:
        for operation in list(self._open.values()):
            operation.cancel()
        self._open.clear()
