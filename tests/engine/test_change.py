"""Beginning anew, branching between old and new code, dice that replay, and code that no longer fits."""

from __future__ import annotations

import asyncio
import importlib
import logging
import sys
import textwrap

import pytest

import ripresa
from ripresa import (
    Retry,
    RunBlocked,
    RunCancelled,
    RunFailed,
    continue_as_new,
    on_query,
    on_update,
    sleep,
    step,
    wait_for_signal,
    wait_until,
    workflow,
)
from ripresa.contracts.record_base import failure
from ripresa.contracts.step_records import steps_of


@step
async def echo(value: int) -> int:
    return value


async def recorded(app, run, kind, count=1):
    async with asyncio.timeout(10):
        while [event.kind for event in await app.history(run)].count(kind) < count:  # noqa: ASYNC110 - nothing else tells
            await asyncio.sleep(0)


# --- beginning anew ---------------------------------------------------------------------------


async def test_a_run_begins_anew_a_thousand_times(world):
    @workflow
    async def count(number: int = 0) -> int:
        number += await echo(1)
        if number < 1000:
            continue_as_new(number)
        return number

    app = await world.open(count)
    run = await app.start(count, id="c")
    assert await run.result("60s") == 1000
    assert run.id == "c"
    loaded = (await app.store.load([run.uuid]))[0]
    assert len(loaded.history) <= 3


async def test_beginning_anew_survives_every_crash(every_world):
    world = every_world
    world.clock = world.clock_that_stands()

    @workflow
    async def count(number: int = 0) -> int:
        await sleep(hours=1)
        if number < 5:
            continue_as_new(number + 1)
        return number

    app = await world.open(count)
    await app.start(count, id="c")
    for _ in range(6):
        app = await world.crash(app)
        await world.clock.advance(hours=1)
    assert await (await app.get("c")).result("10s") == 5


@pytest.mark.parametrize("kind", ["def", "keyword", "task", "handler"])
async def test_a_run_begins_anew_from_anywhere_in_its_code(world, kind):
    @workflow
    def plain(left: int) -> str:
        if left:
            continue_as_new(left - 1)
        return "done"

    @workflow
    async def awaiting(left: int) -> str:
        if not left:
            return "done"
        if kind == "keyword":
            continue_as_new(left=left - 1)

        async def inner() -> None:
            await echo(1)
            continue_as_new(left - 1)

        if kind == "handler":

            @ripresa.on_signal("go")
            async def go() -> None:
                await inner()

            await sleep(days=1)
        async with asyncio.TaskGroup() as group:
            group.create_task(inner())
            group.create_task(sleep(days=1))
        return "not reached"

    chosen = plain if kind == "def" else awaiting
    app = await world.open(chosen, clock=world.clock_that_stands())
    run = await app.start(chosen, 2)
    if kind == "handler":
        await app.signal(run, "go")
        await recorded(app, run, "continued_as_new")
        await app.signal(run, "go")
    assert await run.result("10s") == "done"


async def test_arguments_that_do_not_fit_fail_the_run(world):
    @workflow
    async def count(number: int) -> int:
        return continue_as_new("many")

    with pytest.raises(RunFailed, match=r"count\(number\): input should be a valid integer"):
        await world.run(count, 1)


async def test_attempts_are_kept_though_their_names_come_again(every_world):
    world = every_world

    @step(retry=Retry(max_attempts=2, delay="1m"))
    async def charge(number: int) -> int:
        world.did(number)
        if world.count(number) == 1:
            raise OSError(f"no {number}")
        return number

    @workflow
    async def charges(number: int = 0) -> int:
        await charge(number)
        if number < 2:
            continue_as_new(number + 1)
        return number

    app = await world.open(charges)
    run = await app.start(charges)
    await run.result("10s")
    row = (await app.store.load([run.uuid]))[0].run
    tried = await app.store.attempts(run.uuid)
    told = [(one.operation, one.number, one.status, failure(one.error).message) for one in tried]
    assert told == [("charge", 1, "failed", f"no {number}") for number in range(3)]
    assert [one.generation for one in tried] == sorted({one.generation for one in tried})
    (shown,) = steps_of(row, await app.store.history(run.uuid, after=row.base_seq), tried)
    assert (shown.status, shown.attempts) == ("succeeded", 2)


