"""Failures: retries, classes, time limits, quarantine, and lost attempts."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import textwrap
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest

import ripresa
from ripresa import (
    App,
    FailureClass,
    Quarantine,
    Retry,
    Retryable,
    RunFailed,
    RunQuarantined,
    StepFailed,
    Terminal,
    step,
    workflow,
)
from ripresa.runtimes.inline import InlineRuntime
from ripresa.runtimes.thread import ThreadRuntime
from ripresa.stores import open_store


def failing(world, times, retry, error=OSError, **options):
    """A workflow of one step that fails so often, and notes when it was tried."""

    @step(retry=retry, **options)
    async def flaky() -> int:
        world.did(world.clock.now())
        if len(world.ledger) <= times:
            raise error(f"failure {len(world.ledger)}")
        return ripresa.context().attempt

    @workflow
    async def tries() -> int:
        return await flaky()

    return tries


def waits(world):
    return [(after - before) / 1e6 for before, after in pairwise(world.ledger)]


async def test_a_bare_step_is_attempted_once(world):
    with pytest.raises(RunFailed, match="step 'flaky' failed after 1 attempt: OSError: failure 1"):
        await world.run(failing(world, 1, None))
    assert len(world.ledger) == 1


async def test_retries_count_attempts_the_first_included(world):
    assert await world.run(failing(world, 2, Retry(max_attempts=3))) == 3


async def test_a_spent_policy_fails_the_step(world):
    with pytest.raises(RunFailed, match="step 'flaky' failed after 3 attempts: OSError: failure 3"):
        await world.run(failing(world, 9, Retry(max_attempts=3)))
    assert len(world.ledger) == 3


@pytest.mark.parametrize(
    ("retry", "expected"),
    [
        (Retry(max_attempts=5, delay="2s"), [2, 4, 8, 16]),
        (Retry(max_attempts=4, delay="2s", multiplier=1), [2, 2, 2]),
        (Retry(max_attempts=5, delay=10, multiplier=10, max_delay="1h"), [10, 100, 1000, 3600]),
        (Retry(max_attempts=3, delay=0), [0, 0]),
        (Retry(max_attempts=3, delay=2.3, multiplier=1.5), [2.3, 3.45]),
        (Retry(max_attempts=4), [1, 2, 4]),
    ],
)
async def test_delays_are_exact(memory, retry, expected):
    await memory.run(failing(memory, retry.max_attempts - 1, retry))
    assert waits(memory) == expected


async def test_delays_outlast_every_crash(every_world):
    world = every_world
    world.clock = world.clock_that_stands()
    tries = failing(world, 3, Retry(max_attempts=5, delay="1h", max_delay="1d"))
    app = await world.open(tries)
    await app.start(tries, id="r")
    for hours in (0, 0.5, 0.5, 1, 1, 2, 2, 4):
        await world.clock.advance(hours=hours)
        app = await world.crash(app)
    assert await (await app.get("r")).result("10s") == 4
    assert waits(world) == [3600, 7200, 14400]


async def test_full_jitter_draws_between_zero_and_the_delay(memory):
    await memory.run(failing(memory, 40, Retry(max_attempts=41, delay=10, multiplier=1, jitter="full")))
    drawn = waits(memory)
    assert all(0 <= wait < 10 for wait in drawn)
    assert len(set(drawn)) > 30


async def test_max_elapsed_ends_the_retrying(memory):
    with pytest.raises(RunFailed):
        await memory.run(failing(memory, 99, Retry(max_attempts=99, delay=10, multiplier=1, max_elapsed="35s")))
    assert len(memory.ledger) == 4


@pytest.mark.parametrize("runtime", ["inline", "thread", "process"])
async def test_on_names_the_errors_that_are_worth_a_retry(memory, runtime, tmp_path, monkeypatch):
    module = load(tmp_path, monkeypatch, f"picky_{runtime}", PICKY.replace("RUNTIME", runtime))
    app = await memory.open(module.tries)
    for kind, attempts in (("ConnectionResetError", 3), ("ZeroDivisionError", 1)):
        run = await app.start(module.tries, kind)
        with pytest.raises(RunFailed) as caught:
            await run.result("30s")
        assert caught.value.cause.attempts == attempts, kind


PICKY = """
from ripresa import Retry, step, workflow

