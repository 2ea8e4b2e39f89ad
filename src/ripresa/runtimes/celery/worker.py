"""A worker's own end: claims tasks of the store, carries them out, and reports.

    take(id) ─> slot ─> claim under a token of ours ─> runtime.run ─> report
                                   │                       │
                                   └── a sign of life, and the lines so far, now and then
                                         └── not ours any more: the work is ended

All of it lives on one thread with a loop of its own, whatever carries the ids.  Python steps run in processes of their
own, jobs in containers or processes, so that a step can be killed, and cannot take the worker down.  Invariant: what
is not ours any more – cancelled, or given up for lost – is ended, and nothing of it is written.  A worker that cannot
reach the store for as long as its lease lasts ends its work itself: by then another may have begun.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import socket
import threading
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from ripresa.contracts.errors import StoreError, StoreUnavailable
from ripresa.contracts.failure import Failure
from ripresa.contracts.job_order import JobOrder, JobResult
from ripresa.contracts.payload import dump, load
from ripresa.contracts.status import FailureClass
from ripresa.contracts.step_context import StepContext
from ripresa.ports.clock import SystemClock
from ripresa.ports.rows import LogLine
from ripresa.ports.runtime import Work
from ripresa.ports.tasks import WorkerState
from ripresa.runtimes import RemoteError, RuntimeClosed, WorkerLost
from ripresa.runtimes.jobs import job_runtimes
from ripresa.runtimes.process import ProcessRuntime
from ripresa.stores import open_store

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from ripresa.ports.runtime import Runtime
    from ripresa.ports.store import Store
    from ripresa.ports.tasks import Task
    from ripresa.runtimes.celery.settings import CelerySettings

logger = logging.getLogger("ripresa.worker")

PATIENCE_S: Final = 1.0
"""How long a message waits for a free slot before it goes back to the queue."""
_LOOK_S: Final = 1.0
_TELL_S: Final = 5.0
_AGAIN_S: Final = 0.2
_UP_WITHIN_S: Final = 30.0
"""How long a worker that starts waits for its store; then it ends, and whoever started it may do so again."""
_CLAIM_TRIES: Final = 10
_JOB_GRACE_S: Final = 10.0


class _Doing:
    """A task that is being carried out."""

    def __init__(self, task: Task, token: str) -> None:
        self.task = task
        self.token = token
        self.lines: list[LogLine] = []
        self.told_at = monotonic()
        """When the store last heard of it."""
        self.running: asyncio.Future[str] | None = None
        self.ended: str | None = None
        """Why it was ended: `gone`, or the worker's own end."""

    def end(self, why: str) -> None:
        """Stop the work, for this reason."""
        if self.ended is None:
            self.ended = why
        if self.running is not None:
            self.running.cancel()


