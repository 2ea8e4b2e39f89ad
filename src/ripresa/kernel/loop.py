"""The loop: an asyncio event loop that turns only when the kernel turns it.

One instance per live run.  Coroutines, tasks, `gather`, `TaskGroup`, `wait`, `timeout`, `Event` and
`Queue` are asyncio's own; what is ours is the queue of callbacks they are run from, and the clock.

    asyncio.sleep ── call_later ──> a durable timer (an operation of the run)
    await step()  ── future ──────> a step's outcome (an operation of the run)
    task.wakeup   ── call_soon ───> the ready queue, first in, first out

Order is therefore a function of the order in which outcomes arrive, and that is the journal's order.
A callback may be left half-way: a plain call of a step switches from the callback's greenlet back to
the engine (`live.LiveRun.block`), and the callback goes on when the outcome is there.

Invariant: nothing here reads a clock, opens a file or starts a thread; each such method raises.
"""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import zlib
from collections import deque
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from ripresa.contracts.errors import ForbiddenInWorkflow
from ripresa.kernel.greenlets import RunFuture, RunTask, number_gatherings

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

SCOPE: contextvars.ContextVar[str] = contextvars.ContextVar("ripresa_scope", default="")
"""Path of the task in which operations are asked for, as `resize_all/`; part of their identity."""


class Discarded(BaseException):
    """Thrown into workflow code whose run leaves memory: unwind, ask for nothing."""


class Handle:
    """A callback in the ready queue."""

    __slots__ = ("_args", "_callback", "_cancelled", "_context")

    def __init__(
        self, callback: Callable[..., object], args: tuple[Any, ...], context: contextvars.Context | None
    ) -> None:
        self._callback = callback
        self._args = args
        self._context = context if context is not None else contextvars.copy_context()
        self._cancelled = False

    def cancel(self) -> None:
        self._cancelled = True

    def cancelled(self) -> bool:
        return self._cancelled

    def run(self) -> None:
        self._context.run(self._callback, *self._args)


class Timer(Handle):
    """A durable timer; `asyncio.sleep` and `asyncio.timeout` hold these."""

    __slots__ = ("due", "fingerprint", "id", "kind", "line", "name", "owner")

    def __init__(
        self,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: contextvars.Context | None,
        owner: Host,
        due: int,
    ) -> None:
        super().__init__(callback, args, context)
        self.owner = owner
        self.due = due
        self.kind = "timer"
        self.id = ""
        self.name = "timer"
        self.fingerprint = 0
        self.line = ""

    def when(self) -> float:
        return self.due / 1e6

    def cancel(self) -> None:
        if not self._cancelled:
            super().cancel()
            self.owner.timer_cancelled(self)


class Host(Protocol):
    """What the loop asks of the run it belongs to."""

    seed: str
    now_us: int
    discarding: bool

    def timer_set(self, timer: Timer) -> None:
        """A timer was asked for."""

    def timer_cancelled(self, timer: Timer) -> None:
        """A timer is not wanted any more."""

    def task_scope(self, coro: Any) -> str | None:
        """Scope of a new task's operations; None: its parent's."""

    def task_created(self, task: asyncio.Task[Any]) -> None:
        """A task was created."""

    def task_error(self, context: dict[str, Any]) -> None:
        """A callback raised, or an error was never looked at."""


class _Gone:
    """In place of a run that has left memory: nothing can be asked of it."""

    seed = ""
    now_us = 0
    discarding = True

    def timer_set(self, timer: Timer) -> NoReturn:
        raise Discarded

    def timer_cancelled(self, timer: Timer) -> None:
        """Nobody waits for it."""

    def task_scope(self, coro: Any) -> NoReturn:
        raise Discarded

    def task_created(self, task: asyncio.Task[Any]) -> NoReturn:
        raise Discarded

    def task_error(self, context: dict[str, Any]) -> None:
        """Nobody looks."""


GONE = _Gone()


