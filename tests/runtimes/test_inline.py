from __future__ import annotations

import asyncio
import sys

import pytest

from ripresa.contracts.step_context import STEP_CONTEXT
from ripresa.runtimes import StepExited
from ripresa.runtimes.inline import InlineRuntime


async def test_the_output_comes_back_as_json(make_work):
    async def double(number, *, times):
        await asyncio.sleep(0)
        return {"doubled": number * times}

    assert await InlineRuntime().run(make_work(double, 4, times=2)) == '{"doubled":8}'


async def test_the_step_sees_its_context_and_nobody_does_afterwards(make_work):
    async def key():
        return STEP_CONTEXT.get().idempotency_key

    assert await InlineRuntime().run(make_work(key)) == '"order-7:charge"'
    assert STEP_CONTEXT.get() is None


async def test_what_the_step_raises_passes_through(make_work):
    async def fail():
        raise KeyError("no such order")

    with pytest.raises(KeyError, match="no such order"):
        await InlineRuntime().run(make_work(fail))
    assert STEP_CONTEXT.get() is None


async def test_a_cancellation_reaches_the_step_before_it_passes_on(make_work):
    seen = []
    begun = asyncio.Event()

    async def wait():
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("tidied")

    task = asyncio.create_task(InlineRuntime().run(make_work(wait)))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["tidied"]


async def test_a_step_that_exits_fails_and_the_engine_lives(make_work):
    async def leave():
        sys.exit(3)

    with pytest.raises(StepExited, match=r"SystemExit\(3\)"):
        await InlineRuntime().run(make_work(leave))


async def test_a_cancellation_of_the_steps_own_making_is_a_failure(make_work):
    async def give_up():
        raise asyncio.CancelledError

    with pytest.raises(StepExited, match="CancelledError"):
        await InlineRuntime().run(make_work(give_up))


async def test_closing_twice_is_fine():
    runtime = InlineRuntime()
    await runtime.close()
    await runtime.close()
