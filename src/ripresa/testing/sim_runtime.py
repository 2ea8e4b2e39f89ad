"""The simulated runtimes: steps run on the loop, one way for all, and each call is in the ledger."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING

from ripresa.contracts.step_context import STEP_CONTEXT
from ripresa.runtimes import StepExited, WorkerLost
from ripresa.testing.evidence import Call
from ripresa.testing.faults import Kind

if TYPE_CHECKING:
    from ripresa.ports.runtime import Work
    from ripresa.testing.world import World


class SimRuntime:
    """Stands for inline, thread and process; a `def` step is called in place."""

    attempts_max = None

    def __init__(self, world: World) -> None:
        self._world = world

    async def run(self, work: Work) -> str:
        """Call the function once (twice, if a fault says so) and note it in the ledger."""
        world = self._world
        fault = await world.cross("step")
        if fault in (Kind.ERROR_BEFORE, Kind.UNKNOWN_BEFORE):
            raise WorkerLost("the worker was lost before the call (simulated)")
        try:
            output, call = await self._call(work)
            if fault is Kind.DUPLICATE:
                await self._call(work, duplicate=True)
        except Exception:
            await self._strike(fault)
            raise
        await self._strike(fault)
        if fault is Kind.ERROR_AFTER:
            call.lost = True
            raise WorkerLost("the worker was lost after the call (simulated)")
        return output

    async def _strike(self, fault: Kind | None) -> None:
        if fault in (Kind.CRASH_AFTER, Kind.HANG_AFTER):
            await self._world.strike(fault)

    async def _call(self, work: Work, *, duplicate: bool = False) -> tuple[str, Call]:
        world = self._world
        context = work.context() if callable(work.context) else work.context
        call = Call(
            world.next_order(), world.clock.now(), context.run_uuid, context.operation, context.step, context.attempt,
            context.idempotency_key, work.input, world.process_name(), world.epoch(), duplicate=duplicate,
        )  # fmt: skip
        world.calls.append(call)
        world.trace("call", call.key, call.attempt)
        STEP_CONTEXT.set(context)  # of this task alone
        try:
            value = work.function(*work.args, **work.kwargs)
            if inspect.isawaitable(value):
                value = await value
            output = work.dump(value)
        except asyncio.CancelledError as error:
            self._ended(call, None, "cancelled")
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise StepExited(error) from error
        except Exception as error:
            self._ended(call, None, repr(error))
            raise
        self._ended(call, output, None)
        return output, call

    def _ended(self, call: Call, output: str | None, error: str | None) -> None:
        call.ended, call.ended_at = self._world.next_order(), self._world.clock.now()
        call.output, call.error = output, error

    async def close(self) -> None:
        """Nothing is held."""
