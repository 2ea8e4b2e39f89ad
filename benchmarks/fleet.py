"""Fleet: several engines on one PostgreSQL, with a great many runs that wait and some that are at work.

    python -m benchmarks.fleet hundred  --dsn postgresql://…    100,000 runs asleep, 1,000 at work, a kill every 30 s
    python -m benchmarks.fleet herd     --dsn postgresql://…    4,000 parked runs fall due at the same moment
    python -m benchmarks.fleet snapshot --dsn postgresql://…    throughput while somebody holds an old snapshot open
                                        --work wakes            (of runs that are put to sleep at every step)

The schema `ripresa_fleet` of the database is dropped first.  Without `--dsn` a server is started and ended (Debian's
PostgreSQL, as installed).  Each prints one JSON object; `hundred` fails if a run is lost or a step has two outcomes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.measure import closed_loop, quantile, rss_peak_mb
from benchmarks.server import server
from ripresa import App, continue_as_new, now, sleep, sleep_until, step, workflow

SCHEMA = "ripresa_fleet"
ENGINES = 3
PATIENCE_S = 900.0
BEAT_S = 0.5
GENERATION = 50
CLIENTS = 200


@step
async def wake_up(number: int) -> int:
    return number


@step
async def beat(number: int, index: int) -> int:
    await asyncio.sleep(BEAT_S)
    return number + index


@workflow
async def nap(number: int) -> int:
    await sleep(hours=12)
    return await wake_up(number)


@workflow
async def at_work(number: int, until: datetime, total: int = 0) -> int:
    """A step every half second until then, beginning anew every fifty."""
    for index in range(GENERATION):
        if now() >= until:
            return total
        await beat(number, index)
        total += 1
    await continue_as_new(number, until, total)
    return total


@workflow
async def alarm(number: int, at: datetime) -> int:
    await sleep_until(at)
    return await wake_up(number)


@workflow
async def ten_naps(number: int) -> int:
    for index in range(10):
        await sleep(seconds=0.001)
        await wake_up(index)
    return number


@workflow
async def ten_steps(number: int) -> int:
    for _ in range(10):
        await wake_up(number)
    return number


WORKFLOWS = [nap, at_work, alarm, ten_naps, ten_steps]


# -- an engine's process ----------------------------------------------------------------------------------------------


async def engine(url: str) -> None:
    """Work until killed; say every second how much memory that takes."""
    async with App(url, workflows=WORKFLOWS, evict_after="1s"):
        while True:
            _say(rss_mb=_rss_mb(), rss_peak_mb=rss_peak_mb())
            await asyncio.sleep(1)


def _say(**values: Any) -> None:
    print(json.dumps(values), flush=True)


def _rss_mb() -> float:
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    return float("nan")


class EngineProcess:
    """One engine, and the most memory that it said it takes."""

    def __init__(self, url: str) -> None:
        command = [sys.executable, "-m", "benchmarks.fleet", "engine", f"--dsn={url}"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1])
        self.rss_peak_mb = 0.0
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.rss_peak_mb = max(self.rss_peak_mb, json.loads(line)["rss_peak_mb"])

    def kill(self) -> None:
        """`kill -9`."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()


# -- stories ----------------------------------------------------------------------------------------------------------


