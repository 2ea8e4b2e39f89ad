"""Replay: a recorded run's code, driven by its file, with a debugger or without."""

import asyncio
import bdb
import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import ripresa
from ripresa import (
    App,
    Quarantine,
    RunError,
    RunNotFound,
    Terminal,
    UnknownDefinition,
    child,
    continue_as_new,
    on_update,
    sleep,
    start_child,
    step,
    wait_for_signal,
    workflow,
)
from ripresa.contracts.errors import Diverged
from ripresa.testing import Replayed, VirtualClock, app_fixture, export_history, replay

calls = []


@step
async def charge(amount: int) -> int:
    calls.append(amount)
    return amount * 2


@step
def ship(box: str | None) -> str | None:
    calls.append(box)
    return box


@step
async def refuse(reason: str) -> None:
    raise Terminal(reason)


@workflow
async def fulfil(amount: int) -> str:
    paid = await charge(amount)
    await sleep(days=1)
    word = await wait_for_signal("word", str)
    return f"{paid} {word}"  # STOP fulfil


@workflow
def plainly(amount: int) -> str | None:
    nothing = ship(None)
    box = ship(f"box {amount}")
    return box if nothing is None else "?"  # STOP plainly


@workflow
async def dice(left: int) -> list[str]:
    drawn = [str(ripresa.random()), str(ripresa.uuid4()), ripresa.now().isoformat()]
    await sleep(hours=1)
    handle = start_child(fulfil, left)
    handle.cancel()
    if left:
        continue_as_new(left - 1)
    return drawn


async def recorded(definition, *args, others=(), drive=None):
    """What `runs export` writes of a run that has ended."""
    async with app_fixture(definition, *others) as app:
        run = await app.start(definition, *args, id="order-7")
        if drive is not None:
            await drive(app, run)
        try:
            await run.result("10s")
        except RunError:
            assert str(run.status) in ("failed", "cancelled", "quarantined")
        exported = await export_history(app, run)
    calls.clear()
    return exported


async def say_hello(app, run):
    await app.signal(run, "word", "hello")


# --- where the code stands --------------------------------------------------------------------


async def test_a_run_that_succeeded_is_replayed_without_a_call_of_a_step():
    exported = await recorded(fulfil, 3, drive=say_hello)
    assert replay(exported, fulfil) == Replayed("succeeded", "6 hello", None, ())
    assert calls == []


async def test_a_def_workflow_and_steps_that_gave_nothing():
    assert replay(await recorded(plainly, 3), plainly) == Replayed("succeeded", "box 3", None, ())
    assert calls == []


async def test_a_run_that_failed_tells_of_its_failure():
    @workflow
    async def fails() -> None:
        await refuse("no")

    replayed = replay(await recorded(fails), fails)
    assert (replayed.status, replayed.output) == ("failed", None)
    assert "no" in str(replayed.error)


async def test_a_run_that_was_cancelled_is_replayed_to_that_end():
    @workflow
    async def patient() -> None:
        await wait_for_signal("never")

    async def drive(app, run):
        await app.cancel(run)

    assert replay(await recorded(patient, drive=drive), patient).status == "cancelled"


async def test_a_run_that_is_quarantined_is_replayed_to_where_it_is():
    @workflow
    async def odd() -> None:
        await charge(1)
        raise Quarantine("look at this")

    replayed = replay(await recorded(odd), odd)
    assert replayed.status == "quarantined"
    assert "look at this" in str(replayed.error)


async def test_a_run_that_waits_tells_what_for():
    @workflow
    async def waits() -> None:
        async with ripresa.saga():
            await sleep(days=365)

    clock = VirtualClock(autojump=False)
    async with app_fixture(waits, clock=clock) as app:
        run = await app.start(waits)
        await clock.advance(days=1)
        exported = await export_history(app, run)
    assert replay(exported, waits) == Replayed("waiting", None, None, ("sleep",))


async def test_a_run_that_began_anew_is_replayed_from_there_with_its_own_dice():
    exported = await recorded(dice, 2, others=[fulfil])
    assert exported["base_seq"] > 0
    assert replay(exported, dice).output == exported["run"]["output"]


