"""Between a cancel that is in the journal and code that does not know of it yet, no attempt starts."""

import asyncio

import pytest

from ripresa import App, Retry, Retryable, RunCancelled, context, step, workflow
from ripresa.stores.memory import MemoryStore

pytestmark = pytest.mark.own_store  # it holds up what is asked of the memory store


class Slow(MemoryStore):
    """What it is asked to read of runs it tells when `go` is set."""

    go = None

    async def load(self, ids):
        if self.go is not None:
            await self.go.wait()
        return await super().load(ids)


def flaky_until(last, calls):
    @step(retry=Retry(max_attempts=last, delay="50ms", multiplier=1))
    async def flaky():
        calls.append(context().attempt)
        if context().attempt < last:
            raise Retryable("not yet")

    return flaky


async def cancelled_while_its_code_is_read(definition, calls):
    """Its second attempt falls due meanwhile; the attempts made by then, and the run, whose code then learns all."""
    store = Slow()
    async with App(store, [definition], evict_after=0) as app:
        run = await app.start(definition)
        while not calls:  # noqa: ASYNC110 - a step tells nobody
            await asyncio.sleep(0.001)
        store.go = asyncio.Event()
        await app.cancel(run)
        held = app.engine.held[run.uuid]
        while not held.at_bay and len(calls) == 1:  # noqa: ASYNC110 - the same
            await asyncio.sleep(0.001)
        before = list(calls)
        store.go.set()
        with pytest.raises(RunCancelled):
            await run.result("60s")
        slots = app.engine.attempts.free_share
    return before, slots


async def test_no_attempt_starts_after_the_cancel():
    calls = []
    flaky = flaky_until(9, calls)

    @workflow
    async def patient():
        await flaky()

    assert await cancelled_while_its_code_is_read(patient, calls) == ([1], 1.0)
    assert calls == [1]


async def test_what_the_code_still_wants_starts_when_it_knows():
    calls = []
    flaky = flaky_until(2, calls)

    @workflow
    async def stubborn():
        work = asyncio.ensure_future(flaky())
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            await work
            raise

    assert await cancelled_while_its_code_is_read(stubborn, calls) == ([1], 1.0)
    assert calls == [1, 2]