async def hundred(url: str, *, asleep: int, active: int, minutes: float, kill_every_s: float) -> dict[str, Any]:
    """Raises AssertionError if a run is lost, or one of its steps has two outcomes."""
    import asyncpg  # noqa: PLC0415 - an extra

    look = await asyncpg.connect(_plain(url), server_settings={"search_path": SCHEMA})
    dice = random.Random(7)
    begun = time.perf_counter()
    async with App(url, workflows=WORKFLOWS, evict_after="1s") as app:

        async def client(first: int) -> None:
            for number in range(first, asleep, CLIENTS):
                await app.start(nap, number, id=f"nap-{number}")

        async with asyncio.TaskGroup() as group:
            for first in range(CLIENTS):
                group.create_task(client(first))
        starting_s = time.perf_counter() - begun
        until = datetime.now(UTC) + timedelta(minutes=minutes)
        for number in range(active):
            await app.start(at_work, number, until, id=f"work-{number}")
    engines = [EngineProcess(url) for _ in range(ENGINES)]
    gone: list[EngineProcess] = []
    kills, steps_before, since = 0, await look.fetchval(_STEPS), time.perf_counter()
    pauses: list[float] = []
    try:
        while datetime.now(UTC) < until:
            await asyncio.sleep(kill_every_s)
            victim = dice.randrange(ENGINES)
            engines[victim].kill()
            gone.append(engines[victim])
            killed_at = time.time()
            engines[victim] = EngineProcess(url)
            kills += 1
            pauses.append(await _longest_pause(look, killed_at))
        seconds = time.perf_counter() - since
        steps = await look.fetchval(_STEPS) - steps_before
        deadline = time.monotonic() + PATIENCE_S
        while await look.fetchval("SELECT count(*) FROM run WHERE definition = 'at_work' AND status <> 'succeeded'"):
            assert time.monotonic() < deadline, "runs at work do not end"
            await asyncio.sleep(0.5)
    finally:
        for one in engines:
            one.kill()
    found = dict(await look.fetch("SELECT definition || ' ' || status, count(*) FROM run GROUP BY 1"))
    assert found == {"nap waiting": asleep, "at_work succeeded": active}, found
    twice = await look.fetchval(_TWICE)
    assert twice == 0, f"{twice} steps have two outcomes"
    totals = await look.fetch("SELECT output::int, id FROM run WHERE definition = 'at_work'")
    assert sum(total for total, _ in totals) == await look.fetchval(_STEPS), (
        "a run counts other steps than were recorded"
    )
    await look.close()
    return {
        "asleep": asleep,
        "active": active,
        "minutes": round(seconds / 60, 1),
        "kills": kills,
        "starts_per_s": round(asleep / starting_s),
        "steps_per_s": round(steps / seconds),
        "steps_per_s_asked": round(active / BEAT_S),
        "recovery_s_max": round(max(pauses), 2),
        "recovery_s_p50": round(quantile(pauses, 0.5), 2),
        "rss_peak_mb": round(max(one.rss_peak_mb for one in [*engines, *gone])),
    }


_STEPS = "SELECT count(*) FROM history WHERE kind = 'step_completed' AND name = 'beat'"
_TWICE = """
SELECT count(*) FROM (
  SELECT 1 FROM (
    SELECT run, operation,
      count(*) FILTER (WHERE kind = 'continued_as_new') OVER (PARTITION BY run ORDER BY seq) AS life
    FROM history) AS told
  WHERE operation IS NOT NULL GROUP BY run, life, operation HAVING count(*) > 1) AS twice
"""


async def _longest_pause(look: Any, killed_at: float) -> float:
    """From the kill until every run at work has had a step recorded after it, in seconds."""
    deadline = time.monotonic() + PATIENCE_S
    while await look.fetchval(_STOPPED, int(killed_at * 1e6)):
        assert time.monotonic() < deadline, "runs of a dead engine do not go on"
        await asyncio.sleep(0.05)
    return time.time() - killed_at


_STOPPED = """
SELECT EXISTS (
  SELECT 1 FROM run WHERE definition = 'at_work' AND status IN ('running', 'waiting', 'queued')
  AND NOT EXISTS (
    SELECT 1 FROM history WHERE history.run = run.id AND history.at > $1 AND history.kind = 'step_completed'))
"""