async def test_signals_in_between_are_neither_lost_nor_doubled(every_world):
    world = every_world

    @workflow
    async def adds(total: int, left: int) -> int:
        total += await wait_for_signal("n", int)
        if left > 1:
            continue_as_new(total, left - 1)
        return total

    app = await world.open(adds)
    run = await app.start(adds, 0, 30)
    for number in range(30):
        await app.signal(run, "n", 2**number)
    assert await run.result("30s") == 2**30 - 1


async def test_signals_that_nobody_waited_for_go_over_to_the_next_generation(world):
    @workflow
    async def first_alone(again: bool = True) -> list[int]:
        if again:
            await wait_for_signal("go")
            continue_as_new(False)
        return [await wait_for_signal("n", int) for _ in range(3)]

    app = await world.open(first_alone)
    run = await app.start(first_alone)
    for number in range(3):
        await app.signal(run, "n", number)
    await app.signal(run, "go")
    assert await run.result("10s") == [0, 1, 2]


async def test_a_cancellation_in_between_is_not_lost(world):
    @workflow
    async def for_ever(number: int = 0) -> None:
        await echo(number)
        continue_as_new(number + 1)

    app = await world.open(for_ever)
    for delay in range(6):
        run = await app.start(for_ever)
        for _ in range(delay * 3):
            await asyncio.sleep(0)
        await app.cancel(run)
        with pytest.raises(RunCancelled):
            await run.result("10s")


async def test_updates_and_queries_find_the_generation_that_is(world):
    @workflow
    async def counter(total: int = 0) -> int:
        again = False

        @on_update("add")
        def add(value: int) -> int:
            nonlocal again, total
            total += value
            again = True
            return total

        @on_query("total")
        def look() -> int:
            return total

        await wait_until(lambda: again)
        if total < 10:
            continue_as_new(total)
        return total

    app = await world.open(counter)
    run = await app.start(counter)
    assert [await app.update(run, "add", 4), await app.update(run, "add", 5)] == [4, 9]
    assert await app.query(run, "total") == 9
    assert await app.update(run, "add", 6) == 15
    assert await run.result("10s") == 15


async def test_each_generation_has_keys_dice_and_children_of_its_own(world):
    @step
    async def key() -> str:
        return ripresa.context().idempotency_key

    @workflow
    async def part() -> str:
        return ripresa.context().run_id

    @workflow
    async def collects(left: int, seen: list[str]) -> list[str]:
        more = [await key(), str(ripresa.uuid4()), str(ripresa.random()), await ripresa.child(part)]
        if left:
            continue_as_new(left - 1, [*seen, *more])
        return [*seen, *more]

    seen = await world.run(collects, 3, [], with_=(part,))
    assert len(set(seen)) == len(seen) == 16


async def test_a_child_may_begin_anew_too(world):
    @workflow
    async def inner(left: int) -> str:
        await echo(left)
        if left:
            continue_as_new(left - 1)
        return "inner"

    @workflow
    async def outer() -> str:
        return await ripresa.child(inner, 3)

    assert await world.run(outer, with_=(inner,)) == "inner"


# --- dice, clock and context ------------------------------------------------------------------


