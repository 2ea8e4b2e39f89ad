"""Tasks: attempts that workers elsewhere carry out – putting them out, and taking in what comes of them.

    attempt ─> row on disk ─> carrier ─ ─ ─ > worker: claim, renew …, report ─> store
       ^                        ^                                                │
       │              sweep: nobody has claimed it in time                        │
       └── outcome, or lost: its worker's lease ran out <── look: news, or a second has passed

The row is what counts.  What the carrier loses – a broker that was wiped, a message that was never sent – is carried
again; what comes twice finds the row claimed.  The row is removed in the transaction that records the outcome, or when
nobody wants it any more: its worker sees that at its next sign of life, and ends the work.  An engine that ends leaves
its rows, and the next one takes in what was reported meanwhile.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ripresa.contracts.errors import StoreUnavailable
from ripresa.contracts.failure import Failure
from ripresa.contracts.job_order import JobOrder, JobResult
from ripresa.contracts.payload import dump, load
from ripresa.contracts.status import TERMINAL, FailureClass, RunStatus
from ripresa.ports.tasks import Task
from ripresa.runtimes import JobFailed, RemoteError, TookTooLong, WorkerLost

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ripresa.contracts.step_context import StepContext
    from ripresa.engine.engine import Engine
    from ripresa.ports.runtime import Work
    from ripresa.ports.tasks import Carrier, TaskState

logger = logging.getLogger("ripresa.engine")

_LOOK_S = 1.0
"""How often is looked though nothing was heard."""
_TIDY_S = 60.0
_REST_S = 0.02
_AT_ONCE = 500
_AGAIN_MAX = 1_000
"""So many are sent again by one look, as new ones stand in line behind them."""


class _Awaited:
    """A task that an attempt of ours waits for."""

    __slots__ = ("carried_at", "future", "limit_us", "queue", "task")

    def __init__(self, task: Task, limit_us: int | None) -> None:
        self.task = task.id
        self.queue = task.queue
        self.limit_us = limit_us
        """How long it may wait for a worker."""
        self.carried_at = task.at
        self.future: asyncio.Future[str] = asyncio.get_running_loop().create_future()


class Tasks:
    """The runtime whose work is done by workers elsewhere; `carrier` tells them of it."""

    adopts = True
    keeps_limits = True
    """A worker ends what takes too long: the time in the queue does not count."""
    forgets_with_outcome = True
    """What is kept of an attempt is in the store, and goes in the transaction that records the outcome."""
    attempts_max = None

    def __init__(self, engine: Engine, name: str, carrier: Carrier) -> None:
        self._engine = engine
        self._name = name
        self._carrier = carrier
        self._awaited: dict[str, _Awaited] = {}
        self._news = asyncio.Event()
        self._serving: asyncio.Task[None] | None = None
        self._looked_at = 0.0
        self._tidied_at = 0.0

    async def run(self, work: Work) -> str:
        """What the worker reported.  Raises RemoteError for what the work raised, TookTooLong, WorkerLost."""
        context: StepContext = work.context() if callable(work.context) else work.context
        queue = work.options.get("queue") or self._carrier.queue
        limit_s = work.options.get("queue_s")
        task = _task(work, context, self._name, queue, self._engine.now())
        awaited = _Awaited(task, None if limit_s is None else int(limit_s * 1e6))
        if not work.resumed:
            await self._put_out(task)  # who looked for it before it is on disk would take it for gone
            self._carrier.carry(queue, [task.id])
        self._awaited[task.id] = awaited
        try:
            self._serve()
            return _output(work, await awaited.future)
        finally:
            if self._awaited.get(task.id) is awaited:
                del self._awaited[task.id]

    def forget(self, context: StepContext) -> None:
        """The outcome is in the open batch, or nobody wants it: so is that there is no task any more."""
        committer = self._engine.committer
        committer.batch.tasks_done.append(task_id(context))
        committer.kick()

    async def left(self) -> list[StepContext]:
        """Nothing is left anywhere but in the store, which is tidied as long as the engine lives."""
        return []

    async def close(self) -> None:
        """Whoever made the carrier closes it."""

    def heard(self) -> None:
        """Somebody else has written: it may be a report."""
        self._news.set()

    async def _put_out(self, task: Task) -> None:
        engine = self._engine
        on_disk: asyncio.Future[None] = engine.loop.create_future()
        engine.committer.batch.tasks.append(task)
        engine.announcing.assigned(task)
        engine.committer.then(lambda _: None if on_disk.done() else on_disk.set_result(None))
        await on_disk

    # --- taking in -----------------------------------------------------------------------------

    def _serve(self) -> None:
        if self._serving is None or self._serving.done():
            self._serving = self._engine.task(self._look_on(), name=f"ripresa tasks of {self._name}")

    async def _look_on(self) -> None:
        while self._awaited:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await self._news.wait()
            self._news.clear()
            try:
                await self._look()
            except StoreUnavailable as error:
                logger.warning("cannot look for what workers have reported, trying again: %s", error)
                await asyncio.sleep(_LOOK_S)
            await asyncio.sleep(_REST_S)

    async def _look(self) -> None:
        """Take in what was reported; now and then look at those of which nothing was."""
        ids = list(self._awaited)
        for start in range(0, len(ids), _AT_ONCE):
            outcomes = await self._engine.store.task_outcomes(ids[start : start + _AT_ONCE])
            for task, outcome in outcomes.items():
                self._settle(task, outcome)
        now = self._engine.loop.time()
        if now >= self._looked_at + _LOOK_S:
            self._looked_at = now
            await self._look_after()
        if now >= self._tidied_at + _TIDY_S:
            self._tidied_at = now
            await self._tidy()

    async def _look_after(self) -> None:
        """Find what is gone, what nobody works on any more, and what nobody has claimed."""
        known: dict[str, TaskState] = {}
        ids = list(self._awaited)
        for start in range(0, len(ids), _AT_ONCE):
            known |= {state.id: state for state in await self._engine.store.tasks(ids[start : start + _AT_ONCE])}
        unclaimed: dict[str, list[_Awaited]] = {}
        for awaited in [one for task in ids if (one := self._awaited.get(task)) is not None]:
            state = known.get(awaited.task)
            if state is None:
                self._lose(awaited, "its task is gone from the store")
            elif state.outcome is not None:
                self._settle(state.id, state.outcome)
            elif state.worker is None:
                if not self._waited_too_long(awaited, state):
                    unclaimed.setdefault(awaited.queue, []).append(awaited)
            else:
                await self._see_to_lease(awaited, state)
        for queue, group in unclaimed.items():
            await self._carry_again(queue, group)

    async def _see_to_lease(self, awaited: _Awaited, state: TaskState) -> None:
        engine = self._engine
        now = engine.clock.wall()
        if (state.lease_until or 0) <= now and await engine.store.lapse_task(engine.lease, state.id, now=now):
            silent_s = (now - (state.beat_at or now)) / 1e6
            self._lose(awaited, f"worker {state.worker} has given no sign of life for {silent_s:.1f} s")

    async def _carry_again(self, queue: str, group: list[_Awaited]) -> None:
        """Carry as many of those again that waited for long as are missing from the queue, the longest first.

        Which are missing is not known: what is sent though it is there is claimed once all the same.  A long queue from
        which workers have just fetched some is not doubled by that.
        """
        now = self._engine.now()
        late = [one for one in group if now - one.carried_at >= self._carrier.resend_us]
        if not late:
            return
        depth = await self._carrier.depth(queue)
        if depth is None or depth >= len(group):
            return
        late = sorted(late, key=lambda one: one.carried_at)[: min(len(group) - depth, _AGAIN_MAX)]
        logger.info("%d tasks of queue %s were claimed by nobody: they are sent again", len(late), queue)
        for one in late:
            one.carried_at = now
        self._carrier.carry(queue, [one.task for one in late])

    def _waited_too_long(self, awaited: _Awaited, state: TaskState) -> bool:
        if awaited.limit_us is None or self._engine.now() - state.at < awaited.limit_us:
            return False
        why = f"no worker took step {state.step!r} from queue {state.queue!r} within {awaited.limit_us / 1e6:g} s"
        failure = Failure(
            type="ripresa.JobFailed", message=why, failure_class=FailureClass.TERMINAL, code="queue_timeout"
        )
        if not awaited.future.done():
            awaited.future.set_exception(JobFailed(failure))
        return True

    def _settle(self, task: str, outcome: str) -> None:
        awaited = self._awaited.get(task)
        if awaited is not None and not awaited.future.done():
            awaited.future.set_result(outcome)

    def _lose(self, awaited: _Awaited, why: str) -> None:
        if not awaited.future.done():
            awaited.future.set_exception(WorkerLost(why))

    async def _tidy(self) -> None:
        """Remove the tasks of runs that have ended: their engine died before it could."""
        engine = self._engine
        left = [state for state in await engine.store.tasks() if state.id not in self._awaited]
        statuses = await engine.store.statuses(sorted({state.run for state in left}))
        over = [one.id for one in left if RunStatus(statuses.get(one.run, "cancelled")) in TERMINAL]
        if over:
            engine.committer.batch.tasks_done.extend(over)
            engine.committer.kick()


def carriers_of(runtimes: Mapping[str, Any]) -> dict[str, Carrier]:
    """Those of them that only carry, and whose work is done by way of the store."""
    return {name: runtime for name, runtime in runtimes.items() if hasattr(runtime, "carry")}


def task_id(context: StepContext) -> str:
    """The same for the same attempt, on whichever engine, and never for another."""
    mark = f"{context.idempotency_key}\0{context.attempt}".encode()
    return hashlib.blake2b(mark, digest_size=16).hexdigest()


def _task(work: Work, context: StepContext, runtime: str, queue: str, now: int) -> Task:
    order = work.args[0] if work.args and isinstance(work.args[0], JobOrder) else None
    told: dict[str, Any] = {"context": context.to_json(), "limit_s": work.options.get("limit_s")}
    if order is not None and work.target == f"job:{order.name}":
        told["order"] = order.to_json()
    else:
        told |= {"target": work.target, "input": work.input}
    return Task(
        task_id(context),
        context.run_uuid,
        context.operation,
        context.attempt,
        context.step,
        runtime,
        queue,
        dump(told),
        now,
    )


def _output(work: Work, text: str) -> str:
    """What an outcome as it was reported comes to."""
    told = load(text)
    if "failure" in told:
        raise RemoteError(Failure.from_json(told["failure"]))
    if "timeout" in told:
        raise TookTooLong(f"it took longer than {told['timeout']:g} s")
    if "lost" in told:
        raise WorkerLost(told["lost"])
    output: str = told["output"]
    if "job" in told:
        return work.dump(JobResult.load(output))
    return output