class RunLoop(asyncio.AbstractEventLoop):
    """The part of `asyncio.AbstractEventLoop` that deterministic code may use."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.ready: deque[Handle] = deque()
        self.numbers = itertools.count(zlib.crc32(host.seed.encode()) << 16)
        """Of tasks and futures, as they are made: the same on replay, others in other runs (asyncio keeps all tasks in
        one set)."""

    # --- what works ----------------------------------------------------------------------

    def time(self) -> float:
        return self.host.now_us / 1e6

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_soon(  # type: ignore[override]  # our Handle is slimmer than asyncio's
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> Handle:
        handle = Handle(callback, args, context)
        if not self.host.discarding:
            self.ready.append(handle)
        return handle

    def call_later(  # type: ignore[override]  # as call_soon
        self, delay: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> Handle:
        return self._call_at_us(self.host.now_us + round(delay * 1e6), callback, args, context)

    def call_at(  # type: ignore[override]  # as call_soon
        self, when: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> Handle:
        return self._call_at_us(round(when * 1e6), callback, args, context)

    def _call_at_us(
        self, due: int, callback: Callable[..., object], args: tuple[Any, ...], context: contextvars.Context | None
    ) -> Handle:
        if due <= self.host.now_us:
            return self.call_soon(callback, *args, context=context)
        timer = Timer(callback, args, context, self.host, due)
        self.host.timer_set(timer)
        return timer

    def create_future(self) -> asyncio.Future[Any]:
        return RunFuture(next(self.numbers), self)

    def create_task(  # type: ignore[override]  # the generic signature differs between Python versions
        self,
        coro: Coroutine[Any, Any, Any],
        *,
        name: str | None = None,
        context: contextvars.Context | None = None,
        **_: Any,
    ) -> asyncio.Task[Any]:
        if self.host.discarding:
            coro.close()
            raise Discarded
        scope = self.host.task_scope(coro)
        if context is None:
            context = contextvars.copy_context()
        if scope is not None:
            context.run(SCOPE.set, scope)
        task = RunTask(coro, loop=self, name=name or scope or "task", context=context)
        self.host.task_created(task)
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.host.task_error(context)

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        self.host.task_error(context)

    def _timer_handle_cancelled(self, handle: Any) -> None:
        """Only asyncio's own timer handles call this, and there are none here."""


def _refuse(name: str, remedy: str) -> Callable[..., NoReturn]:
    def refused(self: RunLoop, *_: Any, **__: Any) -> NoReturn:  # noqa: ARG001 - any call of it is refused
        msg = f"loop.{name}() in workflow code: a replay cannot repeat it; {remedy}"
        raise ForbiddenInWorkflow(msg)

    refused.__name__ = name
    return refused


_IO = "move the I/O into an async @step and await that"
_THREAD = "move the work into a def @step (it runs in a thread) and call that"
_LOOP = "workflow code is driven by ripresa; await what you need"
for _name, _remedy in {
    **dict.fromkeys(
        [
            *("create_connection", "create_server", "create_unix_connection", "create_unix_server", "start_tls"),
            *("create_datagram_endpoint", "connect_accepted_socket", "sendfile", "connect_read_pipe"),
            *("connect_write_pipe", "subprocess_shell", "subprocess_exec", "add_reader", "remove_reader"),
            *("add_writer", "remove_writer", "sock_recv", "sock_recv_into", "sock_recvfrom", "sock_recvfrom_into"),
            *("sock_sendall", "sock_sendto", "sock_connect", "sock_accept", "sock_sendfile", "getaddrinfo"),
            *("getnameinfo", "add_signal_handler", "remove_signal_handler"),
        ],
        _IO,
    ),
    **dict.fromkeys(
        ["run_in_executor", "call_soon_threadsafe", "set_default_executor", "shutdown_default_executor"], _THREAD
    ),
    **dict.fromkeys(["run_forever", "run_until_complete", "stop", "close"], _LOOP),
}.items():
    setattr(RunLoop, _name, _refuse(_name, _remedy))
number_gatherings(RunLoop)
