"""Greenlets: how a plain call waits in the middle of a callback (see `live`), and how it is called off."""

from __future__ import annotations

import asyncio
import contextvars
from typing import TYPE_CHECKING, Any, NamedTuple

import greenlet

if TYPE_CHECKING:
    from ripresa.kernel.live import LiveRun

IDLE = "idle"
PARKED = "parked"


class Parked(NamedTuple):
    """A callback left half-way: its greenlet, what it waits for, and the task it belongs to."""

    greenlet: greenlet.greenlet
    future: asyncio.Future[Any]
    task: RunTask | None


class RunTask(asyncio.Task[Any]):
    """A task that may be left half-way in a plain call: cancelling it then ends what the call waits for.

    asyncio takes a task that awaits nothing for one that runs: it would be cancelled at its next await,
    long after a time limit around the call has run out.

    Its hash is its number in its run, not its address: a set of tasks, as `asyncio.wait` returns, is gone
    through in the same order on replay.
    """

    __slots__ = ("_called_off", "_number", "context", "parked_on")

    _number: int

    context: contextvars.Context
    """In which its code runs, and is unwound: a token of a context variable is of no use in another."""

    parked_on: asyncio.Future[Any] | None
    """What a plain call of this task waits for."""

    def __init__(self, coro: Any, *, context: contextvars.Context, **options: Any) -> None:
        self.parked_on = None
        self.context = context
        self._called_off = 0
        self._number = next(options["loop"].numbers)
        super().__init__(coro, context=context, **options)

    def __hash__(self) -> int:
        return self._number

    def cancel(self, msg: Any = None) -> bool:
        if self.parked_on is not None and self.parked_on.cancel(msg=msg):
            self._called_off += 1
            return True
        return super().cancel(msg=msg)

    def cancelling(self) -> int:
        return super().cancelling() + self._called_off

    def uncancel(self) -> int:
        if self._called_off:
            self._called_off -= 1
            return self.cancelling()
        return super().uncancel()


class RunFuture(asyncio.Future[Any]):
    """A future of a run; `asyncio.shield`, for one, gives it away, and it may lie in a set as a task does."""

    __slots__ = ("_number",)

    _number: int

    def __init__(self, number: int, loop: Any) -> None:
        self._number = number
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self._number


def number_gatherings(run_loop: Any) -> None:
    """Let what `asyncio.gather` gives away lie in a set as a task does, if its loop is a `run_loop`.

    asyncio makes these futures of a class of its own, past the loop.
    """

    def place(self: Any) -> int:
        loop: Any = self._loop
        if type(loop) is not run_loop:
            return object.__hash__(self)
        number: int | None = getattr(self, "_number", None)
        if number is None:
            number = self._number = next(loop.numbers)
        return number

    asyncio.tasks._GatheringFuture.__hash__ = place  # type: ignore[attr-defined]  # asyncio's own


class Runners:
    """Greenlets to run callbacks in; one serves every run of a thread until a callback parks in it."""

    __slots__ = ("idle",)

    def __init__(self) -> None:
        self.idle: list[greenlet.greenlet] = []
        """Those that have drained their run and may serve another."""

    def take(self) -> greenlet.greenlet:
        """A greenlet that waits for a run to drain."""
        if self.idle:
            return self.idle.pop()
        runner = greenlet.greenlet(_runner)
        runner.switch()  # without the run: what a greenlet is begun with it keeps until it ends
        return runner

    def close(self) -> None:
        """Let the idle ones end here and now, not in the middle of something else when they are collected."""
        while self.idle:
            self.idle.pop().switch(None)


def _runner() -> None:
    """Drain one run after the other.  While idle it holds neither a run nor itself, or both would stay for ever."""
    run: LiveRun | None = _parent().switch(IDLE)
    while run is not None:
        run.drain()
        run = None
        run = _parent().switch(IDLE)


def _parent() -> greenlet.greenlet:
    parent = greenlet.getcurrent().parent
    assert parent is not None  # noqa: S101 - only the main greenlet has none, and it is no runner
    return parent
