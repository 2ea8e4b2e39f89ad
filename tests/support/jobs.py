"""What tests of jobs share, wherever these run: Works that carry an order, and what keeps their lines."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from ripresa.author.job_step import JobStep
from ripresa.contracts.job_order import JobOrder
from ripresa.contracts.step_context import StepContext
from ripresa.ports.runtime import Work


class Log(list):
    """Lines of output as `(stream, level, text, at)`."""

    def __call__(self, stream, level, text, at=None, /):
        self.append((stream, level, text, at))

    def texts(self, stream="stdout"):
        return [line[2] for line in self if line[0] == stream]


def make_work(log, image="here", *, attempt=1, run=None, **fields):
    """A Work for one attempt of a job of these fields."""
    run = run or str(uuid.uuid4())
    order = JobOrder(**{"name": "extract", "image": image, **fields})
    step = JobStep("extract", runtime="process")
    text, args, kwargs = step.encode((order,), {})
    context = StepContext(
        run_id="order-7",
        run_uuid=run,
        workflow="daily",
        step="extract",
        operation="extract",
        attempt=attempt,
        idempotency_key=f"{run}:extract",
        correlation_id="c-1",
    )
    return Work(step.function, step.target, args, kwargs, text, step.dump, context, log)


async def until(condition):
    """Wait for what a file, a process, a container or a cluster tells."""
    while not condition():  # noqa: ASYNC110 - another process: there is no event for it
        await asyncio.sleep(0.01)


async def left_running(runtime, work, log):
    """Let the engine end under the work, once it has said something."""
    work.leave = True
    running = asyncio.ensure_future(runtime.run(work))
    await until(log.texts)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


def resumed(work, told):
    """The work as the next engine takes it up."""
    work.leave, work.resumed, work.told = False, True, told
    return work