class TaskWorker:
    """Carries out tasks of a store, `slots` at a time; `take` may be called from any thread."""

    def __init__(
        self, store: str, settings: CelerySettings, *, name: str, slots: int, queues: Sequence[str] = ()
    ) -> None:
        self._url = store
        self._settings = settings
        self._name = name
        self._slots = slots
        self._queues = list(queues)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._up = threading.Event()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._serve, name="ripresa worker", daemon=True)
        self._doing: dict[str, _Doing] = {}
        self._under_way: set[asyncio.Task[None]] = set()
        self._closing = False
        self._free: asyncio.Semaphore
        self._over: asyncio.Event
        self._store: Store
        self._clock = SystemClock()
        self._runtimes: dict[str, Runtime] = {}

    # --- from other threads --------------------------------------------------------------------

    def start(self) -> None:
        """Open the store and begin; raises what keeps it from that."""
        self._thread.start()
        self._up.wait()
        if self._failed is not None:
            raise self._failed

    def take(self, task: str) -> bool:
        """Claim the task and begin with it; True also if it is nobody's to do.  False: another may try."""
        try:
            return bool(self._call(self._take(task)))
        except RuntimeError:  # it is ending
            return False

    def stop(self, grace_s: float) -> None:
        """Take no more, let go on what is under way for so long, then end it and report it as lost.  Twice is fine."""
        with suppress(RuntimeError):
            self._call(self._end(grace_s))
        self._thread.join()

    def _call(self, work: Coroutine[Any, Any, Any]) -> Any:
        loop = self._loop
        if loop is None or loop.is_closed():
            work.close()
            raise RuntimeError("the worker has ended")
        return asyncio.run_coroutine_threadsafe(work, loop).result()

    # --- its life ------------------------------------------------------------------------------

    def _serve(self) -> None:
        try:
            asyncio.run(self._live())
        except BaseException as error:
            self._failed = error
            if self._up.is_set():
                logger.exception("the worker has ended")
        finally:
            self._up.set()

    async def _live(self) -> None:
        self._store = open_store(self._url)
        try:
            await self._come_up()
            self._free = asyncio.Semaphore(self._slots)
            self._over = asyncio.Event()
            jobs = job_runtimes(grace_s=_JOB_GRACE_S)
            self._runtimes = {"python": ProcessRuntime(self._slots), **jobs, "process": jobs["subprocess"]}
            looking = asyncio.create_task(self._look_on())
            self._loop = asyncio.get_running_loop()
            self._up.set()
            await self._over.wait()
            looking.cancel()
            for runtime in self._runtimes.values():
                await runtime.close()
            with suppress(StoreError):
                await self._store.remove_worker(self._name)
        finally:
            await self._store.close()

    async def _come_up(self) -> None:
        """Open the store, and say that we are here; tried for a while if it is out of reach.  Raises StoreError."""
        deadline = monotonic() + _UP_WITHIN_S
        while True:
            try:
                await self._store.open()
                await self._clock.follow(self._store.time)
                await self._tell()
            except StoreUnavailable as error:
                if monotonic() > deadline:
                    raise
                logger.warning("the store is out of reach, trying again: %s", error)
                await asyncio.sleep(_AGAIN_S)
            else:
                return

    async def _end(self, grace_s: float) -> None:
        self._closing = True
        if self._under_way:
            logger.info("%d tasks are under way; they have %g s to end", len(self._under_way), grace_s)
            await asyncio.wait(self._under_way, timeout=grace_s)
        for doing in list(self._doing.values()):
            doing.end("the worker was told to end")
        if self._under_way:
            await asyncio.wait(self._under_way)
        self._over.set()

    async def _look_on(self) -> None:
        """Give signs of life, and see what is not ours any more, for ever."""
        told_at = monotonic()
        while True:
            await asyncio.sleep(min(_LOOK_S, self._settings.lease_us / 3e6))
            try:
                await self._look()
                if monotonic() >= told_at + _TELL_S:
                    await self._tell()
                    await self._clock.follow(self._store.time)
                    told_at = monotonic()
            except StoreError as error:
                logger.warning("the store is out of reach, trying again: %s", error)
            lease_s = self._settings.lease_us / 1e6
            for doing in list(self._doing.values()):
                if monotonic() - doing.told_at > lease_s:
                    logger.warning("step %s is ended: the store was out of reach for too long", doing.task.step)
                    doing.end("gone")

    async def _look(self) -> None:
        doing = list(self._doing.values())
        if not doing:
            return
        known = {state.id: state for state in await self._store.tasks([one.task.id for one in doing])}
        for one in doing:
            state = known.get(one.task.id)
            if state is None or state.worker != self._name:
                self._gone(one)
            elif one.lines or monotonic() - one.told_at >= self._settings.lease_us / 3e6:
                await self._renew(one)

    async def _renew(self, doing: _Doing) -> None:
        lines, doing.lines = doing.lines, []
        asked_at = monotonic()
        try:
            kept = await self._store.renew_task(
                doing.task.id, doing.token, now=self._clock.wall(), lease_us=self._settings.lease_us, logs=lines
            )
        except StoreError:
            doing.lines = lines + doing.lines
            raise
        if kept:
            doing.told_at = asked_at
        elif doing.task.id in self._doing:
            self._gone(doing)

    def _gone(self, doing: _Doing) -> None:
        if doing.ended is None and doing.task.id in self._doing:
            logger.info("step %s of run %s is ended: its task was taken back", doing.task.step, doing.task.run)
            doing.end("gone")

    async def _tell(self) -> None:
        about = {"host": socket.gethostname(), "pid": os.getpid(), "queues": self._queues, "slots": self._slots}
        now = self._clock.wall()
        if not hasattr(self, "_since"):
            self._since = now
        await self._store.put_worker(WorkerState(self._name, "celery", json.dumps(about), self._since, now))

    # --- one task ------------------------------------------------------------------------------

    async def _take(self, task_id: str) -> bool:
        if self._closing:
            return False
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._free.acquire()
        except TimeoutError:
            return False
        token = secrets.token_hex(16)
        try:
            task = await self._claim(task_id, token)
        except StoreError as error:
            logger.warning("a task goes back to its queue, as the store is out of reach: %s", error)
            self._free.release()
            return False
        if task is None:
            self._free.release()
            return True
        doing = self._doing[task.id] = _Doing(task, token)
        under_way = asyncio.create_task(self._do(doing), name=f"ripresa task {task.id}")
        self._under_way.add(under_way)
        under_way.add_done_callback(self._under_way.discard)
        return True

    async def _claim(self, task_id: str, token: str) -> Task | None:
        """Ours now, or None; asked again with the same token while no answer comes.  Raises StoreError."""
        for tries in range(_CLAIM_TRIES):
            try:
                return await self._store.claim_task(
                    task_id,
                    worker=self._name,
                    token=token,
                    now=self._clock.wall(),
                    lease_us=self._settings.lease_us,
                )
            except StoreError:
                if tries == _CLAIM_TRIES - 1:
                    raise
                await asyncio.sleep(_AGAIN_S)
        raise AssertionError  # pragma: no cover - the last try returns or raises

    async def _do(self, doing: _Doing) -> None:
        logger.info("step %s of run %s begins, attempt %d", doing.task.step, doing.task.run, doing.task.attempt)
        try:
            outcome = await self._outcome(doing)
            if outcome is not None:
                await self._report(doing, dump(outcome))
        finally:
            self._doing.pop(doing.task.id, None)
            self._free.release()

    async def _outcome(self, doing: _Doing) -> dict[str, Any] | None:
        """What came of it, to report; None: nobody wants to know."""
        limit_s: float | None = None
        try:
            told = load(doing.task.work)
            limit_s = told["limit_s"]
            runtime, work = self._work(doing, told)
            async with asyncio.timeout(limit_s):
                doing.running = asyncio.ensure_future(runtime.run(work))
                if doing.ended is not None:  # before it had begun
                    doing.running.cancel()
                output = await doing.running
        except asyncio.CancelledError:
            return None if doing.ended in {None, "gone"} else {"lost": doing.ended}
        except TimeoutError:
            return {"timeout": limit_s}
        except RemoteError as error:
            return {"failure": error.failure.to_json()}
        except (WorkerLost, RuntimeClosed) as error:
            return {"lost": str(error)}
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the attempt's outcome
            return {"failure": Failure.of(error, FailureClass.TERMINAL, code="cannot_start").to_json()}
        return {"output": output, "job": True} if "order" in told else {"output": output}

    def _work(self, doing: _Doing, told: dict[str, Any]) -> tuple[Runtime, Work]:
        context = StepContext.from_json(told["context"])
        loop = asyncio.get_running_loop()

        def log(stream: str, level: str | None, text: str, at: int | None = None, /) -> None:
            at = self._clock.wall() if at is None else at
            line = LogLine(context.run_uuid, context.operation, context.attempt, at, stream, level, text)
            loop.call_soon_threadsafe(doing.lines.append, line)

        if "order" in told:
            order = JobOrder.from_json(told["order"])
            work = Work(_never, f"job:{order.name}", (order,), {}, "", JobResult.dump, context, log)
            return self._runtimes[self._settings.jobs], work
        return self._runtimes["python"], Work(_never, told["target"], (), {}, told["input"], dump, context, log)

    async def _report(self, doing: _Doing, outcome: str) -> None:
        """Tell the store until it has heard."""
        await asyncio.sleep(0)  # lines that other threads have handed over
        while True:
            try:
                kept = await self._store.report_task(
                    doing.task.id, doing.token, outcome, now=self._clock.wall(), logs=doing.lines
                )
            except StoreError as error:
                logger.warning("the outcome of step %s cannot be reported, trying again: %s", doing.task.step, error)
                if self._closing and doing.ended is not None:
                    return
                await asyncio.sleep(_AGAIN_S)
                continue
            if not kept:
                logger.warning(
                    "the outcome of step %s of run %s is refused: it was given up", doing.task.step, doing.task.run
                )
            return


def _never() -> None:
    """The function of a step is found by its target, in another process."""
