"""Fan-out: a node's work for each item of a list, a few at a time; outputs in the order of the items."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from ripresa.author.graph.works import Result
from ripresa.contracts.errors import StepFailed
from ripresa.contracts.failure import Failure
from ripresa.contracts.status import FailureClass

if TYPE_CHECKING:
    from collections.abc import Callable

    from ripresa.author.graph.plan import Node, Values

    Begin = Callable[[Node, int | None, Values], asyncio.Future[Any]]

ITEMS_MAX = 1_000_000
"""More are refused: that is a data set, not a list."""


class FanOut(asyncio.Future[Any]):
    """Resolves to a Result: the outputs in order, null for an item that failed and was allowed to.

    The first failure cancels the others and is the node's – unless `min_success` says how many must succeed: then all
    items have their try.  Cancelling it cancels the items.
    """

    @classmethod
    def over(cls, node: Node, values: Values, begin: Begin) -> FanOut:
        """Begin.  Raises TypeError if the items are no list, and what working them out raises."""
        each = node.for_each
        assert each is not None  # noqa: S101 - the caller has looked
        items = each.items(values)
        if not isinstance(items, list | tuple):
            raise TypeError(f"for_each: {type(items).__name__} is not a list")
        if each.batch is not None:
            items = [list(items[start : start + each.batch]) for start in range(0, len(items), each.batch)]
        if len(items) > ITEMS_MAX:
            raise ValueError(f"for_each: {len(items):,} items, and the limit is {ITEMS_MAX:,}; use `batch`")
        if each.min_success is not None and each.min_success > len(items):
            raise ValueError(f"for_each: min_success: {each.min_success} of {len(items)} items cannot be")
        return cls(node, values, items, begin)

    def __init__(self, node: Node, values: Values, items: list[Any], begin: Begin) -> None:
        super().__init__(loop=asyncio.get_running_loop())
        assert node.for_each is not None  # noqa: S101 - `over` has looked
        self._node = node
        self._values = values
        self._items = items
        self._begin = begin
        self._width = node.for_each.max_parallel or len(items)
        self._min_success = node.for_each.min_success
        self._outputs: list[Any] = [None] * len(items)
        self._failures: list[StepFailed] = []
        self._next = 0
        self._open: dict[int, asyncio.Future[Any]] = {}
        self._starting = False
        self._start_more()

    def cancel(self, msg: Any = None) -> bool:
        """Cancel the items and this."""
        self._stop()
        return super().cancel(msg=msg)

    def _stop(self) -> None:
        going, self._open = self._open, {}
        for future in going.values():
            future.cancel()

    def _start_more(self) -> None:
        if self._starting:
            return
        self._starting = True
        try:
            while self._next < len(self._items) and len(self._open) < self._width and not self.done():
                index = self._next
                self._next += 1
                self._start(index)
        finally:
            self._starting = False
        if not self.done() and not self._open and self._next >= len(self._items):
            self._end()

    def _start(self, index: int) -> None:
        values = {**self._values, "item": self._items[index], "index": index}
        try:
            future = self._begin(self._node, index, values)
        except Exception as error:  # noqa: BLE001 - whatever its values raise is the item's failure
            code = getattr(error, "code", "error")
            self._item_failed(index, StepFailed("", Failure.of(error, FailureClass.TERMINAL, code=code), 0))
            return
        self._open[index] = future
        future.add_done_callback(partial(self._ended, index))

    def _ended(self, index: int, future: asyncio.Future[Any]) -> None:
        if self._open.pop(index, None) is None or self.done():
            return
        error: BaseException | None = asyncio.CancelledError() if future.cancelled() else future.exception()
        if error is not None:
            self._item_failed(index, error)
        else:
            try:
                self._outputs[index] = self._node.work.read(future.result()).output
            except Exception as unreadable:  # noqa: BLE001 - as above
                self._item_failed(index, unreadable)
        self._start_more()

    def _item_failed(self, index: int, error: BaseException) -> None:
        failed = self._named(index, error)
        self._failures.append(failed)
        if self._min_success is None or failed.failure_class is FailureClass.QUARANTINE:
            self._stop()
            self.set_exception(failed)

    def _named(self, index: int, error: BaseException) -> StepFailed:
        """The failure under the item's own name."""
        cause = getattr(error, "cause", None)
        if not isinstance(cause, Failure):
            cause = Failure.of(error, FailureClass.TERMINAL)
        return StepFailed(f"{self._node.name}[{index}]", cause, getattr(error, "attempts", 0))

    def _end(self) -> None:
        if self._min_success is not None and len(self._items) - len(self._failures) < self._min_success:
            self.set_exception(self._failures[0])
        else:
            self.set_result(Result(self._outputs))