@step(retry=Retry(max_attempts=3, delay=0, on=(OSError, KeyError)), runtime="RUNTIME")
ASYNC def picky(kind: str) -> None:
    raise {"ConnectionResetError": ConnectionResetError, "ZeroDivisionError": ZeroDivisionError}[kind]("no")

@workflow
async def tries(kind: str) -> None:
    await picky.start(kind)
"""


def load(folder: Path, monkeypatch, name: str, source: str):
    """A module of this source, as an importable file."""
    import importlib

    source = source.replace("ASYNC def", "async def" if '"inline"' in source else "def")
    (folder / f"{name}.py").write_text(textwrap.dedent(source))
    monkeypatch.syspath_prepend(str(folder))
    importlib.invalidate_caches()
    monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module(name)


async def test_terminal_ends_it_whatever_the_policy_allows(world):
    with pytest.raises(RunFailed, match="after 1 attempt"):
        await world.run(failing(world, 9, Retry(max_attempts=9), Terminal))


async def test_retryable_and_unknown_errors_last_as_long_as_the_policy(world):
    with pytest.raises(RunFailed, match="after 2 attempts"):
        await world.run(failing(world, 9, Retry(max_attempts=2), Retryable))


async def test_an_error_class_of_ones_own_says_its_failure_class(world):
    class CardRefused(Exception):
        failure_class = FailureClass.TERMINAL

    with pytest.raises(RunFailed, match="after 1 attempt"):
        await world.run(failing(world, 9, Retry(max_attempts=9), CardRefused))


async def test_quarantine_sets_the_run_aside_at_once(world):
    app = await world.open(tries := failing(world, 1, Retry(max_attempts=9), Quarantine))
    run = await app.start(tries)
    with pytest.raises(RunQuarantined, match="failure 1") as caught:
        await run.result("10s")
    assert (caught.value.cause.failure_class, caught.value.cause.step) == (FailureClass.QUARANTINE, "flaky")
    assert run.status == "quarantined"


async def test_on_exhausted_may_set_the_run_aside(world):
    tries = failing(world, 2, Retry(max_attempts=2, delay=0, on_exhausted="quarantine"))
    app = await world.open(tries)
    run = await app.start(tries)
    with pytest.raises(RunQuarantined, match="OSError: failure 2"):
        await run.result("10s")
    await app.release(run)
    assert await run.result("10s") >= 1


async def test_a_step_failure_tells_all(world):
    @step(retry=Retry(max_attempts=2, delay=0))
    async def fails() -> None:
        raise OSError("disk")

    @workflow
    async def catches() -> dict[str, object]:
        try:
            await fails()
        except StepFailed as error:
            return {
                "step": error.step,
                "class": error.failure_class,
                "attempts": error.attempts,
                "type": error.cause.type,
                "message": error.cause.message,
                "code": error.cause.code,
                "raised at": "raise OSError" in (error.cause.traceback or ""),
            }
        return {}

    assert await world.run(catches) == {
        "step": "fails",
        "class": "retryable",
        "attempts": 2,
        "type": "OSError",
        "message": "disk",
        "code": "error",
        "raised at": True,
    }


async def test_a_failed_run_has_its_cause(world):
    @workflow
    async def fails() -> None:
        raise LookupError("nothing there")

    app = await world.open(fails)
    run = await app.start(fails, id="f")
    with pytest.raises(RunFailed, match="run 'f' failed: LookupError: nothing there") as caught:
        await run.result("10s")
    error = caught.value
    assert (error.run, error.cause.type, error.cause.message) == ("f", "LookupError", "nothing there")
    assert "raise LookupError" in error.cause.traceback
    assert run.status == "failed"


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("cannot even say so")


@pytest.mark.parametrize("where", ["async", "def", "workflow"])
@pytest.mark.parametrize(
    "error",
    [Mute(), ValueError("half a pair \ud800"), ValueError("x" * 50_000_000), ValueError(b"\xff"), StopIteration(3)],
    ids=["mute", "surrogate", "huge", "bytes", "stop"],
)
async def test_an_error_that_is_hard_to_write_down_is_a_failure_like_any_other(memory, where, error):
    @step
    async def fails_async() -> None:
        raise error

    @step
    def fails_def() -> None:
        raise error

    @workflow
    async def fails() -> None:
        if where == "workflow":
            raise error
        await (fails_async if where == "async" else fails_def).start()

    with pytest.raises(RunFailed):
        await memory.run(fails)


@pytest.mark.parametrize(
    "error", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError()], ids=lambda e: type(e).__name__
)
async def test_a_def_step_that_exits_fails_and_harms_nobody(memory, error):
    @step
    def leaves() -> None:
        raise error

    @workflow
    async def exits() -> None:
        leaves()

    with pytest.raises(RunFailed, match=type(error).__name__):
        await memory.run(exits)


# --- time limits ------------------------------------------------------------------------------


async def test_a_time_limit_cancels_an_async_step(memory):
    cancelled = []

    @step(timeout="30ms")
    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    @workflow
    async def limited() -> list[object]:
        try:
            await slow()
        except StepFailed as error:
            return [error.cause.code, error.cause.type, error.cause.message, error.failure_class]
        return []

    said = ["timeout", "TimeoutError", "attempt 1 took longer than 0.03 s", "retryable"]
    assert await memory.run(limited) == said
    assert cancelled


async def test_a_time_limit_is_for_one_attempt(memory):
    @step(timeout="30ms", retry=Retry(max_attempts=3, delay=0))
    async def slow_at_first() -> int:
        if ripresa.context().attempt < 3:
            await asyncio.Event().wait()
        return ripresa.context().attempt

    @workflow
    async def limited() -> int:
        return await slow_at_first()

    assert await memory.run(limited) == 3


async def test_a_thread_that_takes_too_long_is_left_and_what_it_returns_is_refused(memory):
    gate, left = threading.Event(), threading.Event()

    @step(timeout="30ms", retry=Retry(max_attempts=2, delay=0))
    def slow() -> str:
        if ripresa.context().attempt == 1:
            gate.wait(20)
            left.set()
            return "late"
        return "in time"

    @workflow
    async def limited() -> str:
        return slow()

    app = await memory.open(limited)
    run = await app.start(limited)
    assert await run.result("10s") == "in time"
    history = await app.history(run)
    gate.set()
    await asyncio.to_thread(left.wait, 20)
    await asyncio.sleep(0)
    assert await app.history(run) == history
    assert await (await app.get(run)).result() == "in time"


async def test_a_limit_holds_for_a_step_that_has_not_even_begun(memory):
    """Its neighbour holds the loop for longer than its limit."""

    @step
    async def hog() -> None:
        time.sleep(0.05)  # noqa: ASYNC251 - a badly behaved step

    @step(timeout="10ms")
    async def brief() -> str:
        await asyncio.sleep(0)
        return "done"

    @workflow
    async def both() -> list[str]:
        results = await asyncio.gather(hog(), brief(), brief(), return_exceptions=True)
        return [type(result).__name__ for result in results]

    results = await memory.run(both)
    assert results[0] == "NoneType"
    assert set(results[1:]) <= {"str", "StepFailed"}


async def test_a_process_that_takes_too_long_is_killed(memory, tmp_path, monkeypatch):
    module = load(
        tmp_path,
        monkeypatch,
        "slow_process",
        """
        import os, pathlib, time
        from ripresa import step, workflow

        @step(runtime="process")
        def warm() -> None:
            "Starts the process, which may take long on a busy machine."

        @step(runtime="process", timeout="4s")
        def slow(folder: str) -> None:
            pathlib.Path(folder, "pid").write_text(str(os.getpid()))
            time.sleep(60)

        @workflow
        async def limited(folder: str) -> None:
            warm()
            slow(folder)
        """,
    )
    app = await memory.open(module.limited, config={"process_grace_s": 0.05, "processes": 1})
    run = await app.start(module.limited, str(tmp_path))
    with pytest.raises(RunFailed, match=r"took longer than 4 s"):
        await run.result("30s")
    pid = int((tmp_path / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize("wrong", ["soon", -1, "0.5 weeks"])
def test_a_time_limit_is_a_duration(wrong):
    with pytest.raises(ValueError, match=r"step slow: timeout: .* is not a duration"):

        @step(timeout=wrong)
        async def slow() -> None: ...


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_attempts": 0}, "it counts the first attempt too"),
        ({"max_attempts": 1001}, "is not in 1..1000"),
        ({"multiplier": 0.5}, "is not in 1..100"),
        ({"jitter": "some"}, 'is not "none" or "full"'),
        ({"delay": "soon"}, "Retry.delay"),
        ({"max_delay": -1}, "Retry.max_delay"),
        ({"max_elapsed": "x"}, "Retry.max_elapsed"),
        ({"on_exhausted": "explode"}, "Retry.on_exhausted"),
        ({"multiplier": float("nan")}, "is not in 1..100"),
    ],
)
def test_a_policy_that_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Retry(**options)


# --- quarantine -------------------------------------------------------------------------------


def quarantining(world):
    @step
    async def before() -> int:
        world.did("before")
        return 1

    @step
    async def careful(value: int) -> int:
        world.did(f"careful {ripresa.context().attempt}")
        if world.count("fixed") == 0:
            raise Quarantine("suspicious")
        return value + 1

    @workflow
    async def watched() -> int:
        return await careful(await before())

    return watched


@pytest.fixture
async def set_aside(world):
    watched = quarantining(world)
    app = await world.open(watched)
    run = await app.start(watched, id="q")
    with pytest.raises(RunQuarantined, match="suspicious"):
        await run.result("10s")
    return world, app, run


async def test_releasing_repeats_the_step_alone(set_aside):
    world, app, run = set_aside
    world.did("fixed")
    await app.release(run)
    assert await run.result("10s") == 2
    assert world.count("before") == 1


async def test_releasing_what_is_not_mended_sets_it_aside_again(set_aside):
    world, app, run = set_aside
    await app.release(run)
    with pytest.raises(RunQuarantined, match="suspicious"):
        await run.result("10s")
    world.did("fixed")
    await app.release("q")
    assert await run.result("10s") == 2


async def test_overriding_gives_the_steps_output(set_aside):
    world, app, run = set_aside
    await app.release(run, output=42)
    assert await run.result("10s") == 42
    assert world.count("careful 1") == 1


async def test_an_override_that_does_not_fit_is_refused(set_aside):
    _, app, run = set_aside
    with pytest.raises(ripresa.PayloadError, match="careful"):
        await app.release(run, output="not a number")
    assert (await run.refresh()).status == "quarantined"
    await app.release(run, output=7)
    assert await run.result("10s") == 7


async def test_discarding_fails_the_run(set_aside):
    _, app, run = set_aside
    await app.release(run, discard=True)
    with pytest.raises(RunFailed, match="discarded"):
        await run.result("10s")


async def test_a_quarantine_outlasts_a_crash(set_aside):
    world, app, run = set_aside
    app = await world.crash(app)
    run = await app.get("q")
    assert run.status == "quarantined"
    with pytest.raises(RunQuarantined, match="suspicious"):
        await run.result("10s")
    world.did("fixed")
    await app.release(run)
    assert await run.result("10s") == 2
    assert world.count("before") == 1


async def test_a_quarantined_run_can_be_cancelled(set_aside):
    _, app, run = set_aside
    await app.cancel(run)
    with pytest.raises(ripresa.RunCancelled):
        await run.result("10s")


async def test_a_signal_waits_for_the_end_of_a_quarantine(world):
    @step
    async def careful() -> None:
        if world.count("fixed") == 0:
            raise Quarantine("suspicious")

    @workflow
    async def watched() -> str:
        await careful()
        return await ripresa.wait_for_signal("go", str)

    app = await world.open(watched)
    run = await app.start(watched)
    with pytest.raises(RunQuarantined):
        await run.result("10s")
    await app.signal(run, "go", "kept")
    world.did("fixed")
    await app.release(run)
    assert await run.result("10s") == "kept"


async def test_what_runs_beside_a_quarantined_step_ends_and_is_recorded(world):
    gate = asyncio.Event()

    @step
    async def careful() -> int:
        if world.count("fixed") == 0:
            raise Quarantine("suspicious")
        return 1

    @step
    async def beside() -> int:
        await gate.wait()
        world.did("beside")
        return 2

    @workflow
    async def both() -> list[int]:
        return await asyncio.gather(careful(), beside())

    app = await world.open(both)
    run = await app.start(both)
    with pytest.raises(RunQuarantined):
        await run.result("10s")
    gate.set()
    while "step_completed" not in [event.kind for event in await app.history(run)]:  # noqa: ASYNC110 - nothing else tells
        await asyncio.sleep(0)
    world.did("fixed")
    await app.release(run)
    assert await run.result("10s") == [1, 2]
    assert world.count("beside") == 1


async def test_a_workflow_that_set_itself_aside_is_cancelled_overridden_or_discarded(world):
    @workflow
    async def odd() -> int:
        raise Quarantine("look")

    app = await world.open(odd)
    for end in ("cancel", "override", "discard"):
        run = await app.start(odd)
        with pytest.raises(RunQuarantined):
            await run.result("10s")
        if end == "cancel":
            await app.cancel(run)
            with pytest.raises(ripresa.RunCancelled):
                await run.result("10s")
        elif end == "override":
            await app.release(run, output=3)
            assert await run.result("10s") == 3
        else:
            await app.release(run, discard=True)
            with pytest.raises(RunFailed):
                await run.result("10s")


async def test_only_a_quarantined_run_is_released(world):
    @workflow
    async def fine() -> None:
        await ripresa.wait_for_signal("go")

    app = await world.open(fine)
    run = await app.start(fine, id="fine")
    with pytest.raises(ripresa.RunError, match="not quarantined"):
        await app.release(run)


# --- lost attempts ----------------------------------------------------------------------------


async def test_an_attempt_lost_to_a_crash_is_repeated_and_does_not_use_up_the_policy(every_world):
    world = every_world
    gates = [asyncio.Event() for _ in range(9)]

    @step
    async def slow() -> int:
        world.did("try")
        await gates[world.count("try")].wait()
        return world.count("try")

    @workflow
    async def works() -> int:
        return await slow()

    app = await world.open(works)
    await app.start(works, id="w")
    for crash in range(1, 4):
        async with asyncio.timeout(10):
            while world.count("try") < crash:  # noqa: ASYNC110 - a ledger is no event
                await asyncio.sleep(0.001)
        app = await world.crash(app)
    async with asyncio.timeout(10):
        while world.count("try") < 4:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.001)
    gates[4].set()
    assert await (await app.get("w")).result("10s") == 4


async def test_closing_with_work_in_flight_is_not_a_loss(world):
    """Ten deployments in a row do not make a long step suspicious."""

    @step
    async def long() -> str:
        world.did("try")
        if world.count("try") <= 10:
            await asyncio.Event().wait()
        return "done"

    @workflow
    async def works() -> str:
        return await long()

    app = await world.open(works)
    await app.start(works, id="w")
    for closing in range(1, 11):
        async with asyncio.timeout(10):
            while world.count("try") < closing:  # noqa: ASYNC110 - a ledger is no event
                await asyncio.sleep(0.001)
        await app.close()
        app = await world.open(works)
    assert await (await app.get("w")).result("10s") == "done"


async def test_closing_between_attempts_neither_renews_the_policy_nor_cuts_the_delay(every_world):
    world = every_world
    world.clock = world.clock_that_stands()
    tries = failing(world, 9, Retry(max_attempts=3, delay="1h", multiplier=1))
    app = await world.open(tries)
    run = await app.start(tries, id="r")
    for hours in (0, 0.5, 0.5, 0.5):
        await world.clock.advance(hours=hours)
        await app.close()
        app = await world.open(tries)
    run = await app.get("r")
    await world.clock.advance(hours=9)
    with pytest.raises(RunFailed):
        await run.result("10s")
    assert waits(world) == [3600, 3600]
    assert [tried.status for tried in await attempts_in(app, "r")] == ["failed"] * 3


async def test_closing_during_an_attempt_does_not_forget_the_failures_before(every_world):
    world = every_world

    @step(retry=Retry(max_attempts=3, delay=0))
    async def stubborn() -> None:
        world.did("try")
        if world.count("try") == 2:
            await asyncio.Event().wait()
        raise OSError("no")

    @workflow
    async def tries() -> None:
        await stubborn()

    app = await world.open(tries)
    await app.start(tries, id="r")
    await under_way(world, app, "r", 2)
    await app.close()
    app = await world.open(tries)
    with pytest.raises(RunFailed):
        await (await app.get("r")).result("10s")
    assert [tried.status for tried in await attempts_in(app, "r")] == ["failed", "cancelled", "failed", "failed"]


@pytest.mark.parametrize("noted", [True, False])
async def test_a_runtime_that_is_closed_under_a_step_gives_the_attempt_back(world, caplog, noted):
    gate = threading.Event()

    @step
    def works() -> str:
        world.did("try")
        if world.count("try") == 1:
            gate.wait(10)
        return "done"

    @workflow
    async def once() -> str:
        return works()

    threads = ThreadRuntime(1)
    app = await world.open(once, runtimes={"inline": InlineRuntime(), "thread": threads})
    run = await app.start(once, id="w")
    if noted:
        await under_way(world, app, "w", 1)
    else:
        async with asyncio.timeout(10):
            while not world.ledger:  # noqa: ASYNC110 - a ledger is no event
                await asyncio.sleep(0.001)
    await threads.close()
    async with asyncio.timeout(10):
        while "step works of run w waits for the next App on this store" not in caplog.text:  # noqa: ASYNC110 - a log is no event
            await asyncio.sleep(0.001)
    assert (await run.refresh()).status == "running"
    await app.close()
    gate.set()
    assert [tried.status for tried in await attempts_of(world, "w")] == (["cancelled"] if noted else [])
    app = await world.open(once)
    assert await (await app.get("w")).result("10s") == "done"


async def test_an_attempt_for_which_no_worker_is_free_is_not_begun(world):
    """However many the configuration allows: else it would count as lost when the process dies while it waits."""
    gate = threading.Event()

    @step
    def works(number: int) -> int:
        world.did("try")
        gate.wait(10)
        return number

    @workflow
    async def both() -> list[int]:
        return await ripresa.map_(works, [1, 2])

    app = await world.open(both, runtimes={"inline": InlineRuntime(), "thread": ThreadRuntime(1)})
    run = await app.start(both, id="w")
    await under_way(world, app, "w", 1)
    assert [tried.operation for tried in await attempts_in(app, "w")] == ["item[0]/works"]
    gate.set()
    assert await run.result("10s") == [1, 2]


async def test_a_runtime_may_have_a_name_of_its_own(world):
    """As two of Celery's do, when there are two brokers."""

    @step(runtime="elsewhere")
    async def works() -> str:
        return "done"

    @workflow
    async def once() -> str:
        return await works()

    app = await world.open(once, runtimes={"elsewhere": InlineRuntime()})
    assert await (await app.start(once)).result("10s") == "done"