async def test_dice_and_clock_replay_the_same(every_world):
    world = every_world

    @workflow
    async def dice() -> list[str]:
        def roll() -> list[str]:
            return [str(ripresa.uuid4()), str(ripresa.random()), ripresa.now().isoformat()]

        async def branch() -> list[str]:
            await echo(1)
            return roll()

        rolled = roll()
        await sleep(hours=1)
        rolled += roll()
        for more in await asyncio.gather(branch(), branch()):
            rolled += more
        await check(rolled)
        await wait_for_signal("go")
        await check(rolled)
        return rolled

    @step
    async def check(rolled: list[str]) -> None:
        world.did(tuple(rolled))

    app = await world.open(dice)
    run = await app.start(dice, id="d")
    await recorded(app, run, "step_completed", 3)
    app = await world.crash(app)
    await app.signal("d", "go")
    rolled = await (await app.get("d")).result("10s")
    assert set(world.ledger) == {tuple(rolled)}
    ids = [text for text in rolled if len(text) == 36]
    assert len(set(ids)) == len(ids) == 4
    assert all(text[14] == "4" for text in ids)
    assert rolled[2] == "2026-01-01T00:00:00+00:00"


async def test_dice_differ_from_run_to_run(world):
    @workflow
    async def dice() -> list[object]:
        return [str(ripresa.uuid4()), ripresa.random()]

    app = await world.open(dice)
    rolled = [await (await app.start(dice)).result("10s") for _ in range(5)]
    assert len({roll[0] for roll in rolled}) == len({roll[1] for roll in rolled}) == 5
    assert all(0 <= roll[1] < 1 for roll in rolled)


async def test_a_step_knows_its_context(world):
    @step(retry=Retry(max_attempts=2, delay=0))
    async def tells() -> dict[str, object]:
        context = ripresa.context()
        world.did(context.idempotency_key)
        if context.attempt == 1:
            raise OSError
        return {
            name: getattr(context, name)
            for name in ("run_id", "workflow", "step", "operation", "attempt", "correlation_id")
        }

    @step
    def tells_from_a_thread() -> str:
        return ripresa.context().operation

    @workflow
    async def asks() -> list[object]:
        mine = ripresa.context()
        return [await tells(), tells_from_a_thread(), [mine.run_id, mine.workflow, mine.step, mine.attempt]]

    app = await world.open(asks)
    run = await app.start(asks, id="order-7", correlation_id="c-1")
    in_step, in_thread, in_workflow = await run.result("10s")
    assert in_step == {
        "run_id": "order-7",
        "workflow": "asks",
        "step": "tells",
        "operation": "tells",
        "attempt": 2,
        "correlation_id": "c-1",
    }
    assert (in_thread, in_workflow) == ("tells_from_a_thread", ["order-7", "asks", "", 0])
    assert len(world.ledger) == 2
    assert len(set(world.ledger)) == 1


async def test_idempotency_keys_differ_from_step_to_step_and_run_to_run(world):
    @step
    async def key() -> str:
        return ripresa.context().idempotency_key

    @workflow
    async def keys() -> list[str]:
        return [await key(), await key()]

    app = await world.open(keys)
    seen = [await (await app.start(keys)).result("10s") for _ in range(3)]
    assert len({one for pair in seen for one in pair}) == 6


# --- old code and new code --------------------------------------------------------------------


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Load a module of workflows from its source, as a deploy does."""
    count = iter(range(99))
    monkeypatch.syspath_prepend(str(tmp_path))

    def load(source):
        name = f"code_{tmp_path.name}_{next(count)}"
        (tmp_path / f"{name}.py").write_text("from ripresa import *\nimport asyncio\n" + textwrap.dedent(source))
        importlib.invalidate_caches()
        monkeypatch.delitem(sys.modules, name, raising=False)
        return importlib.import_module(name)

    return load


STEPS = """
@step
async def one() -> int:
    return 1

@step
async def two() -> int:
    return 2

@step
async def three() -> int:
    return 3
"""
OLD = f"""{STEPS}
@workflow
async def story() -> list[int]:
    done = [await one()]
    await wait_for_signal("go")
    done.append(await two())
    await wait_for_signal("go")
    return done
