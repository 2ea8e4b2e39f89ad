"""Starting, finding, pausing, cancelling, retrying and forking runs; Apps that come and go."""

from __future__ import annotations

import asyncio

import pytest

import ripresa
from ripresa import (
    App,
    EngineFenced,
    Retry,
    RipresaError,
    RunCancelled,
    RunConflict,
    RunError,
    RunFailed,
    RunFinished,
    RunNotFound,
    RunStatus,
    StepFailed,
    StoreInUse,
    Terminal,
    UnknownDefinition,
    sleep,
    step,
    wait_for_signal,
    workflow,
)
from ripresa.engine import elsewhere
from ripresa.ports.batch import Batch
from ripresa.testing import VirtualClock


@step
async def echo(value: int) -> int:
    return value


@workflow
async def add(left: int, right: int = 10) -> int:
    return await echo(left) + right


@workflow
async def sleeper(days: int) -> int:
    await sleep(days=days)
    return days


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - a ledger is no event
            await asyncio.sleep(0.001)


async def recorded(app, run, kind):
    """Wait until the journal holds an event of this kind."""
    async with asyncio.timeout(10):
        while kind not in [event.kind for event in await app.history(run)]:  # noqa: ASYNC110 - nothing else tells
            await asyncio.sleep(0.001)


# --- starting ---------------------------------------------------------------------------------


async def test_same_id_again_is_the_same_run(world):
    app = await world.open(add)
    first = await app.start(add, 1, id="sum")
    again = await app.start(add, 1, id="sum")
    assert again.uuid == first.uuid
    assert await again.result("10s") == 11
    assert (await app.start(add, 1, id="sum")).uuid == first.uuid
    app = await world.crash(app)
    assert await (await app.start(add, 1, id="sum")).result("10s") == 11
    assert len(await app.list()) == 1


async def test_defaults_are_part_of_the_input(world):
    app = await world.open(add)
    first = await app.start(add, 1, id="sum")
    assert (await app.start(add, 1, 10, id="sum")).uuid == first.uuid


async def test_same_id_with_another_input_or_workflow_is_a_conflict(world):
    app = await world.open(add, sleeper)
    await app.start(add, 1, id="sum")
    with pytest.raises(RunConflict, match="run 'sum' exists with another input: choose another id"):
        await app.start(add, 2, id="sum")
    with pytest.raises(RunConflict, match="run 'sum' exists of workflow 'add', not 'sleeper'"):
        await app.start(sleeper, 1, id="sum")


async def test_thirty_concurrent_starts_with_one_id_are_one_run(every_world):
    world = every_world

    @step
    async def effect() -> None:
        world.did("effect")

    @workflow
    async def once() -> str:
        await effect()
        return "done"

    app = await world.open(once)
    runs = await asyncio.gather(*(app.start(once, id="one") for _ in range(30)))
    assert len({run.uuid for run in runs}) == 1
    assert set(await asyncio.gather(*(run.result("10s") for run in runs))) == {"done"}
    assert world.ledger == ["effect"]
    assert len(await app.list()) == 1


async def test_concurrent_starts_with_one_id_and_different_inputs_have_one_winner(world):
    app = await world.open(add)
    runs = await asyncio.gather(*(app.start(add, value, id="one") for value in range(10)), return_exceptions=True)
    assert sum(isinstance(run, RunConflict) for run in runs) == 9


async def test_a_start_is_on_disk_when_it_returns(every_world):
    world = every_world
    app = await world.open(add)
    await app.start(add, 5, id="kept")
    app = await world.crash(app)
    assert await (await app.get("kept")).result("10s") == 15


async def test_runs_without_an_id_have_one(world):
    app = await world.open(add)
    one, two = await app.start(add, 1), await app.start(add, 1)
    assert one.uuid != two.uuid
    assert one.id == one.uuid
    assert one.uuid[14] == "7"
    assert (await app.get(one.id)).uuid == one.uuid


async def test_a_workflow_may_be_started_by_its_name(world):
    app = await world.open(add)
    assert await (await app.start("add", 1)).result("10s") == 11


