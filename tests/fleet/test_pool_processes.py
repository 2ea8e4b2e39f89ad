"""Pools over processes on PostgreSQL, some of which are killed: the limit holds, and nobody's slot is lost."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from pathlib import Path

from ripresa.stores import open_store

PROGRAM = Path(__file__).with_name("pool_worker.py")
WITHIN_S = 120
RUNS, STEPS, SLOTS = 5, 4, 3


def notes(ledger):
    """Lines: what, name, process, when."""
    lines = ledger.read_text().splitlines() if ledger.exists() else []
    return [(what, name, int(pid), int(at)) for what, name, pid, at in map(str.split, lines)]


def until(ledger, is_so):
    end = time.monotonic() + WITHIN_S
    while not is_so(notes(ledger)):
        assert time.monotonic() < end, notes(ledger)
        time.sleep(0.01)


def most_at_once(ledger, killed):
    """The most steps that were under way at a time; those of a process that was killed ended with it."""
    ends = {(name, pid): at for what, name, pid, at in notes(ledger) if what == "ends"}
    changes = []
    for what, name, pid, at in notes(ledger):
        if what == "begins":
            changes += [(at, 1), (ends.get((name, pid), killed.get(pid, 1 << 62)), -1)]
    most = now = 0
    for _, change in sorted(changes, key=lambda item: (item[0], item[1])):
        now += change
        most = max(most, now)
    return most


async def look(url):
    """How many runs stand how, which tickets there are, and the pool."""
    store = open_store(url)
    await store.open()
    try:
        return await store.count_runs(), await store.standing(), (await store.pools())[0]
    finally:
        await store.close()


def test_a_limit_holds_over_processes_that_are_killed_and_no_slot_is_lost(postgres_url, tmp_path):
    ledger, killed, workers = tmp_path / "ledger.txt", {}, []

    def launch():
        """A worker that has started its runs, and begun a step of them."""
        numbers = map(str, (RUNS, STEPS, SLOTS))
        worker = subprocess.Popen([sys.executable, str(PROGRAM), postgres_url, str(ledger), *numbers])
        workers.append(worker)
        until(ledger, lambda told: {what for what, _, pid, _ in told if pid == worker.pid} >= {"started", "begins"})
        return worker

    try:
        survivor = launch()
        for _ in range(3):
            worker = launch()
            worker.send_signal(signal.SIGKILL)
            worker.wait()
            killed[worker.pid] = time.monotonic_ns()
        runs = RUNS * len(workers)
        until(ledger, lambda _: asyncio.run(look(postgres_url))[0] == {"succeeded": runs})
        assert survivor.poll() is None
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    done = [name for what, name, *_ in notes(ledger) if what == "ends"]
    assert len(set(done)) == runs * STEPS
    assert most_at_once(ledger, killed) == SLOTS
    _, standing, pool = asyncio.run(look(postgres_url))
    assert (standing, pool.by_engine, pool.waiting) == ([], {}, 0)
