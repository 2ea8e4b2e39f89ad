"""The simulated machine: an event loop with its own time and its own idea of order, and processes on it.

    ready handles ── one drawn at random ──> run it, unless its process is dead (dropped) or stopped (kept)
    nothing ready ── jump to the next timer

Owns order and time; knows nothing of ripresa.  Invariant: all that happens is a function of the seed.
A handle belongs to the process in whose context it was made, so killing a process is simply never to
run a handle of it again: no `finally`, no cancellation, as with `kill -9`.
"""

# ruff: noqa: SLF001 - a loop of another order is made of asyncio's own parts

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import heapq
import inspect
import itertools
import warnings
from typing import TYPE_CHECKING, Any

from ripresa.testing.clock import EPOCH_US

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from random import Random

    from ripresa.ports.clock import Clock

_TURN_S = 5e-6
"""What a turn costs; so busy waiting takes time, and does not stop it."""

PROCESS: contextvars.ContextVar[Process | None] = contextvars.ContextVar("ripresa_sim_process", default=None)
"""The process whose code is running; None: the harness itself."""


class Stuck(Exception):
    """Nothing is ready and no timer is set, yet the scenario has not ended."""


class Process:
    """Something that can be killed, or stopped for a while and continued."""

    __slots__ = ("context", "dead", "gone", "name", "stash", "stopped")

    def __init__(self, name: str, gone: asyncio.Future[str]) -> None:
        self.name = name
        self.dead = False
        self.stopped = False
        self.gone = gone
        """Resolves, with the reason, when nobody should count on this process any more."""
        self.stash: list[asyncio.Handle] = []
        self.context = contextvars.copy_context()
        self.context.run(PROCESS.set, self)

    def leave(self, reason: str) -> None:
        """Tell the harness that it is of no more use."""
        if not self.gone.done():
            self.gone.set_result(reason)


class _Future(asyncio.Future[Any]):
    """A future that sets of futures order the same way in each run."""

    __slots__ = ("_place",)

    _place: int

    def __hash__(self) -> int:
        return self._place

    def __eq__(self, other: object) -> bool:
        return self is other


class _Task(asyncio.Task[Any]):
    """A task of which the same is true."""

    def __init__(self, *args: Any, place: int, **kwargs: Any) -> None:
        self._place = place
        super().__init__(*args, **kwargs)

    def __hash__(self) -> int:
        return self._place

    def __eq__(self, other: object) -> bool:
        return self is other