@pytest.mark.parametrize("unknown", ["adding", sleeper, print, None, 3])
async def test_a_workflow_that_the_app_does_not_know_is_an_error(memory, unknown):
    app = await memory.open(add)
    with pytest.raises(UnknownDefinition, match=r"does not know workflow .* \(it has: add\)"):
        await app.start(unknown, 1)


@pytest.mark.parametrize("wrong", ["", "x" * 256, "a\nb", "\ud800", 7, b"id"])
async def test_an_id_is_short_printable_text(memory, wrong):
    app = await memory.open(add)
    with pytest.raises((ValueError, TypeError), match=r"id: .* is not 1 to 255 printable characters"):
        await app.start(add, 1, id=wrong)


@pytest.mark.parametrize(
    "options",
    [
        {"priority": "high"},
        {"priority": 2**70},
        {"priority": 1.5},
        {"tags": {"a": 1}},
        {"tags": {1: "a"}},
        {"tags": ["a"]},
        {"correlation_id": 7},
    ],
    ids=str,
)
async def test_options_of_another_type_are_refused_and_harm_nobody(world, options):
    app = await world.open(add)
    with pytest.raises((TypeError, ValueError)):
        await app.start(add, 1, **options)
    assert await (await app.start(add, 1)).result("10s") == 11


async def test_an_unknown_option_of_start_is_refused(memory):
    app = await memory.open(add)
    with pytest.raises(TypeError, match="prio"):
        await app.start(add, 1, prio=3)


@pytest.mark.parametrize("name", ["", 7, None, "\ud800"])
async def test_a_name_of_a_message_is_text(memory, name):
    app = await memory.open(sleeper)
    run = await app.start(sleeper, 3)
    with pytest.raises((TypeError, ValueError)):
        await app.signal(run, name)


@pytest.mark.parametrize(
    "ref", ["nobody", "", "018f0000-0000-7000-8000-000000000000", "'; drop table run; --", "\ud800"]
)
async def test_an_unknown_id_is_an_error_in_every_verb(memory, ref):
    app = await memory.open(add)
    for verb in (
        app.get(ref),
        app.signal(ref, "x"),
        app.update(ref, "x"),
        app.query(ref, "x"),
        app.cancel(ref),
        app.pause(ref),
        app.resume(ref),
        app.retry(ref),
        app.fork(ref, from_step="x"),
        app.release(ref),
        app.history(ref),
    ):
        with pytest.raises(RunNotFound):
            await verb


async def test_an_unknown_id_is_an_error_with_sqlite_too(world):
    app = await world.open(add)
    for ref in ("nobody", "\ud800", "x\0y"):
        with pytest.raises(RunNotFound):
            await app.get(ref)


# --- looking ----------------------------------------------------------------------------------


async def test_a_run_tells_how_it_stands(world):
    @workflow
    async def stages() -> str:
        await wait_for_signal("go")
        return "done"

    app = await world.open(stages)
    run = await app.start(stages, id="s")
    assert (run.id, run.definition) == ("s", "stages")
    assert run.status in (RunStatus.RUNNING, RunStatus.QUEUED)
    await recorded(app, run, "run_started")
    async with asyncio.timeout(10):
        while (await run.refresh()).status != "waiting":  # noqa: ASYNC110 - nothing else tells
            await asyncio.sleep(0.001)
    await app.pause(run)
    assert (await run.refresh()).status == "paused"
    await app.resume(run)
    await app.signal(run, "go")
    assert await run.result("10s") == "done"
    assert run.status is RunStatus.SUCCEEDED
    assert "succeeded" in repr(run)


async def test_result_has_a_time_limit_and_the_run_goes_on(world):
    @workflow
    async def waits() -> str:
        return await wait_for_signal("go", str)

    app = await world.open(waits)
    run = await app.start(waits, id="w")
    with pytest.raises(TimeoutError, match="run 'w' has not ended within 10ms; it goes on"):
        await run.result("10ms")
    await app.signal(run, "go", "yes")
    assert await run.result(timeout=10) == "yes"