async def test_a_fork_has_the_dice_of_its_origin():
    @workflow
    async def draws() -> list[str]:
        drawn = [str(ripresa.random())]
        await charge(1)
        drawn.append(str(ripresa.random()))
        await charge(2)
        return drawn

    async with app_fixture(draws) as app:
        run = await app.start(draws)
        output = await run.result()
        fork = await app.fork(run, from_step="charge#2")
        assert await fork.result() == output
        exported = await export_history(app, fork)
    assert replay(exported, draws).output == output


async def test_updates_and_children_come_from_the_file():
    @workflow
    async def answers() -> list[object]:
        told: list[object] = []

        @on_update("tell")
        async def _tell(what: dict[str, int | None]) -> None:
            told.append(what)

        await ripresa.wait_until(lambda: told)
        return [*told, await child(plainly, 2)]

    async def drive(app, run):
        await app.update(run, "tell", {"a": 1, "b": None})

    exported = await recorded(answers, others=[plainly], drive=drive)
    assert replay(exported, answers).output == [{"a": 1, "b": None}, "box 2"]


async def test_a_retried_run_remembers_what_had_succeeded():
    tried = []

    @step
    async def fails_once() -> str:
        tried.append(1)
        if len(tried) == 1:
            raise Terminal("once")
        return "done"

    @workflow
    async def stubborn() -> str:
        await charge(1)
        return await fails_once()

    async def drive(app, run):
        with pytest.raises(RunError):
            await run.result("10s")
        await app.retry(run)

    assert replay(await recorded(stubborn, drive=drive), stubborn).output == "done"
    assert len(tried) == 2


# --- files --------------------------------------------------------------------------------------


async def test_what_runs_export_writes_is_what_replay_reads(tmp_path, places):
    store = f"sqlite:///{tmp_path / 'runs.db'}"
    async with App(store, workflows=[fulfil], clock=VirtualClock()) as app:
        run = await app.start(fulfil, 3, id="order-7")
        await app.signal(run, "word", "hello")
        await run.result("10s")
        exported = await export_history(app, "order-7")
        assert await export_history(app.store, run.uuid) == exported
        with pytest.raises(RunNotFound, match="order-8"):
            await export_history(app, "order-8")
    file = tmp_path / "order-7.json"
    cli = "from ripresa.cli.main import main; main()"
    at = store if places is None else places.url(store)
    command = [sys.executable, "-c", cli, "runs", "export", "order-7", "--output", str(file), "--store", at]
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
    assert json.loads(file.read_text()) == exported
    assert replay(file, fulfil) == replay(str(file), fulfil) == replay(exported, fulfil)


@pytest.mark.parametrize("text", ["", "nonsense", "[]", "{}", '{"run": 3, "history": []}'])
def test_a_file_that_is_no_exported_history_is_refused_with_what_would_be_one(tmp_path, text):
    file = tmp_path / "order-7.json"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"order-7.json is not an exported history .*`ripresa runs export` makes one"):
        replay(file, fulfil)


async def test_a_run_that_has_not_begun_cannot_be_replayed():
    exported = {**await recorded(plainly, 3), "history": []}
    with pytest.raises(ValueError, match="the history of run 'order-7' is empty: the run has not begun"):
        replay(exported, plainly)


async def test_a_missing_file_is_just_that(tmp_path):
    with pytest.raises(FileNotFoundError):
        replay(tmp_path / "nowhere.json", fulfil)


# --- code that does not fit ---------------------------------------------------------------------


async def test_another_workflow_is_refused_by_name():
    exported = await recorded(plainly, 3)
    with pytest.raises(UnknownDefinition, match="the history is of workflow 'plainly', not 'fulfil'"):
        replay(exported, fulfil)


async def test_the_workflow_is_found_by_its_name_if_it_was_imported():
    assert replay(await recorded(plainly, 3)).output == "box 3"
    exported = await recorded(plainly, 3)
    exported["run"]["definition"] = "gone"
    with pytest.raises(UnknownDefinition, match="'gone'"):
        replay(exported)


