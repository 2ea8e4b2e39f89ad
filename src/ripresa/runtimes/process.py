"""The process runtime: steps in worker processes, which can be killed for real and may die alone.

Workers are started when first needed, at most `processes_max`, and used again.  A worker whose step was
cancelled is ended, children and all, and another takes its place; `run` lets the cancellation pass only
when it is dead.  What they run they import by the work's target, so functions need an importable place.
"""

from __future__ import annotations

import asyncio
import os

from ripresa.ports.runtime import Work
from ripresa.runtimes import RuntimeClosed, WorkerLost
from ripresa.runtimes.ending import to_the_end
from ripresa.runtimes.guard import Guard
from ripresa.runtimes.process_handle import WorkerProcess

GRACE_S = 2.0


class ProcessRuntime:
    """Runs functions, plain and async, in processes of their own.

    `grace_s` is how long a cancelled step may tidy up after SIGTERM before SIGKILL ends it; the work's
    options may say otherwise, as they may for `output_bytes_max`, how much of its output is kept.
    """

    def __init__(self, processes_max: int | None = None, *, grace_s: float = GRACE_S) -> None:
        self.processes_max = processes_max if processes_max is not None else (os.cpu_count() or 1)
        if self.processes_max < 1:
            raise ValueError(f"processes_max: {processes_max} is not a positive number")
        self._grace_s = grace_s
        self._slots = asyncio.Semaphore(self.processes_max)
        self._workers: set[WorkerProcess] = set()
        self._idle: list[WorkerProcess] = []
        self._guard = Guard()
        self._closed = False

    @property
    def attempts_max(self) -> int:
        """As many as there may be workers."""
        return self.processes_max

    @property
    def processes(self) -> int:
        """How many worker processes there are."""
        return len(self._workers)

    async def run(self, work: Work) -> str:
        """Run in a worker; raises `RemoteError` for what the step raised, `WorkerLost` if the worker died."""
        self._refuse_if_closed()
        async with self._slots:
            self._refuse_if_closed()
            worker = self._idle.pop() if self._idle else self._start()
            try:
                return await worker.attempt(work)
            except asyncio.CancelledError:
                await to_the_end(worker.stop(work.options.get("grace_s", self._grace_s)))
                raise
            except WorkerLost:
                self._refuse_if_closed()
                raise
            finally:
                if worker.alive:
                    self._idle.append(worker)

    async def close(self) -> None:
        """End all workers, the busy ones too, whose work gets `RuntimeClosed`; closing twice is fine."""
        self._closed = True
        await asyncio.gather(*(worker.stop(self._grace_s) for worker in list(self._workers)))
        await self._guard.close()

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise RuntimeClosed("the process runtime is closed")

    def _start(self) -> WorkerProcess:
        try:
            self._guard.start()
            worker = WorkerProcess(self._on_gone)
        except OSError as error:  # no memory, no descriptors, no processes left: another time perhaps
            raise WorkerLost(f"cannot start a worker process: {error}") from error
        self._workers.add(worker)
        self._guard.watch(worker.pid)
        return worker

    def _on_gone(self, worker: WorkerProcess) -> None:
        self._workers.discard(worker)
        if worker in self._idle:
            self._idle.remove(worker)
        self._guard.forget(worker.pid)