async def test_everybody_who_waits_gets_the_result(world):
    app = await world.open(sleeper)
    run = await app.start(sleeper, 1)
    handles = [await app.get(run) for _ in range(5)]
    assert await asyncio.gather(*(handle.result("10s") for handle in handles)) == [1] * 5
    assert await run.result() == 1


async def test_lists_are_filtered_and_paged(world):
    app = await world.open(add, sleeper)
    for number in range(7):
        run = await app.start(add, number, id=f"add-{number}", tags={"parity": "odd" if number % 2 else "even"})
        await run.result("10s")
    await app.start(sleeper, 10_000, id="asleep", tags={"parity": "odd"})
    ids = [run.id for run in await app.list(workflow=add)]
    assert ids == [f"add-{number}" for number in reversed(range(7))]
    assert [run.id for run in await app.list(tags={"parity": "odd"}, workflow="add")] == ["add-5", "add-3", "add-1"]
    assert len(await app.list(status="succeeded")) >= 7
    assert {run.id for run in await app.list(id_prefix="add-", status=["succeeded", "failed"])} == set(ids)
    first = await app.list(workflow=add, limit=4)
    rest = await app.list(workflow=add, limit=4, cursor=first.cursor)
    assert [run.id for run in [*first, *rest]] == ids
    assert rest.cursor is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"status": "finished"}, "status 'finished' does not exist"),
        ({"cursor": "forged"}, "cursor"),
        ({"limit": 0}, "limit"),
    ],
)
async def test_a_list_that_cannot_be_is_refused(world, options, message):
    app = await world.open(add)
    with pytest.raises(ValueError, match=message):
        await app.list(**options)


async def test_higher_priority_goes_first_when_slots_are_few(world):
    gate = asyncio.Event()

    @step
    async def slot(name: str) -> None:
        world.did(name)
        if name == "first":
            await gate.wait()

    @workflow
    async def needs_slot(name: str) -> None:
        await slot(name)

    app = await world.open(needs_slot, config={"inline": 1})
    runs = [await app.start(needs_slot, "first")]
    await until(lambda: world.ledger == ["first"])
    for name, priority in (("low", -5), ("normal", 0), ("high", 5), ("normal 2", 0)):
        runs.append(await app.start(needs_slot, name, priority=priority))
        await recorded(app, runs[-1], "run_started")
    await until(lambda: not app.engine.turns.asked and not app.engine.committer.busy)
    gate.set()
    for run in runs:
        await run.result("10s")
    assert world.ledger == ["first", "high", "normal", "normal 2", "low"]


# --- pausing ----------------------------------------------------------------------------------


async def test_a_paused_run_starts_nothing_and_what_is_under_way_is_recorded(world):
    gate = asyncio.Event()

    @step
    async def under_way() -> None:
        world.did("begun")
        await gate.wait()

    @step
    async def after() -> None:
        world.did("after")

    @workflow
    async def two() -> str:
        await under_way()
        await after()
        return "done"

    app = await world.open(two)
    run = await app.start(two)
    await until(lambda: world.ledger == ["begun"])
    await app.pause(run)
    await app.pause(run)
    gate.set()
    await recorded(app, run, "step_completed")
    assert world.ledger == ["begun"]
    assert (await run.refresh()).status == "paused"
    await app.resume(run)
    await app.resume(run)
    assert await run.result("10s") == "done"
    assert world.ledger == ["begun", "after"]


async def test_a_pause_outlasts_a_crash(every_world):
    world = every_world
    app = await world.open(sleeper)
    run = await app.start(sleeper, 30, id="s")
    await app.pause(run)
    app = await world.crash(app)
    run = await app.get("s")
    assert run.status == "paused"
    await app.resume(run)
    assert await run.result("10s") == 30


async def test_time_passes_for_a_paused_run_and_signals_wait(world):
    @workflow
    async def waits() -> list[object]:
        begin = ripresa.now()
        await sleep(days=1)
        return [await wait_for_signal("s", str), (ripresa.now() - begin).days >= 1]

    app = await world.open(waits, clock=world.clock_that_stands())
    run = await app.start(waits)
    await app.pause(run)
    await app.signal(run, "s", "early")
    await app.engine.clock.advance(days=3)
    assert (await run.refresh()).status == "paused"
    await app.resume(run)
    await app.engine.clock.advance(seconds=1)
    assert await run.result("10s") == ["early", True]