async def under_way(world, app, ref, tries):
    """Wait until so many attempts have begun and the store knows of the last."""
    async with asyncio.timeout(10):
        while world.count("try") < tries:  # noqa: ASYNC110 - a ledger is no event
            await asyncio.sleep(0.001)
        await world.clock_to(app, 1)  # a young attempt is not worth a row
        while [tried.number for tried in await attempts_in(app, ref)] != list(range(1, tries + 1)):  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.001)


async def attempts_in(app, ref):
    return await app.store.attempts((await app.store.get_run(ref)).id)


async def attempts_of(world, ref):
    """What the store holds while no App is open."""
    store = open_store(world.store()) if isinstance(world.store(), str) else world.store()
    await store.open()
    try:
        return await store.attempts((await store.get_run(ref)).id)
    finally:
        await store.close()


KILLER = """
import asyncio, os, sys
from ripresa import App, RunQuarantined, step, workflow

@step
def kills(folder: str) -> None:
    with open(os.path.join(folder, "tries"), "a") as file:
        file.write("x")
    os._exit(9)

@workflow
async def works(folder: str) -> None:
    kills(folder)

async def main():
    folder = sys.argv[1]
    async with App(f"sqlite:///{folder}/runs.db", [works]) as app:
        run = await app.start(works, folder, id="k")
        try:
            await run.result("30s")
        except RunQuarantined as error:
            print("QUARANTINED", error)

asyncio.run(main())
"""


