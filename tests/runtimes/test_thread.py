from __future__ import annotations

import asyncio
import contextvars
import subprocess
import sys
import threading

import pytest

from ripresa.contracts.step_context import STEP_CONTEXT
from ripresa.runtimes import RuntimeClosed, StepExited, WorkerLost
from ripresa.runtimes.thread import ThreadRuntime

flavour = contextvars.ContextVar("flavour", default="plain")


@pytest.fixture
async def runtime():
    runtime = ThreadRuntime(threads_max=2)
    yield runtime
    await runtime.close()


class Held:
    """A step that stays until let go, and says that it began."""

    def __init__(self):
        self.begun = threading.Event()
        self.let_go = threading.Event()
        self.ended = threading.Event()
        self.__module__, self.__qualname__ = "m", "Held"

    def __call__(self):
        self.begun.set()
        self.let_go.wait()
        self.ended.set()
        return "too late"


async def until(event):
    await asyncio.get_running_loop().run_in_executor(None, event.wait)


async def test_the_function_runs_in_another_thread_and_its_output_comes_back(runtime, make_work):
    def where(number):
        return [threading.current_thread() is threading.main_thread(), number]

    assert await runtime.run(make_work(where, 5)) == "[false,5]"


async def test_context_variables_are_carried(runtime, make_work):
    def look():
        return [flavour.get(), STEP_CONTEXT.get().attempt]

    flavour.set("lemon")
    assert await runtime.run(make_work(look)) == '["lemon",1]'
    assert STEP_CONTEXT.get() is None


@pytest.mark.parametrize("error", [KeyError("k"), StopIteration(4), ExceptionGroup("g", [ValueError("v")])])
async def test_what_the_step_raises_passes_through(runtime, make_work, error):
    def fail():
        raise error

    # A coroutine cannot raise StopIteration: Python makes it a RuntimeError, with it as the cause.
    with pytest.raises(RuntimeError if isinstance(error, StopIteration) else type(error)) as caught:
        await runtime.run(make_work(fail))
    assert error in {caught.value, caught.value.__cause__}


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError()])
async def test_a_step_that_exits_fails_and_the_engine_lives(runtime, make_work, error):
    def leave():
        raise error

    with pytest.raises(StepExited):
        await runtime.run(make_work(leave))


async def test_a_cancelled_step_is_left_behind_and_its_place_is_free(runtime, make_work):
    held = [Held(), Held()]
    tasks = [asyncio.create_task(runtime.run(make_work(step))) for step in held]
    for step in held:
        await until(step.begun)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert all(task.cancelled() for task in tasks)
    assert runtime.abandoned == 2

    assert await runtime.run(make_work(lambda: 1)) == "1"

    for step in held:
        step.let_go.set()
        await until(step.ended)


async def test_waiting_work_gets_the_place_of_an_abandoned_thread(make_work):
    runtime = ThreadRuntime(threads_max=1)
    step = Held()
    first = asyncio.create_task(runtime.run(make_work(step)))
    await until(step.begun)
    second = asyncio.create_task(runtime.run(make_work(lambda: 2)))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == "2"
    step.let_go.set()
    await runtime.close()


async def test_work_cancelled_before_its_turn_never_begins(make_work):
    runtime = ThreadRuntime(threads_max=1)
    step, calls = Held(), []
    first = asyncio.create_task(runtime.run(make_work(step)))
    await until(step.begun)
    second = asyncio.create_task(runtime.run(make_work(lambda: calls.append(2))))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.wait([second])
    step.let_go.set()
    assert await first == '"too late"'
    assert await runtime.run(make_work(lambda: 3)) == "3"
    assert (calls, runtime.abandoned) == ([], 0)
    await runtime.close()


async def test_with_no_more_threads_to_be_had_those_that_run_do_the_work(make_work, monkeypatch):
    runtime = ThreadRuntime(threads_max=4)
    assert await runtime.run(make_work(lambda: 1)) == "1"

    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert await asyncio.gather(*(runtime.run(make_work(lambda: 1)) for _ in range(9))) == ["1"] * 9
    with pytest.raises(WorkerLost, match="cannot start a thread"):
        await ThreadRuntime().run(make_work(lambda: 1))
    await runtime.close()


async def test_never_more_threads_than_allowed(make_work):
    runtime = ThreadRuntime(threads_max=4)
    names = set()
    outputs = await asyncio.gather(
        *(runtime.run(make_work(lambda n=n: [names.add(threading.current_thread().name), n][1])) for n in range(1000))
    )
    assert outputs == [str(n) for n in range(1000)]
    assert len(names) <= 4
    await runtime.close()


async def test_closing_refuses_waiting_work_and_leaves_running_work_behind(make_work):
    runtime = ThreadRuntime(threads_max=1)
    step = Held()
    tasks = [asyncio.create_task(runtime.run(make_work(work))) for work in (step, lambda: 2)]
    await until(step.begun)
    await runtime.close()
    await runtime.close()
    for error in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(error, RuntimeClosed)
    with pytest.raises(RuntimeClosed):
        await runtime.run(make_work(lambda: 3))
    step.let_go.set()


def test_an_abandoned_thread_does_not_hold_up_the_exit():
    code = """
import asyncio, time
from ripresa.ports.runtime import Work
from ripresa.runtimes.thread import ThreadRuntime

async def main():
    runtime = ThreadRuntime()
    work = Work(lambda: time.sleep(3600), "m:f", (), {}, "[[],{}]", str, None, print)
    try:
        await asyncio.wait_for(runtime.run(work), 0.1)
    except TimeoutError:
        print("abandoned", runtime.abandoned)
    await runtime.close()

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout == "abandoned 1\n"


def test_a_pool_of_no_threads_is_refused():
    with pytest.raises(ValueError, match="threads_max: 0"):
        ThreadRuntime(threads_max=0)