async def test_a_pause_between_attempts_does_not_renew_the_policy(world):
    clock = world.clock_that_stands()

    @step(retry=Retry(max_attempts=3, delay="1h", multiplier=1))
    async def fails() -> None:
        world.did("try")
        raise OSError("no")

    @workflow
    async def tries() -> int:
        try:
            await fails()
        except StepFailed as error:
            return error.attempts
        return 0

    app = await world.open(tries, clock=clock)
    run = await app.start(tries)
    await clock.advance(seconds=1)
    await app.pause(run)
    await clock.advance(hours=5)
    assert world.count("try") == 1
    await app.resume(run)
    await clock.advance(hours=9)
    assert await run.result("10s") == 3
    assert world.count("try") == 3


async def test_a_run_that_ended_is_not_paused(world):
    app = await world.open(add)
    run = await app.start(add, 1, id="a")
    await run.result("10s")
    for verb in (app.pause, app.resume):
        with pytest.raises(RunFinished, match="run 'a' has succeeded"):
            await verb(run)


# --- cancelling -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "phase", ["before", "step", "thread", "plain", "retry", "sleep", "signal", "child", "paused", "blocking"]
)
async def test_a_run_is_cancelled_wherever_it_is(world, phase):
    clock = world.clock_that_stands()

    @step
    async def endless() -> None:
        world.did("begun")
        await asyncio.Event().wait()

    @step
    def thread() -> None:
        world.did("begun")
        import time

        time.sleep(0.2)

    @step(retry=Retry(max_attempts=9, delay="1h"))
    async def failing() -> None:
        world.did("begun")
        raise OSError

    @workflow
    async def works() -> None:
        match phase:
            case "step":
                await endless()
            case "thread" | "plain":
                await asyncio.gather(thread.start()) if phase == "thread" else thread()
            case "retry":
                await failing()
            case "signal":
                await wait_for_signal("never")
            case "child":
                await ripresa.child(sleeper, 99)
            case "blocking":
                ripresa.blocking.sleep("9d")
            case _:
                await sleep(days=99)

    app = await world.open(works, sleeper, clock=clock)
    run = await app.start(works)
    if phase in ("step", "thread", "plain", "retry"):
        await until(lambda: world.ledger)
    elif phase != "before":
        await clock.advance(seconds=1)
    if phase == "paused":
        await app.pause(run)
    await app.cancel(run)
    await app.cancel(run)
    with pytest.raises(RunCancelled, match="was cancelled"):
        await run.result("10s")
    assert run.status == "cancelled"
    assert world.count("begun") <= 1
    for child in await app.list(parent=run):
        with pytest.raises(RunCancelled):
            await child.result("10s")


async def test_cancelling_an_ended_run_leaves_it_as_it_is(world):
    app = await world.open(add)
    run = await app.start(add, 1)
    assert await run.result("10s") == 11
    await app.cancel(run)
    assert (await run.refresh()).status == "succeeded"


async def test_a_cancelled_run_may_clean_up_with_steps_and_sleeps(world):
    @step
    async def clean() -> None:
        world.did("clean")

    @workflow
    async def tidy() -> None:
        try:
            await sleep(days=9)
        except asyncio.CancelledError:
            await sleep(hours=1)
            await clean()
            raise

    app = await world.open(tidy, clock=(clock := world.clock_that_stands()))
    run = await app.start(tidy)
    await clock.advance(seconds=1)
    await app.cancel(run)
    await clock.advance(hours=1)
    with pytest.raises(RunCancelled):
        await run.result("10s")
    assert world.ledger == ["clean"]


async def test_a_cancellation_outlasts_a_crash(every_world):
    world = every_world
    world.clock = world.clock_that_stands()
    app = await world.open(sleeper)
    run = await app.start(sleeper, 99, id="s")
    await app.cancel(run)
    app = await world.crash(app)
    with pytest.raises(RunCancelled):
        await (await app.get("s")).result("10s")


