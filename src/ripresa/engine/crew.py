"""The crew: tasks that run attempts, one after another.

A task of its own for each attempt costs more than many an attempt: the task, a turn of the loop, a
handle.  A crew member is a task that lasts.  It takes what is ready and drives it, each in a context
of its own; what ends without waiting is done in one go.  The first wait in an attempt makes the member
that attempt's own task until the end, and another member takes what is left:

    member 1: a ✓ b ✓ c ┄ waits ┄┄┄┄┄┄┄┄┄┄┄┄┄┄ c ✓
    member 2:             d ✓ e ✓ (idle)

To the attempt all is as in a task: `current_task()`, cancellation, `timeout` and `TaskGroup` work, and
context variables that it sets are gone with it.
"""

from __future__ import annotations

import asyncio
import contextvars
import types
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator


class Job(Protocol):
    """What the crew runs: `work` makes the coroutine; `member` is the task that drives it, while it does."""

    member: asyncio.Task[None] | None
    ended: bool

    def work(self) -> Coroutine[Any, Any, None]:
        """The coroutine, which deals with its own errors; not asked for if the job has ended before its turn."""


class Crew:
    """Runs jobs; the coroutines deal with their own errors."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._ready: deque[Job] = deque()
        self._idle: list[asyncio.Future[None]] = []
        self._members: set[asyncio.Task[None]] = set()
        self._called = False
        self._closed = False

    def add(self, job: Job) -> None:
        """Run the job at the loop's next turn."""
        self._ready.append(job)
        if not self._called:
            self._call()

    def close(self) -> None:
        """Let the idle members go; the others go when their attempt ends."""
        self._closed = True
        for future in self._idle:
            if not future.done():
                future.set_result(None)
        self._idle.clear()

    def _call(self) -> None:
        """Have a member take what is ready."""
        self._called = True
        while self._idle:
            future = self._idle.pop()
            if not future.done():
                future.set_result(None)
                return
        member = self._loop.create_task(self._serve(), name="ripresa attempts")
        self._members.add(member)
        member.add_done_callback(self._members.discard)

    async def _serve(self) -> None:
        member = asyncio.current_task()
        assert member is not None  # noqa: S101 - a coroutine of a task
        ready = self._ready
        while True:
            while ready:
                job = ready.popleft()
                if job.ended:
                    continue
                job.member = member
                await self._drive(job.work())
                job.member = None
                while member.cancelling():
                    member.uncancel()
            self._called = False
            if self._closed:
                return
            future = self._loop.create_future()
            self._idle.append(future)
            await future

    @types.coroutine
    def _drive(self, coro: Coroutine[Any, Any, None]) -> Generator[Any, Any, None]:
        run = contextvars.copy_context().run
        send: Callable[[Any], Any] = coro.send
        throw: Callable[[Any], Any] = coro.throw
        try:
            waited = run(send, None)
        except StopIteration:
            return
        # It waits: this member is its own from here on.
        self._called = False
        if self._ready:
            self._call()
        while True:
            try:
                value = yield waited
            except BaseException as error:  # noqa: BLE001 - passed on to the coroutine
                step, value = throw, error
            else:
                step = send
            try:
                waited = run(step, value)
            except StopIteration:
                return