class SimLoop(asyncio.BaseEventLoop):
    """An asyncio loop without sockets, threads or real time."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        self._random = random
        self._now = 0.0
        self._ready: list[asyncio.Handle] = []  # any place of it is taken from
        self._places = itertools.count()
        self._kept: list[asyncio.Task[Any]] = []
        self.turns = 0
        self.turns_max = 200_000
        self.errors: list[dict[str, Any]] = []
        factory: Any = self._make_task  # its type differs between Python versions
        self.set_task_factory(factory)
        self.set_exception_handler(lambda _, context: self.errors.append(context))

    def time(self) -> float:
        """Virtual seconds since the simulation began."""
        return self._now

    def create_future(self) -> asyncio.Future[Any]:
        future = _Future(loop=self)
        future._place = next(self._places)
        return future

    def _make_task(self, loop: Any, coro: Coroutine[Any, Any, Any], **kwargs: Any) -> asyncio.Task[Any]:
        task = _Task(coro, loop=self, place=next(self._places), **kwargs)
        self._kept.append(task)
        return task

    def _run_once(self) -> None:
        ready = self._ready
        scheduled: list[Any] = self._scheduled  # type: ignore[attr-defined]  # asyncio's own
        random = self._random.random
        while not self._stopping:  # type: ignore[attr-defined]  # asyncio's own
            self._now += _TURN_S
            if not ready or (scheduled and scheduled[0]._when <= self._now):
                self._move_on(scheduled)
            place = int(random() * len(ready))
            handle, ready[place] = ready[place], ready[-1]
            ready.pop()
            self.turns += 1
            if self.turns > self.turns_max:
                raise Stuck(f"still busy after {self.turns} turns, {self._now:.1f} virtual seconds")
            if handle._cancelled:
                continue
            process = handle._context.get(PROCESS)  # type: ignore[attr-defined]  # asyncio's own
            if process is not None:
                if process.dead:
                    continue
                if process.stopped:
                    process.stash.append(handle)
                    continue
            handle._run()

    def _move_on(self, scheduled: list[Any]) -> None:
        """Make ready all timers that are due; if nothing else is ready, move time to the first."""
        ready = self._ready
        while True:
            while scheduled and scheduled[0]._cancelled:
                heapq.heappop(scheduled)._scheduled = False
            if not ready:
                if not scheduled:
                    raise Stuck(f"nothing left to do at {self._now:.3f} virtual seconds")
                self._now = max(self._now, scheduled[0]._when)
            if not scheduled or scheduled[0]._when > self._now:
                return
            timer = heapq.heappop(scheduled)
            timer._scheduled = False
            ready.append(timer)

    def _timer_handle_cancelled(self, handle: Any) -> None:
        """Cancelled timers are passed over when their time comes."""

    def _process_events(self, event_list: Any) -> None:
        """There is nothing to select."""

    def _write_to_self(self) -> None:
        """Nobody sleeps in a selector."""

    def kill(self, process: Process, reason: str) -> None:
        """Never run anything of this process again."""
        process.dead = True
        process.stash.clear()
        process.leave(reason)

    def stop_process(self, process: Process, seconds: float) -> None:
        """As SIGSTOP does; SIGCONT comes after `seconds`."""
        process.stopped = True
        process.leave("stopped")
        contextvars.Context().run(self.call_later, seconds, self._continue, process)

    def _continue(self, process: Process) -> None:
        process.stopped = False
        stash, process.stash = process.stash, []
        self._ready.extend(stash)

    def spawn(self, process: Process, coro: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Start a task inside a process."""
        task: asyncio.Task[Any] = process.context.run(self.create_task, coro)
        return task

    def let_go(self) -> None:
        """The end: what never finished is dropped in silence."""
        self._ready.clear()
        self._scheduled.clear()  # type: ignore[attr-defined]  # asyncio's own
        asyncio._set_running_loop(self)  # what unwinds may ask for it
        try:
            for task in asyncio.all_tasks(self):
                task._log_destroy_pending = False  # type: ignore[attr-defined]  # asyncio's own switch for this
                with contextlib.suppress(BaseException), warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    _close(task.get_coro())
        finally:
            asyncio._set_running_loop(None)
        self._kept.clear()
        self._ready.clear()
        self.close()

    def _check_closed(self) -> None:
        """What is left over may still ask; nothing comes of it."""


def _close(coro: Any) -> None:
    """Close a coroutine, and those that it was to await if it never began."""
    if inspect.getcoroutinestate(coro) == inspect.CORO_CREATED:
        for value in coro.cr_frame.f_locals.values():
            if inspect.iscoroutine(value):
                _close(value)
    coro.close()


class SimClock:
    """The clock port over a SimLoop; leases run on virtual time too, so that they can be outlived."""

    def __init__(self, loop: SimLoop) -> None:
        self._loop = loop
        self._handle: asyncio.TimerHandle | None = None

    def now(self) -> int:
        """Virtual microseconds since 1970, UTC."""
        return EPOCH_US + round(self._loop.time() * 1e6)

    wall = now

    def wake_at(self, due: int | None, wake: Callable[[], None]) -> None:
        """As the port has it."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        if due is not None:
            when = max((due - EPOCH_US) / 1e6, self._loop.time())
            self._handle = self._loop.call_at(when, wake)

    def idle(self) -> None:
        """The loop jumps by itself."""


class SimSources:
    """Ids and jitter drawn from the seed; ids rise with time, as version 7 UUIDs do."""

    def __init__(self, random: Random, clock: Clock) -> None:
        self._random = random
        self._clock = clock
        self._last = 0

    def new_id(self) -> str:
        """A version 7 UUID, later than those before."""
        from ripresa.engine.sources import uuid7_text  # noqa: PLC0415 - the engine is above this file's matter

        self._last = tick = max(self._clock.now() * 1000 // 244, self._last + 1)
        return uuid7_text(tick, self._random.getrandbits(62))

    def jitter(self) -> float:
        """A number in [0, 1)."""
        return self._random.random()