async def test_a_plain_call_in_a_gathered_coroutine_is_cancelled_too(world):
    @step
    def slow() -> None:
        world.did("begun")
        import time

        time.sleep(0.3)

    @workflow
    async def works() -> None:
        async def branch() -> None:
            slow()
            world.did("must not go on")

        await asyncio.gather(branch(), sleep(days=1))

    app = await world.open(works, clock=world.clock_that_stands())
    run = await app.start(works)
    await until(lambda: world.ledger == ["begun"])
    await app.cancel(run)
    with pytest.raises(RunCancelled):
        await run.result("10s")
    assert world.ledger == ["begun"]


# --- retrying and forking ---------------------------------------------------------------------


def pipeline(world):
    @step
    async def part(name: str) -> str:
        world.did(name)
        if name == "b" and world.count("mended") == 0:
            raise Terminal("broken")
        return name

    @workflow
    async def parts() -> str:
        first = await part("a")
        await sleep(hours=1)
        second = await part("b")
        return first + second + await part("c")

    return parts


async def test_retrying_a_failed_run_repeats_only_what_failed(every_world):
    world = every_world
    parts = pipeline(world)
    app = await world.open(parts)
    run = await app.start(parts, id="p")
    with pytest.raises(RunFailed, match="broken"):
        await run.result("10s")
    await app.retry(run)
    with pytest.raises(RunFailed, match="broken"):
        await run.result("10s")
    app = await world.crash(app)
    world.did("mended")
    run = await app.get("p")
    await app.retry(run)
    assert await run.result("10s") == "abc"
    assert [world.count(name) for name in "abc"] == [1, 3, 1]


async def test_a_cancelled_run_can_be_retried(world):
    app = await world.open(sleeper, clock=(clock := world.clock_that_stands()))
    run = await app.start(sleeper, 5)
    await app.cancel(run)
    with pytest.raises(RunCancelled):
        await run.result("10s")
    await app.retry(run)
    await clock.advance(days=5)
    assert await run.result("10s") == 5


async def test_who_asks_for_a_retry_hears_of_it_when_this_engine_takes_it(world, monkeypatch):
    monkeypatch.setattr(elsewhere, "_LOOK_S", 3600.0)  # nobody looks unless there is news
    parts = pipeline(world)
    app = await world.open(parts)
    run = await app.start(parts)
    with pytest.raises(RunFailed, match="broken"):
        await run.result("30s")
    world.did("mended")
    async with asyncio.timeout(60):
        await app.retry(run)
    assert await run.result("30s") == "abc"


async def test_only_a_run_that_did_not_succeed_is_retried(world):
    app = await world.open(add, sleeper, clock=world.clock_that_stands())
    run = await app.start(add, 1, id="a")
    await run.result("10s")
    with pytest.raises(RunError, match="run 'a' is succeeded"):
        await app.retry(run)
    asleep = await app.start(sleeper, 9, id="s")
    with pytest.raises(RunError, match="run 's' is"):
        await app.retry(asleep)


async def test_signals_before_a_failure_are_still_there_after_the_retry(world):
    @step
    async def check(value: int) -> int:
        if world.count("mended") == 0:
            raise Terminal("broken")
        return value

    @workflow
    async def waits() -> int:
        value = await wait_for_signal("n", int)
        return await check(value) + await wait_for_signal("n", int)

    app = await world.open(waits)
    run = await app.start(waits)
    await app.signal(run, "n", 1)
    with pytest.raises(RunFailed):
        await run.result("10s")
    world.did("mended")
    await app.retry(run)
    await app.signal(run, "n", 10)
    assert await run.result("10s") == 11


async def test_a_fork_begins_anew_from_its_step(every_world):
    world = every_world
    world.did("mended")
    parts = pipeline(world)
    app = await world.open(parts)
    run = await app.start(parts, id="p")
    assert await run.result("10s") == "abc"
    fork = await app.fork(run, from_step="part#2", id="p2")
    assert fork.id == "p2"
    assert await fork.result("10s") == "abc"
    assert [world.count(name) for name in "abc"] == [1, 2, 2]
    assert await (await app.get("p")).result() == "abc"


