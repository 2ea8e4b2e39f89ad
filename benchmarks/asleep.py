"""Asleep: a great many runs that wait for tomorrow, through three `kill -9`.

    start ───── kill ───── start the rest ── all asleep ── kill ── a day later ── kill ── all finished
          half of them                                             half of them

The engine is a process of its own; what it says on its output is all that this one knows, so that an acknowledged
start that is not in the store later would be seen.  "A day later" is a clock that is put forward: leases go by the
real one.  Also a test, with fewer runs (`tests/kill`).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.measure import rss_peak_mb
from ripresa import App, sleep, step, workflow
from ripresa.ports.clock import SystemClock

CLIENTS = 500
DAY_US = 24 * 3600 * 1_000_000
SETTLE_S = 1.0
PATIENCE_S = 600.0


@step
async def wake_up(number: int) -> int:
    return number


@workflow
async def nap(number: int) -> int:
    await sleep(hours=12)
    return await wake_up(number)


class Tomorrow(SystemClock):
    """The same clock, a day on."""

    def now(self) -> int:
        return super().now() + DAY_US

    def wall(self) -> int:
        return super().now()


# -- the engine's process ---------------------------------------------------------------------------------------------


async def start_all(url: str, runs: int) -> None:
    """Start those that are not there yet, then wait to be killed."""
    opening = time.perf_counter()
    async with App(url, workflows=[nap]) as app:
        assert app.store is not None
        there = sum((await app.store.count_runs()).values())
        _say(opened_s=time.perf_counter() - opening, there=there)
        acknowledged = 0
        every = max(1, min(500, runs // 2))
        start = time.perf_counter()

        async def client(first: int) -> None:
            nonlocal acknowledged
            for number in range(first, runs, CLIENTS):
                await app.start(nap, number, id=f"nap-{number}")
                acknowledged += 1
                if acknowledged % every == 0:
                    _say(acknowledged=acknowledged, seconds=time.perf_counter() - start)

        # Starting one again that is there already would be harmless, and slow the count of the others.
        done = max(0, there - 2 * CLIENTS) // CLIENTS * CLIENTS
        async with asyncio.TaskGroup() as group:
            for first in range(CLIENTS):
                group.create_task(client(done + first))
        seconds = time.perf_counter() - start
        await asyncio.sleep(SETTLE_S)
        _say(all_started=True, seconds=seconds, started=runs - there, rss_mb=_rss_mb(), rss_peak_mb=rss_peak_mb())
        await asyncio.Event().wait()


async def finish_all(url: str) -> None:
    """A day later: let everything wake."""
    opening = time.perf_counter()
    _say(opening=True)
    async with App(url, workflows=[nap], clock=Tomorrow()):
        _say(opened_s=time.perf_counter() - opening)
        while True:
            await asyncio.sleep(0.2)
            _say(rss_peak_mb=rss_peak_mb())


def _say(**values: Any) -> None:
    print(json.dumps(values), flush=True)


def _rss_mb() -> float:
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    return float("nan")


# -- the story --------------------------------------------------------------------------------------------------------


def story(runs: int, directory: Path) -> dict[str, Any]:
    """Tell it with this many runs.  Raises AssertionError if one is lost, done twice, or wrong."""
    path = directory / "asleep.db"
    told: dict[str, Any] = {"runs": runs}

    with _engine("start", path, runs) as says:
        before = _last(says, lambda said: said.get("acknowledged", 0) >= runs // 2)
    told["started_per_s"] = before["acknowledged"] / before["seconds"]
    there = _count(path)
    assert there >= before["acknowledged"], f"{before['acknowledged']} starts acknowledged, {there} runs in the store"

    with _engine("start", path, runs) as says:
        told["opened_starting_s"] = next(says)["opened_s"]
        after = _last(says, lambda said: said.get("all_started", False))
    told["rss_asleep_mb"], told["rss_peak_starting_mb"] = after["rss_mb"], after["rss_peak_mb"]
    assert _count(path) == runs

    with _engine("finish", path, runs) as says:
        next(says)
        opening = time.perf_counter()
        finished = _until_finished(path, runs // 2)
        told["finished_per_s"] = finished / (time.perf_counter() - opening)
    left = runs - _finished(path)
    told["finished_when_killed"] = runs - left

    with _engine("finish", path, runs) as says:
        next(says)
        told["opened_waking_s"] = next(says)["opened_s"]
        _until_finished(path, runs)
        told["rss_peak_waking_mb"] = _last(says, lambda said: "rss_peak_mb" in said)["rss_peak_mb"]

    _check(path, runs)
    told["file_mb"] = path.stat().st_size / 1e6
    return told


@contextmanager
def _engine(task: str, path: Path, runs: int) -> Iterator[Iterator[dict[str, Any]]]:
    """An engine that is killed at the end; gives what it says."""
    command = [sys.executable, "-m", "benchmarks.asleep", task, f"--store=sqlite:///{path}", f"--runs={runs}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]) as process:
        assert process.stdout is not None
        try:
            yield (json.loads(line) for line in process.stdout)
        finally:
            os.kill(process.pid, signal.SIGKILL)


def _last(says: Iterator[dict[str, Any]], enough: Any) -> dict[str, Any]:
    """The first saying that is enough."""
    until = time.monotonic() + PATIENCE_S
    for said in says:
        if enough(said):
            return said
        assert time.monotonic() < until, f"the engine takes too long; it last said {said}"
    raise AssertionError("the engine ended by itself")


def _count(path: Path) -> int:
    return int(_ask(path, "SELECT count(*) FROM run")[0][0])


def _until_finished(path: Path, enough: int) -> int:
    """Wait until so many have, as the file tells."""
    until = time.monotonic() + PATIENCE_S
    while (finished := _finished(path)) < enough:
        assert time.monotonic() < until, f"{finished} of {enough} runs have finished"
        time.sleep(0.01)
    return finished


def _finished(path: Path) -> int:
    return int(_ask(path, "SELECT count(*) FROM run WHERE status = 'succeeded'")[0][0])


def _check(path: Path, runs: int) -> None:
    """Every run there once, finished, with one outcome of its step and its own result."""
    assert _ask(path, "SELECT status, count(*) FROM run GROUP BY status") == [("succeeded", runs)]
    assert _ask(path, "SELECT count(*) FROM run WHERE 'nap-' || output <> key") == [(0,)]
    kinds = dict(_ask(path, "SELECT kind, count(*) FROM history GROUP BY kind"))
    assert kinds["step_completed"] == kinds["timer_fired"] == kinds["finished"] == runs, kinds


def _ask(path: Path, question: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(question).fetchall()
    finally:
        connection.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("task", choices=["story", "start", "finish"])
    parser.add_argument("--store", default="")
    parser.add_argument("--directory", type=Path)
    parser.add_argument("--runs", type=int, default=100_000)
    given = parser.parse_args()
    if given.task == "story":
        _say(**story(given.runs, given.directory))
    else:
        asyncio.run(start_all(given.store, given.runs) if given.task == "start" else finish_all(given.store))
