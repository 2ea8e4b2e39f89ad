"""The simulated broker and its workers: they lose ids, double them and hold them up, fall silent and come back.

    engine ── carry ──> id under way ── lost, doubled, late ──> worker: claim, call, renew …, report ──> disk

Workers are nobody's process: an engine that dies takes none with it.  Each call is in the ledger as `remote`; one
whose worker fell silent is `lost`, since another may be made beside it.
"""

from __future__ import annotations

import asyncio
import itertools
from contextvars import Context
from typing import TYPE_CHECKING, Any

from ripresa.contracts.failure import Failure
from ripresa.contracts.payload import dump, load
from ripresa.contracts.status import FailureClass
from ripresa.contracts.step_context import STEP_CONTEXT, StepContext
from ripresa.testing.evidence import Call

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from ripresa.ports.tasks import Task
    from ripresa.testing.world import World

_LOST, _DOUBLED, _SILENT = 0.1, 0.2, 0.15
"""So many ids are lost on the way; so many more come twice; so many workers fall silent."""
_WAY_LOG = -3.0, 0.0
"""The way to a worker takes 1 ms to 1 s, evenly over the logarithm."""
_SILENCE_LEASES = 3.0


class SimBroker:
    """What carries tasks to workers, for all engines of a world."""

    queue = "far"
    lease_us = 1_500_000
    resend_us = 2_000_000
    attempts_max = None

    def __init__(self, world: World, steps: dict[str, Any]) -> None:
        self._world = world
        self._steps = steps
        self._names = (f"worker-{number}" for number in itertools.count(1))
        self._under_way = 0
        self._workers: list[asyncio.Task[None]] = []

    def carry(self, queue: str, tasks: Sequence[str]) -> None:
        """As the port has it."""
        for task in tasks:
            drawn = self._world.random.random() if self._world.plan.active else 1.0
            for _ in range(0 if drawn < _LOST else 2 if drawn < _LOST + _DOUBLED else 1):
                self._under_way += 1
                shortest, longest = _WAY_LOG
                seconds = 10 ** (shortest + self._world.random.random() * (longest - shortest))
                Context().run(self._world.loop.call_later, seconds, self._arrived, task)

    async def depth(self, queue: str) -> int | None:
        """As the port has it."""
        return self._under_way

    async def close(self) -> None:
        """It is everybody's."""

    def _arrived(self, task: str) -> None:
        self._under_way -= 1
        self._workers.append(self._world.loop.create_task(self._work(task)))

    async def _work(self, id: str) -> None:
        world, name = self._world, next(self._names)
        await world.outside.open()
        task = await world.outside.claim_task(
            id, worker=name, token=name, now=world.clock.now(), lease_us=self.lease_us
        )
        if task is None:
            return
        silent = world.plan.active and world.random.random() < _SILENT
        call, work = self._call(task, name)
        call.lost = silent
        if silent:
            world.plan.note("silent worker")
            await asyncio.sleep(world.random.random() * _SILENCE_LEASES * self.lease_us / 1e6)
        doing = world.loop.create_task(work)
        while not doing.done():
            await asyncio.wait([doing], timeout=self.lease_us / 3e6)
            if not doing.done() and not await self._goes_on(id, name):
                doing.cancel()
        if not doing.cancelled():
            await world.outside.report_task(id, name, doing.result(), now=world.clock.now())

    async def _goes_on(self, task: str, token: str) -> bool:
        world = self._world
        return await world.outside.renew_task(task, token, now=world.clock.now(), lease_us=self.lease_us)

    def _call(self, task: Task, worker: str) -> tuple[Call, Coroutine[Any, Any, str]]:
        """The entry in the ledger, and what gives the report."""
        world, told = self._world, load(task.work)
        context = StepContext.from_json(told["context"])
        call = Call(
            world.next_order(), world.clock.now(), context.run_uuid, context.operation, context.step, context.attempt,
            context.idempotency_key, told["input"], worker, 0, remote=True,
        )  # fmt: skip
        world.calls.append(call)
        world.trace("call", call.key, call.attempt)

        async def work() -> str:
            STEP_CONTEXT.set(context)
            step = self._steps[context.step]
            try:
                call.output = step.dump(await step.function(**load(told["input"])))
            except asyncio.CancelledError:
                call.error = "cancelled"
                raise
            except Exception as error:  # noqa: BLE001 - it is reported
                call.error = repr(error)
                failure_class = getattr(error, "failure_class", FailureClass.RETRYABLE)
                return dump({"failure": Failure.of(error, failure_class).to_json()})
            finally:
                call.ended, call.ended_at = world.next_order(), world.clock.now()
            return dump({"output": call.output})

        return call, work()