async def test_a_fork_of_a_retried_run_begins_where_it_is_told(world):
    parts = pipeline(world)
    app = await world.open(parts)
    run = await app.start(parts, id="p")
    with pytest.raises(RunFailed):
        await run.result("10s")
    world.did("mended")
    await app.retry(run)
    assert await run.result("10s") == "abc"
    fork = await app.fork(run, from_step="part#3")
    assert await fork.result("10s") == "abc"
    assert [world.count(name) for name in "abc"] == [1, 2, 2]


async def test_a_fork_of_a_run_under_way_leaves_it_alone(world):
    @workflow
    async def waits() -> str:
        await echo(1)
        return await wait_for_signal("go", str)

    app = await world.open(waits)
    run = await app.start(waits)
    await recorded(app, run, "step_completed")
    fork = await app.fork(run, from_step="echo")
    await app.signal(fork, "go", "fork")
    await app.signal(run, "go", "origin")
    assert [await run.result("10s"), await fork.result("10s")] == ["origin", "fork"]


async def test_a_fork_from_nowhere_names_the_steps_there_are(world):
    app = await world.open(add)
    run = await app.start(add, 1)
    await run.result("10s")
    with pytest.raises(RunError, match=r"no outcome of step 'nothing' \(it has: echo\)"):
        await app.fork(run, from_step="nothing")


async def test_a_forks_id_that_is_taken_is_a_conflict(world):
    app = await world.open(add)
    run = await app.start(add, 1, id="a")
    await run.result("10s")
    with pytest.raises(RunConflict):
        await app.fork(run, from_step="echo", id="a")


# --- Apps that come and go --------------------------------------------------------------------


async def test_an_app_is_opened_once_at_a_time_and_closed_as_often_as_one_likes(world):
    app = world.app(add)
    await app.close()
    await app.open()
    with pytest.raises(RipresaError, match="open already"):
        await app.open()
    await app.close()
    await app.close()
    with pytest.raises(RipresaError, match="not open: use `async with app:`"):
        await app.start(add, 1)
    async with app:
        assert await (await app.start(add, 1)).result("10s") == 11


async def test_a_store_has_one_owner_unless_engines_can_share_it(world):
    app = await world.open(add)
    if app.store.shared:
        beside = await world.open(add)
        assert sum(bool(engine["alive"]) for engine in await beside.store.engines()) == 2
        await beside.close()
    else:
        with pytest.raises(StoreInUse):
            await world.open(add)
    assert await (await app.start(add, 1)).result("10s") == 11
    await app.close()
    second = await world.open(add)
    assert len(await second.list()) == 1


async def test_an_engine_is_told_by_its_command_without_the_passwords_in_it(memory, monkeypatch):
    words = ["/bin/ripresa", "worker", "--store", "postgresql://u:se/cr@et@h/x?password=secret&a=b", "a:b@c"]
    monkeypatch.setattr("sys.argv", words)
    app = await memory.open(add)
    (engine,) = await app.store.engines()
    assert engine["who"] == "ripresa worker --store 'postgresql://u:…@h/x?password=…&a=b' a:b@c"


async def test_an_app_that_crashed_is_followed_at_once_and_writes_nothing_more(every_world):
    """However long its lease: as if its process had been seen to be gone."""
    world = every_world
    app = await world.open(add, config={"lease_s": 3600})
    await (await app.start(add, 1, id="before")).result("10s")
    store, lease = app.store, app.engine.lease
    starts = [asyncio.ensure_future(app.start(add, number, id=f"{number}")) for number in range(20)]
    await asyncio.sleep(0)
    await app.crash()
    following = await world.open(add)
    for start in starts:
        start.cancel()
    assert (await following.get("before")).status == "succeeded"
    await store.open()
    with pytest.raises(EngineFenced):
        await store.commit(lease, Batch(number=999, at=0), lease_us=1)
    await store.close()