"""
REORDERED = f"""{STEPS}
@workflow
async def story() -> list[int]:
    done = [await three()]
    await wait_for_signal("go")
    done.append(await two())
    await wait_for_signal("go")
    return done
"""
PATCHED = f"""{STEPS}
@workflow
async def story() -> list[int]:
    done = [await three()] if patched("three-first") else [await one()]
    await wait_for_signal("go")
    done.append(await two())
    await wait_for_signal("go")
    return done
"""


async def under_way(world, load, source=OLD):
    """A run of the old code that has done its first step, and its App gone."""
    old = load(source)
    app = await world.open(old.story)
    await app.start(old.story, id="s")
    await recorded(app, "s", "step_completed")
    return old, app


async def woken(world, app, *workflows):
    """The App after a deploy of this code, and the run, which has noticed it."""
    app = await world.crash(app, *workflows)
    await app.signal("s", "poke")
    return app, await app.get("s")


async def test_code_that_no_longer_fits_blocks_the_run_and_says_where(every_world, load, caplog):
    world = every_world
    _, app = await under_way(world, load)
    new = load(REORDERED)
    with caplog.at_level(logging.WARNING):
        app, run = await woken(world, app, new.story)
        with pytest.raises(RunBlocked) as caught:
            await run.result("10s")
    said = str(caught.value)
    line = REORDERED.splitlines().index("    done = [await three()]") + 3
    for part in (
        "run 's' is blocked",
        "history event 2",
        "step 'one'",
        "step 'three'",
        f"{new.__name__}.py:{line}",
        "patched(",
    ):
        assert part in said, part
    assert caught.value.cause.step == "three"
    assert run.status == "blocked"
    assert "no longer fits its code" in caplog.text


async def test_a_blocked_run_goes_on_when_the_old_code_is_back(every_world, load):
    world = every_world
    old, app = await under_way(world, load)
    app, run = await woken(world, app, load(REORDERED).story)
    with pytest.raises(RunBlocked):
        await run.result("10s")
    app = await world.crash(app, old.story)
    await app.signal("s", "go")
    await app.signal("s", "go")
    assert await (await app.get("s")).result("10s") == [1, 2]


async def test_a_blocked_run_goes_on_with_patched_code(world, load):
    _, app = await under_way(world, load)
    app, run = await woken(world, app, load(REORDERED).story)
    with pytest.raises(RunBlocked):
        await run.result("10s")
    app = await world.crash(app, load(PATCHED).story)
    await app.signal("s", "go")
    await app.signal("s", "go")
    assert await (await app.get("s")).result("10s") == [1, 2]


async def test_a_blocked_run_keeps_its_signals_and_can_be_cancelled(world, load):
    old, app = await under_way(world, load)
    app, run = await woken(world, app, load(REORDERED).story)
    with pytest.raises(RunBlocked):
        await run.result("10s")
    await app.signal("s", "go")
    app = await world.crash(app, old.story)
    await recorded(app, "s", "step_completed", 2)
    app, run = await woken(world, app, load(REORDERED).story)
    with pytest.raises(RunBlocked):
        await run.result("10s")
    await app.cancel(run)
    with pytest.raises(RunCancelled):
        await run.result("10s")


async def test_other_arguments_are_told_from_other_steps(world, load):
    source = """
    @step
    async def charge(cents: int) -> int:
        return cents

    @workflow
    async def story() -> int:
        cents = await charge({})
        await wait_for_signal("go")
        return cents
    """
    _, app = await under_way(world, load, source.replace("{}", "500"))
    app, run = await woken(world, app, load(source.replace("{}", "600")).story)
    with pytest.raises(RunBlocked, match=r"step 'charge', but the code now asks for it with other arguments at .*:\d+"):
        await run.result("10s")


async def test_code_that_asks_for_less_is_told_too(world, load):
    _, app = await under_way(world, load)
    shorter = f"{STEPS}\n@workflow\nasync def story() -> list[int]:\n    return []\n"
    app, run = await woken(world, app, load(shorter).story)
    with pytest.raises(RunBlocked, match="step 'one', but the code has already ended"):
        await run.result("10s")


async def test_code_may_change_where_no_history_is_yet(world, load):
    _, app = await under_way(world, load)
    longer = OLD.replace("return done", "done.append(await three())\n    return done")
    app = await world.crash(app, load(longer).story)
    await app.signal("s", "go")
    await app.signal("s", "go")
    assert await (await app.get("s")).result("10s") == [1, 2, 3]


async def test_patched_is_true_for_new_runs_and_false_for_those_that_passed(every_world, load):
    world = every_world
    _, app = await under_way(world, load)
    new = load(PATCHED)
    app = await world.crash(app, new.story)
    fresh = await app.start(new.story)
    for run in ("s", fresh):
        await app.signal(run, "go")
        await app.signal(run, "go")
    assert await (await app.get("s")).result("10s") == [1, 2]
    assert await fresh.result("10s") == [3, 2]


async def test_patched_stays_as_it_was_answered(every_world):
    world = every_world

    @workflow
    async def branches() -> list[bool]:
        first = ripresa.patched("x")
        await echo(1)
        await wait_for_signal("go")
        return [first, ripresa.patched("x"), ripresa.patched("y")]

    app = await world.open(branches)
    await app.start(branches, id="b")
    await recorded(app, "b", "step_completed")
    app = await world.crash(app)
    await app.signal("b", "go")
    assert await (await app.get("b")).result("10s") == [True, True, True]


async def test_patched_is_new_for_a_run_that_reaches_it_now_however_much_comes_at_once(world):
    """Two steps whose outcomes come in one commit, and a branch between them."""

    @workflow
    async def branches() -> bool:
        tasks = [asyncio.ensure_future(echo(value)) for value in range(4)]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        answer = ripresa.patched("between")
        await asyncio.wait(tasks)
        return answer

    assert await world.run(branches) is True


async def test_a_run_goes_on_with_the_code_of_its_version(world, load):
    source = """
    @step
    async def say(word: str) -> str:
        return word

    @workflow(version="{version}")
    async def story() -> list[str]:
        first = await say("{version}")
        await wait_for_signal("go")
        return [first, await say("{version}")]
    """
    one, two = load(source.replace("{version}", "1")), load(source.replace("{version}", "2"))
    app = await world.open(one.story)
    await app.start(one.story, id="s")
    await recorded(app, "s", "step_completed")
    app = await world.crash(app, one.story, two.story)
    fresh = await app.start(two.story)
    newest = await app.start("story")
    for run in ("s", fresh, newest):
        await app.signal(run, "go")
    assert await (await app.get("s")).result("10s") == ["1", "1"]
    assert await fresh.result("10s") == ["2", "2"]
    assert await newest.result("10s") == ["2", "2"]


async def test_a_label_finds_the_code_even_if_its_text_has_changed(world, load):
    source = """
    @step
    async def say(word: str) -> str:
        return word

    @workflow(version="{version}")
    async def story() -> str:
        word = await say("{version}")
        await wait_for_signal("go")
        return word  {comment}
    """

    def version(number, comment=""):
        return load(source.replace("{version}", number).replace("{comment}", comment))

    app = await world.open(version("1").story)
    await app.start("story", id="s")
    await recorded(app, "s", "step_completed")
    app = await world.crash(app, version("1", "# the same").story, version("2").story)
    await app.signal("s", "go")
    assert await (await app.get("s")).result("10s") == "1"


async def test_the_definition_is_kept_with_its_first_run(world):
    @workflow(version="7")
    async def kept(value: int) -> int:
        return value

    app = await world.open(kept)
    await (await app.start(kept, 1)).result("10s")
    (definition,) = await app.store.definitions()
    assert (definition.name, definition.label, definition.version) == ("kept", "7", kept.version)
    assert "async def kept" in definition.body
    assert '"value"' in definition.input_schema
