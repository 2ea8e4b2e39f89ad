"""A disk that is slow now and then moves commits to a thread: whatever comes meanwhile is not lost."""

import asyncio
import random
import time

import pytest

import ripresa
from ripresa import App, blocking, step, workflow
from ripresa.stores.sqlite.pace import Pace
from ripresa.stores.sqlite.writer import Writer
from ripresa.testing import VirtualClock

pytestmark = pytest.mark.own_store  # it slows SQLite down


@step
def triple(value: int) -> int:
    return 3 * value


@workflow
def part(value: int) -> int:
    return triple(value)


@workflow
def whole(other: str) -> list[object]:
    blocking.sleep("1h")
    blocking.send_signal(other, "hello", 1)
    handle = blocking.start_child(part, 1)
    return [handle.result(), blocking.child(part, 2), blocking.map_(part, [1, 2]), blocking.map_(part, [3, 4, 5, 6])]


@workflow
async def listener() -> int:
    return await ripresa.wait_for_signal("hello", int)


@pytest.mark.parametrize("seed", range(24))
async def test_children_and_signals_reach_a_run_that_is_being_let_go_of(seed, tmp_path, monkeypatch):
    dice = random.Random(seed)
    commit_now = Writer._commit_now

    def commit_slowly(writer, connection):
        time.sleep(dice.choice((0, 0, 0.001, 0.004)))
        commit_now(writer, connection)

    monkeypatch.setattr(Pace, "is_quick", lambda _: dice.random() < 0.5)
    monkeypatch.setattr(Writer, "_commit_now", commit_slowly)
    clock = VirtualClock()
    async with App(tmp_path / "runs.db", [part, whole, listener], clock=clock, evict_after=0) as app:
        heard = await app.start(listener, id="listener")
        run = await app.start(whole, "listener")
        assert await run.result("10s") == [3, 6, [3, 6], [9, 12, 15, 18]]
        assert await heard.result("30s") == 1


async def test_a_crash_while_a_commit_is_being_handed_over_lets_go_of_the_store(tmp_path, monkeypatch):
    monkeypatch.setattr(Pace, "is_quick", lambda _: False)
    app = await App(tmp_path / "runs.db", [part]).open()
    starting = asyncio.create_task(app.start(part, 1, id="one"))
    while not app.engine.committer.busy or app.engine.committer._task is None:  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(0)
    async with asyncio.timeout(30):
        await app.crash()
    starting.cancel()
    async with App(tmp_path / "runs.db", [part]) as app:
        assert await (await app.start(part, 1, id="one")).result("30s") == 3