async def test_closing_with_work_in_flight_gives_it_back(every_world):
    world = every_world

    @step
    async def slow() -> str:
        world.did("try")
        if world.count("try") == 1:
            await asyncio.Event().wait()
        return "done"

    @workflow
    async def works() -> str:
        await echo(1)
        return await slow()

    app = await world.open(works)
    await app.start(works, id="w")
    await until(lambda: world.ledger)
    await app.close()
    app = await world.open(works)
    assert await (await app.get("w")).result("10s") == "done"


@pytest.mark.parametrize("events", range(7))
async def test_nothing_recorded_is_done_again_wherever_it_crashes(every_world, events):
    """The crash comes as soon as the journal holds so many events."""
    world = every_world

    @step
    async def effect(name: str) -> str:
        world.did(name)
        return name

    @workflow
    async def story() -> str:
        text = await effect("a")
        await sleep(1)
        b, c = await asyncio.gather(effect("b"), effect("c"))
        return text + b + c + await ripresa.child(tail)

    @workflow
    async def tail() -> str:
        return await effect("d")

    app = await world.open(story, tail)
    run = await app.start(story, id="s")
    async with asyncio.timeout(10):
        while len(done := await app.history(run)) < min(events, 6):  # noqa: ASYNC110 - nothing else tells
            await asyncio.sleep(0)
    app = await world.crash(app)
    assert await (await app.get("s")).result("10s") == "abcd"
    kept = [event.data.strip('"') for event in done if event.kind == "step_completed"]
    for name in kept:
        assert world.count(name) == 1, name
    assert all(world.count(name) <= 2 for name in "abcd")


async def test_a_run_whose_workflow_is_gone_waits_for_it(world):
    app = await world.open(sleeper, clock=VirtualClock(autojump=False))
    await app.start(sleeper, 1, id="s")
    app = await world.crash(app, add)
    assert (await app.get("s")).status in ("running", "waiting")
    app = await world.crash(app, sleeper)
    assert await (await app.get("s")).result("10s") == 1


def test_run_blocks_until_the_end(tmp_path):
    url = f"sqlite:///{tmp_path}/runs.db"
    assert ripresa.run(add, 1, store=url, id="sum") == 11
    assert ripresa.run(add, 1, store=url, id="sum") == 11
    with pytest.raises(RunConflict):
        ripresa.run(add, 2, store=url, id="sum")


@pytest.mark.own_store  # about the store of who names none
def test_run_has_a_store_of_its_own_in_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RIPRESA_STORE", raising=False)
    assert ripresa.run(add, 1, 2) == 3

    assert (tmp_path / ".ripresa" / "ripresa.db").exists()


def test_run_raises_as_the_run_does(tmp_path):
    @workflow
    def fails() -> None:
        raise LookupError("nothing")

    with pytest.raises(RunFailed, match="LookupError: nothing"):
        ripresa.run(fails, store=f"sqlite:///{tmp_path}/runs.db")


@pytest.mark.parametrize("wrong", [3, None, "ftp://x", "runs"])
async def test_a_store_is_an_address_or_a_store(wrong):
    with pytest.raises((ValueError, TypeError), match="store"):
        async with App(wrong, [add]):
            pass


@pytest.mark.parametrize(("wrong", "kind"), [([print], TypeError), ([echo], TypeError), ([3], TypeError)])
def test_an_app_is_given_workflows(wrong, kind):
    with pytest.raises(kind, match="is not a workflow; decorate the function with @workflow"):
        App("memory://", wrong)


def test_two_workflows_of_one_name_are_refused():
    @workflow(name="add")
    async def other() -> None: ...

    with pytest.raises(ValueError, match="two workflows are called 'add'; give one name= or version="):
        App("memory://", [add, other])


async def test_many_runs_at_once(world):
    app = await world.open(add)
    count = 60
    runs = await asyncio.gather(*(app.start(add, value) for value in range(count)))
    assert await asyncio.gather(*(run.result("30s") for run in runs)) == [value + 10 for value in range(count)]