async def test_code_that_asks_for_something_else_is_told_with_its_line():
    exported = await recorded(plainly, 3)

    @workflow(name="plainly")
    def changed(amount: int) -> str | None:
        return ship(f"parcel {amount}")

    with pytest.raises(Diverged, match=r"history event 2 holds the outcome of step 'ship'.*test_replaying.py:\d+"):
        replay(exported, changed)


async def test_code_that_goes_on_after_its_end_in_history_is_told_what_it_waits_for():
    exported = await recorded(plainly, 3)

    @workflow(name="plainly")
    async def changed(amount: int) -> str | None:
        ship(None)
        ship(f"box {amount}")
        await sleep(days=1)
        return None

    with pytest.raises(Diverged, match="history ends with 'succeeded', the code waits for sleep"):
        replay(exported, changed)


async def test_code_that_ends_otherwise_than_history_is_told_how():
    exported = await recorded(plainly, 3)

    @workflow(name="plainly")
    def changed(amount: int) -> str | None:
        ship(None)
        ship(f"box {amount}")
        raise ValueError("broken since")

    with pytest.raises(Diverged, match="history ends with 'succeeded', the code ends as failed: ValueError: broken"):
        replay(exported, changed)


# --- debuggers ------------------------------------------------------------------------------------


class Stops(bdb.Bdb):
    """A debugger that notes the variables at its breakpoints, and the functions it is in."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def user_line(self, frame):
        if self.break_here(frame):
            stack = [entry[0].f_code.co_name for entry in self.get_stack(frame, None)[0]]
            self.seen.append((dict(frame.f_locals), stack))
        self.set_continue()


def _line(mark):
    lines = Path(__file__).read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if line.endswith(f"# STOP {mark}"))


@pytest.mark.parametrize(
    ("definition", "drive", "variables"),
    [
        (fulfil, say_hello, {"amount": 3, "paid": 6, "word": "hello"}),
        (plainly, None, {"amount": 3, "nothing": None, "box": "box 3"}),
    ],
    ids=["async def", "def"],
)
async def test_a_debugger_stops_in_the_workflow_with_all_its_variables(definition, drive, variables):
    exported = await recorded(definition, 3, drive=drive)
    debugger = Stops()
    debugger.set_break(__file__, _line(definition.name))
    replayed = debugger.runcall(replay, exported, definition)
    assert replayed.status == "succeeded"
    [(seen, stack)] = debugger.seen
    assert seen == variables
    assert stack[-1] == definition.name


def test_replay_is_an_ordinary_call_without_an_event_loop_and_pdb_is_free_to_talk(tmp_path):
    """`breakpoint()` in the workflow reads its commands from the terminal, which no workflow itself may do."""
    script = tmp_path / "order.py"
    script.write_text(
        textwrap.dedent("""
            import asyncio
            import sys
            from ripresa import App, sleep, step, workflow
            from ripresa.testing import VirtualClock, export_history, replay

            @step
            async def charge(amount: int) -> int:
                return amount * 2

            @workflow
            async def fulfil(amount: int) -> int:
                paid = await charge(amount)
                await sleep(days=1)
                if "replaying" in sys.argv:
                    breakpoint()
                return paid + 1

            async def record():
                async with App("memory://", [fulfil], clock=VirtualClock()) as app:
                    run = await app.start(fulfil, 20)
                    await run.result()
                    return await export_history(app, run)

            exported = asyncio.run(record())
            sys.argv.append("replaying")
            print(replay(exported, fulfil))
        """)
    )
    told = subprocess.run(
        [sys.executable, str(script)],
        input="p ('paid', paid)\nup\ndown\nnext\ncontinue\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    assert "('paid', 40)" in told
    assert "Replayed(status='succeeded', output=41" in told
    left = subprocess.run(
        [sys.executable, str(script)], input="quit\n", capture_output=True, text=True, timeout=60, check=False
    )
    assert left.returncode == 1
    assert left.stderr.rstrip().endswith("bdb.BdbQuit")