async def herd(url: str, *, runs: int, engines: int) -> dict[str, Any]:
    """All fall due at once; the time from then until the last has finished."""
    import asyncpg  # noqa: PLC0415 - an extra

    look = await asyncpg.connect(_plain(url), server_settings={"search_path": SCHEMA})
    async with App(url, workflows=WORKFLOWS, evict_after="100ms") as app:
        at = datetime.now(UTC) + timedelta(seconds=max(20, runs / 150))
        async with asyncio.TaskGroup() as group:
            for first in range(CLIENTS):
                group.create_task(_start_alarms(app, first, runs, at))
        assert app.engine is not None
        while app.engine.held:  # noqa: ASYNC110 - nobody tells when a run has left memory
            await asyncio.sleep(0.05)
    assert datetime.now(UTC) < at, "they fell due before they were parked"
    others = [EngineProcess(url) for _ in range(engines)]
    try:
        await asyncio.sleep((at - datetime.now(UTC)).total_seconds())
        due = time.perf_counter()
        while await look.fetchval("SELECT count(*) FROM run WHERE status = 'succeeded'") < runs:
            assert time.perf_counter() - due < PATIENCE_S
            await asyncio.sleep(0.02)
        seconds = time.perf_counter() - due
    finally:
        for one in others:
            one.kill()
    await look.close()
    return {"woken": runs, "engines": engines, "seconds": round(seconds, 2)}


async def _start_alarms(app: App, first: int, runs: int, at: datetime) -> None:
    for number in range(first, runs, CLIENTS):
        await app.start(alarm, number, at, id=f"alarm-{number}")


async def snapshot(url: str, *, work: str, minutes: float) -> dict[str, Any]:
    """Steps a second, window by window, while a transaction that began before them stays open.

    `wakes`: runs leave memory at each of their naps, so that every step takes its turn through the rows of what is due.
    """
    import asyncpg  # noqa: PLC0415 - an extra

    windows: list[float] = []
    workflow, runs = (ten_naps, 1_000) if work == "wakes" else (ten_steps, 5_000)
    async with App(url, workflows=WORKFLOWS, evict_after=0 if work == "wakes" else "30s") as app:
        holder = await asyncpg.connect(_plain(url), server_settings={"search_path": SCHEMA})
        old = holder.transaction(isolation="repeatable_read")
        await old.start()
        await holder.fetchval("SELECT count(*) FROM run")

        async def one(number: int) -> None:
            await (await app.start(workflow, number)).result()

        end = time.monotonic() + minutes * 60
        while time.monotonic() < end:
            told = await closed_loop(one, clients=100, runs=runs)
            windows.append(told["steps_per_s"])
        await old.rollback()
        await holder.close()
    quarter = max(1, len(windows) // 4)
    first, last = windows[1 : 1 + quarter], windows[-quarter:]
    return {
        "minutes": minutes,
        "work": work,
        "windows": [round(one) for one in windows],
        "last_to_first": round(sum(last) / len(last) / (sum(first) / len(first)), 3),
        "lowest_to_first": round(min(windows[1:]) / (sum(first) / len(first)), 3),
    }


# -- where ------------------------------------------------------------------------------------------------------------


def _plain(url: str) -> str:
    return url.partition("?")[0]


def _in_schema(url: str) -> str:
    return f"{_plain(url)}?schema={SCHEMA}"


async def _emptied(url: str) -> None:
    import asyncpg  # noqa: PLC0415 - an extra

    connection = await asyncpg.connect(_plain(url))
    await connection.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
    await connection.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("story", choices=["hundred", "herd", "snapshot", "engine"])
    parser.add_argument("--dsn")
    parser.add_argument("--asleep", type=int, default=100_000)
    parser.add_argument("--active", type=int, default=1_000)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--kill-every", type=float, default=30)
    parser.add_argument("--runs", type=int, default=4_000)
    parser.add_argument("--work", choices=["steps", "wakes"], default="steps")
    parser.add_argument("--engines", type=int, default=1)
    given = parser.parse_args()
    if given.story == "engine":
        asyncio.run(engine(given.dsn))
        return
    with server(given.dsn) as dsn:
        url = _in_schema(dsn)
        asyncio.run(_emptied(url))
        match given.story:
            case "hundred":
                told = hundred(
                    url,
                    asleep=given.asleep,
                    active=given.active,
                    minutes=given.minutes,
                    kill_every_s=given.kill_every,
                )
            case "herd":
                told = herd(url, runs=given.runs, engines=given.engines)
            case _:
                told = snapshot(url, work=given.work, minutes=given.minutes)
        _say(story=given.story, load=round(os.getloadavg()[0], 1), **asyncio.run(told))


if __name__ == "__main__":
    main()
