"""The thread runtime: `def` steps in daemon threads, so that they never block the engine's loop.

A thread cannot be killed.  A cancelled step's thread is *abandoned*: nobody waits for it, its result
is dropped, it no longer counts against `threads_max`, and it ends with the call it is in.  The threads
are our own because those of `concurrent.futures` are joined at exit, where an abandoned one would hang.

    run ──job──> SimpleQueue ──> thread: call ──> _finished ──one call_soon_threadsafe──> _deliver ──> run

Invariant: live threads that are not abandoned <= threads_max.  Everything but `_serve` runs on the loop.
"""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import threading
from collections import deque
from queue import SimpleQueue
from typing import TYPE_CHECKING

from ripresa.contracts.step_context import STEP_CONTEXT
from ripresa.runtimes import RuntimeClosed, StepExited, WorkerLost

if TYPE_CHECKING:
    from ripresa.ports.runtime import Work

_names = itertools.count(1)


class _Job:
    """One work on its way through a thread.  `dropped` and `started` change under the runtime's lock."""

    __slots__ = ("context", "dropped", "error", "future", "output", "started", "work")

    def __init__(self, work: Work, future: asyncio.Future[None]) -> None:
        self.work = work
        self.future = future
        self.context = contextvars.copy_context()
        self.started = False
        self.dropped = False
        self.output = ""
        self.error: BaseException | None = None

    def call(self) -> None:
        try:
            self.output = self.context.run(_call, self.work)
        except BaseException as error:  # noqa: BLE001 - handed to the awaiting task, whatever it is
            self.error = error


def _call(work: Work) -> str:
    STEP_CONTEXT.set(work.context)
    return work.dump(work.function(*work.args, **work.kwargs))


class ThreadRuntime:
    """Calls plain functions in at most `threads_max` threads; more work waits its turn."""

    def __init__(self, threads_max: int = 32) -> None:
        if threads_max < 1:
            raise ValueError(f"threads_max: {threads_max} is not a positive number")
        self.threads_max = threads_max
        self._lock = threading.Lock()
        self._queue: SimpleQueue[_Job | None] = SimpleQueue()
        self._pending: set[_Job] = set()
        self._threads = 0
        self._abandoned = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._finished: deque[_Job] = deque()
        self._delivery_asked = False
        self._closed = False

    @property
    def attempts_max(self) -> int:
        """As many as there may be threads, those apart that nobody waits for."""
        return self.threads_max

    @property
    def abandoned(self) -> int:
        """How many threads still run a step that nobody waits for."""
        return self._abandoned

    @property
    def threads(self) -> int:
        """How many threads serve work."""
        return self._threads

    async def run(self, work: Work) -> str:
        """Call the function in a thread; a cancellation passes on at once and leaves the thread behind."""
        if self._closed:
            raise RuntimeClosed("the thread runtime is closed")
        job = self._submit(work)
        try:
            await job.future
        except asyncio.CancelledError:
            self._drop(job)
            raise
        finally:
            self._pending.discard(job)
        return _outcome(job)

    async def close(self) -> None:
        """Abandon running work, refuse waiting work, let the idle threads end; closing twice is fine."""
        self._closed = True
        for job in list(self._pending):
            self._drop(job)
            if not job.future.done():
                job.future.set_exception(RuntimeClosed("the thread runtime was closed under the step"))
        for _ in range(self._threads):
            self._queue.put(None)

    # --- on the loop -----------------------------------------------------------------------

    def _submit(self, work: Work) -> _Job:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._delivery_asked = loop, False
        job = _Job(work, loop.create_future())
        self._pending.add(job)
        self._start_thread_if_wanted()
        if not self._threads:
            self._pending.discard(job)
            raise WorkerLost("cannot start a thread: the machine has no more of them")
        self._queue.put(job)
        return job

    def _start_thread_if_wanted(self) -> None:
        if self._closed or self._threads >= min(self.threads_max, len(self._pending)):
            return
        thread = threading.Thread(target=self._serve, name=f"ripresa-step-{next(_names)}", daemon=True)
        with self._lock:
            self._threads += 1
        try:
            thread.start()
        except RuntimeError:  # no more threads to be had: those that we have do the work
            with self._lock:
                self._threads -= 1

    def _drop(self, job: _Job) -> None:
        """Nobody waits for `job` any more: it is not begun, or its thread is left behind."""
        with self._lock:
            if job.dropped:
                return
            job.dropped = True
            if job.started:
                self._threads -= 1
                self._abandoned += 1
        self._pending.discard(job)
        self._start_thread_if_wanted()

    def _deliver(self) -> None:
        # Cleared before draining: a job appended after the drain asks again, none is left lying.
        self._delivery_asked = False
        while self._finished:
            job = self._finished.popleft()
            if not job.future.done():
                job.future.set_result(None)

    # --- in a thread -----------------------------------------------------------------------

    def _serve(self) -> None:
        while (job := self._queue.get()) is not None:
            with self._lock:
                if job.dropped:
                    continue
                job.started = True
            job.call()
            with self._lock:
                if job.dropped:
                    self._abandoned -= 1
                    return
                job.started = False
            self._finished.append(job)
            self._ask_delivery()
            del job
        with self._lock:
            self._threads -= 1

    def _ask_delivery(self) -> None:
        if self._delivery_asked or self._loop is None:
            return
        self._delivery_asked = True
        try:
            self._loop.call_soon_threadsafe(self._deliver)
        except RuntimeError:  # the loop is closed: nobody waits
            self._delivery_asked = False


def _outcome(job: _Job) -> str:
    error = job.error
    if error is None:
        return job.output
    if isinstance(error, (SystemExit, KeyboardInterrupt, asyncio.CancelledError)):
        raise StepExited(error) from error
    try:
        raise error
    finally:
        job.error = error = None  # the traceback holds this frame: break the cycle
