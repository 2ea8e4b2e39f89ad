"""Takeover: how soon the runs of an engine that was killed, or stopped for long, go on at the others.

    python -m benchmarks.takeover postgresql://user@host/database --kills 20 --stops 5

Without an address a server is started and ended.  Starts engines as processes on a database that is empty of runs,
gives them runs that tick five times a second, and now and then kills one with SIGKILL, or stops it for twice its lease
and lets it go on as a zombie.  Every tick is a line in a file outside.  Told are the times from the kill to the next
tick of each run that moved, and what must be nothing: runs lost, steps with two outcomes, gaps in journals.
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
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # a script's own folder is on the path, its neighbours are not

from benchmarks.server import server
from ripresa import App, sleep, step, workflow
from ripresa.kernel import history as h
from ripresa.ports.reading import RunFilter
from ripresa.stores import open_store

_TICK_S = 0.2
_WITHIN_S = 120.0


@step
def tick(ledger: str, run: int, number: int) -> bool:
    """Note it, and say whether to go on."""
    with Path(ledger).open("a") as file:
        file.write(f"{time.time()} {run} {number} {os.getpid()}\n")
    return not Path(ledger).with_suffix(".stop").exists()


@workflow
async def ticking(ledger: str, run: int) -> int:
    """Tick until told to stop."""
    number = 0
    while tick(ledger, run, number):
        number += 1
        await sleep(seconds=_TICK_S)
    return number


async def serve(url: str, ledger: str, lease_s: float, runs: int) -> None:
    """One engine, until it is told to stop or loses its lease."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with App(url, [ticking], config={"lease_s": lease_s}) as app:
        assert app.engine is not None
        _at_work(Path(ledger), os.getpid()).touch()
        for run in range(runs):
            await app.start(ticking, ledger, run, id=f"ticking-{run}")
        while not stop.is_set() and app.engine.failure is None:  # noqa: ASYNC110 - a failure tells nobody
            await asyncio.sleep(0.05)


def _at_work(ledger: Path, pid: int) -> Path:
    """The file that tells that an engine is at work."""
    return ledger.with_suffix(f".{pid}")


class Engines:
    """The processes."""

    def __init__(self, url: str, ledger: Path, *, lease_s: float, count: int, runs: int) -> None:
        self._args = [url, "--serve", str(ledger), "--lease", str(lease_s)]
        self._ledger = ledger
        self._runs = runs
        self.all = [self._spawn(runs)]
        self.wait_for_ticks()
        self.all += [self._spawn(0) for _ in range(count - 1)]

    def _spawn(self, runs: int) -> subprocess.Popen[bytes]:
        """One more, once it is at work: before that there is nothing to take over from it."""
        made = subprocess.Popen([sys.executable, __file__, *self._args, "--runs", str(runs)], stderr=subprocess.DEVNULL)
        end = time.monotonic() + _WITHIN_S
        while not _at_work(self._ledger, made.pid).exists():
            if time.monotonic() > end or made.poll() is not None:
                raise SystemExit("an engine does not begin to work")
            time.sleep(0.02)
        return made

    def ticks(self) -> list[tuple[float, int, int, int]]:
        """Time, run, number and process of each tick so far."""
        lines = self._ledger.read_text().splitlines() if self._ledger.exists() else []
        return [(float(at), int(run), int(number), int(pid)) for at, run, number, pid in map(str.split, lines)]

    def wait_for_ticks(self) -> None:
        """Until every run has ticked."""
        end = time.monotonic() + _WITHIN_S
        while len({run for _, run, _, _ in self.ticks()}) < self._runs:
            if time.monotonic() > end:
                raise SystemExit("the runs do not begin to tick")
            time.sleep(0.05)

    def kill(self, place: int, *, stop_s: float) -> list[float]:
        """Kill one, or stop it for so long; how long each of its runs then waited for its next tick elsewhere."""
        victim = self.all[place]
        at = time.time()
        victim.send_signal(signal.SIGSTOP if stop_s else signal.SIGKILL)
        last = {run: pid for when, run, _, pid in sorted(self.ticks()) if when <= at}
        moved = {run for run, pid in last.items() if pid == victim.pid}
        waits = self._waits(moved, victim.pid, at)
        if stop_s:
            time.sleep(max(0.0, stop_s - (time.time() - at)))
            victim.send_signal(signal.SIGCONT)
        victim.wait(_WITHIN_S)  # a zombie finds that its lease is gone, and ends
        self.all[place] = self._spawn(0)
        return waits

    def _waits(self, moved: set[int], pid: int, at: float) -> list[float]:
        end = time.monotonic() + _WITHIN_S
        while True:
            first: dict[int, float] = {}
            for when, run, _, by in sorted(self.ticks()):
                if run in moved and when > at and by != pid:
                    first.setdefault(run, when - at)
            if first.keys() == moved:
                return list(first.values())
            if time.monotonic() > end:
                raise SystemExit(f"runs {sorted(moved - first.keys())} did not go on within {_WITHIN_S:g} s")
            time.sleep(0.05)

    def end(self) -> None:
        """Have all runs end; then the engines."""
        self._ledger.with_suffix(".stop").touch()

    def close(self) -> None:
        """Nothing is left."""
        for process in self.all:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()