def test_a_step_that_kills_its_process_five_times_in_a_row_is_set_aside(tmp_path):
    script = tmp_path / "killer.py"
    script.write_text(KILLER)
    source = str(Path(ripresa.__file__).parents[1])
    for _ in range(8):
        done = subprocess.run(
            [sys.executable, str(script), str(tmp_path)],
            env={**os.environ, "PYTHONPATH": source},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode == 0:
            break
        assert done.returncode == 9, done.stderr
    assert "QUARANTINED" in done.stdout  # at the latest in the eighth process
    assert "lost" in done.stdout
    assert 5 <= len((tmp_path / "tries").read_text()) <= 6


async def test_a_worker_process_that_dies_is_a_loss_of_the_step_alone(memory, tmp_path, monkeypatch):
    module = load(
        tmp_path,
        monkeypatch,
        "dies_in_worker",
        """
        import os, pathlib
        from ripresa import step, workflow

        @step(runtime="process")
        def dies(folder: str, times: int) -> int:
            file = pathlib.Path(folder, "deaths")
            count = len(file.read_text()) if file.exists() else 0
            file.write_text("x" * (count + 1))
            if count < times:
                os._exit(7)
            return count

        @workflow
        async def works(folder: str, times: int) -> int:
            return dies(folder, times)
        """,
    )
    app = await memory.open(module.works)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    twice = await app.start(module.works, str(tmp_path / "a"), 2)
    assert await twice.result("60s") == 2
    ever = await app.start(module.works, str(tmp_path / "b"), 99)
    with pytest.raises(RunQuarantined, match="5 attempts in a row were lost"):
        await ever.result("60s")


def test_configuration_speaks_with_one_voice(tmp_path):
    with pytest.raises(TypeError, match=r"unknown setting 'thread'"):
        App("memory://", config={"thread": 3})
    with pytest.raises(ValueError, match="threads=0 must be 1 or more"):
        App("memory://", config={"threads": 0})
