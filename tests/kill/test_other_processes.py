"""What one process begins, another goes on with, and may be told from outside."""

import asyncio
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ripresa import App, RunConflict, continue_as_new, step, wait_for_signal, workflow
from ripresa.ports.rows import Message
from ripresa.stores.sqlite import SqliteStore

PROGRAM = """
import asyncio, os, sys
from ripresa import App, sleep, step, workflow

@step
async def double(number: int) -> int:
    return 2 * number

@workflow
async def doubled_later(number: int) -> int:
    await sleep(seconds=0.2)
    return await double(number)

async def main():
    async with App(sys.argv[1], workflows=[doubled_later]) as app:
        if sys.argv[2] == "start":
            await app.start(doubled_later, 21, id="one")
            os._exit(9)
        print(await (await app.get("one")).result(timeout="20s"))

asyncio.run(main())
"""


def run_program(url: str, what: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM, url, what]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_process_that_has_started_no_run_itself_goes_on_with_one_it_finds(tmp_path: Path):
    """Its very first import of much of pydantic then happens in workflow code, under the guard."""
    url = f"sqlite:///{tmp_path}/runs.db"
    assert run_program(url, "start").returncode == 9
    found = run_program(url, "go on")
    assert (found.returncode, found.stdout) == (0, "42\n"), found.stderr


@step
async def plus_one(number: int) -> int:
    return number + 1


@workflow
async def one_more() -> int:
    return await plus_one(await wait_for_signal("go", int))


async def test_a_signal_from_another_process_wakes_a_parked_run(tmp_path: Path):
    url = f"sqlite:///{tmp_path}/runs.db"
    async with App(url, workflows=[one_more], evict_after="10ms") as app:
        run = await app.start(one_more)
        async with asyncio.timeout(20):
            while app.engine.held:  # noqa: ASYNC110 - nobody tells when a run has left memory
                await asyncio.sleep(0.01)
        other = SqliteStore(url)
        await other.open()
        await other.send(Message("m1", run.uuid, "signal", "go", "41", time.time_ns() // 1000))
        assert await run.result(timeout="20s") == 42
        await other.close()


@workflow
async def count_down(number: int) -> str:
    if number:
        await plus_one(number)
        await continue_as_new(number - 1)
    return "lift-off"


async def test_a_start_is_repeated_safely_when_the_run_has_continued_as_new_meanwhile():
    async with App("memory://", workflows=[count_down]) as app:
        run = await app.start(count_down, 3, id="ours")
        assert await run.result() == "lift-off"
        assert (await app.start(count_down, 3, id="ours")).uuid == run.uuid
        with pytest.raises(RunConflict, match="with another input"):
            await app.start(count_down, 0, id="ours")