async def _ended(url: str, runs: int) -> dict[str, int]:
    """What became of the runs, once all have ended."""
    store = open_store(url)
    await store.open()
    try:
        async with asyncio.timeout(_WITHIN_S):
            while (await store.count_runs()).get("succeeded", 0) < runs:  # noqa: ASYNC110 - others end them
                await asyncio.sleep(0.1)
        found = Counter(runs=sum((await store.count_runs()).values()))
        for run in (await store.list_runs(RunFilter(), limit=runs)).runs:
            events = await store.history(run.id)
            outcomes = Counter(event.operation for event in events if event.kind in h.OUTCOMES)
            found["doubled"] += sum(count - 1 for count in outcomes.values())
            found["gaps"] += [event.seq for event in events] != list(range(1, len(events) + 1))
            found["outcomes"] += len(outcomes)
        return dict(found)
    finally:
        await store.close()


def measure(url: str, *, engines: int, kills: int, stops: int, runs: int, lease_s: float, seed: int) -> dict[str, Any]:
    """What came of it."""
    chance = random.Random(seed)
    order = [0.0] * kills + [2 * lease_s] * stops
    chance.shuffle(order)
    with tempfile.TemporaryDirectory() as folder:
        ledger = Path(folder) / "ticks.txt"
        fleet = Engines(url, ledger, lease_s=lease_s, count=engines, runs=runs)
        try:
            waits: list[float] = []
            for number, stop_s in enumerate(order):
                waits += fleet.kill(0 if number == 0 else chance.randrange(engines), stop_s=stop_s)
            fleet.end()
            found = asyncio.run(_ended(url, runs))
            calls = Counter((run, number) for _, run, number, _ in fleet.ticks())
        finally:
            fleet.close()
    waits.sort()
    return {
        "engines": engines, "kills": kills, "stops": stops, "lease_s": lease_s, "seed": seed,
        "runs": runs, "lost": runs - found["runs"], "doubled": found["doubled"], "gaps": found["gaps"],
        "outcomes": found["outcomes"], "called_twice": sum(count - 1 for count in calls.values()),
        "moved": len(waits),
        **{name: round(waits[int(share * (len(waits) - 1))], 2) for name, share in _SHARES.items() if waits},
    }  # fmt: skip


_SHARES = {"p50_s": 0.5, "p99_s": 0.99, "max_s": 1.0}


def main() -> None:
    """Measure, or be one of the engines."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "url", nargs="?", help="a store that engines share, as postgresql://user@host/database?schema=takeover"
    )
    parser.add_argument("--engines", type=int, default=3)
    parser.add_argument("--kills", type=int, default=10, help="how many are killed")
    parser.add_argument("--stops", type=int, default=0, help="how many are stopped for twice their lease")
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--lease", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--serve", metavar="LEDGER", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        asyncio.run(serve(args.url, args.serve, args.lease, args.runs))
        return
    with server(args.url) as url:
        told = measure(
            url, engines=args.engines, kills=args.kills, stops=args.stops, runs=args.runs, lease_s=args.lease,
            seed=args.seed,
        )  # fmt: skip
    print(json.dumps(told))


if __name__ == "__main__":
    main()
