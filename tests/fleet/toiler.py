"""An engine in a process of its own, whose steps note in a file outside what they do; and what must be so afterwards.

    python toiler.py URL LEDGER LEASE_S

It starts runs until the file LEDGER.stop is there, notes each that was acknowledged, and ends once none is open.  When
its lease was broken it begins anew, as `ripresa worker` does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from ripresa import App, sleep, step, workflow
from ripresa.contracts.errors import EngineFenced, StoreError, StoreUnavailable
from ripresa.kernel import history as h
from ripresa.ports.reading import RunFilter
from ripresa.stores import open_store

STEPS = 4
ACTIVE = 4
WITHIN_S = 120.0


class Ledger:
    """The file; a line is one write, which no other process's line gets into."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stop = path.with_suffix(".stop")

    def note(self, *words: object) -> None:
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, f"{' '.join(map(str, words))} {os.getpid()}\n".encode())
        os.close(file)

    def lines(self, what: str) -> list[list[str]]:
        """What was noted of this kind: the other words."""
        text = self.path.read_text() if self.path.exists() else ""
        return [words[1:] for words in map(str.split, text.splitlines()) if words[0] == what]


ledger = Ledger(Path(os.devnull))


@step
async def toil(run: str, number: int) -> int:
    ledger.note("begins", run, number)
    await asyncio.sleep(0.02)
    ledger.note("ends", run, number)
    return number


@workflow
async def toils(run: str) -> int:
    total = 0
    for number in range(STEPS):
        total += await toil(run, number)
        await sleep(seconds=0.05)
    return total


async def serve(url: str, lease_s: float) -> None:
    """Engine after engine, until it is told to stop and no run is open."""
    while True:
        app = App(url, [toils], config={"lease_s": lease_s})
        try:
            await app.open()
        except (StoreUnavailable, EngineFenced) as error:
            ledger.note("waits", type(error).__name__)
            await asyncio.sleep(0.2)
            continue
        ledger.note("works")
        clients = [asyncio.create_task(ask(app, place)) for place in range(ACTIVE)]
        await asyncio.wait(clients)
        failure = app.engine.failure
        with contextlib.suppress(StoreError):
            await app.close()
        if failure is None:
            return
        ledger.note("fenced" if isinstance(failure, EngineFenced) else f"broken:{failure!r}".replace(" ", "_"))


async def ask(app: App, place: int) -> None:
    """One run after the other; a start that was not acknowledged is asked for again."""
    number = 0
    while app.engine.failure is None and not ledger.stop.exists():
        name = f"{os.getpid()}-{app.engine.number}-{place}-{number}"
        number += 1
        while app.engine.failure is None:
            try:
                run = await app.start(toils, name, id=name)
                ledger.note("ack", name)
                await run.result()
            except StoreUnavailable:
                await asyncio.sleep(0.05)
            except StoreError:
                return
            else:
                break


class Toilers:
    """Some of these processes, on one store."""

    def __init__(self, url: str, directory: Path, *, count: int, lease_s: float = 1.0) -> None:
        self.ledger = Ledger(directory / "ledger.txt")
        self._url = url
        self._args = [str(self.ledger.path), str(lease_s)]
        self._said = (directory / "said.txt").open("ab")
        self.all = [self.launch() for _ in range(count)]

    def launch(self) -> subprocess.Popen:
        command = [sys.executable, __file__, self._url, *self._args]
        return subprocess.Popen(command, stderr=self._said)

    def said(self) -> str:
        """What their logs tell."""
        return Path(self._said.name).read_text()

    def until(self, is_so, why="") -> None:
        """Wait until it is so."""
        end = time.monotonic() + WITHIN_S
        while not is_so():
            assert time.monotonic() < end, f"{why}\n{self.said()[-4000:]}"
            ended = [one.returncode for one in self.all if one.poll() is not None]
            assert not ended, f"{ended} {self.said()[-4000:]}"
            time.sleep(0.02)

    def goes_on(self, steps: int = 8) -> None:
        """Wait until so many more steps have ended, and every process has a part in it."""
        before = len(self.ledger.lines("ends"))
        pids = {str(one.pid) for one in self.all}
        self.until(
            lambda: len(new := self.ledger.lines("ends")[before:]) >= steps and {line[-1] for line in new} >= pids,
            "the work does not go on",
        )

    def finish(self, url: str | None = None) -> None:
        """No more runs; all end, and nothing is lost or recorded twice."""
        self.ledger.stop.touch()
        end = time.monotonic() + WITHIN_S
        for one in self.all:
            code = one.wait(max(1.0, end - time.monotonic()))
            assert code == 0, self.said()[-4000:]
        asyncio.run(require_nothing_lost(url or self._url, self.ledger))

    def close(self) -> None:
        """Whatever was shown: no process is left."""
        for one in self.all:
            one.kill()
            one.wait()
        self._said.close()


async def require_nothing_lost(url: str, told: Ledger) -> None:
    """Every acknowledged run is there and has ended as it should; each step has one outcome, and was seen to end."""
    acknowledged = {line[0] for line in told.lines("ack")}
    assert acknowledged, "nothing was asked for"
    ended = Counter((run, int(number)) for run, number, _ in told.lines("ends"))
    store = open_store(url)
    await store.open()
    try:
        async with asyncio.timeout(WITHIN_S):
            while set(await store.count_runs()) != {"succeeded"}:  # noqa: ASYNC110 - the engines end them
                await asyncio.sleep(0.05)
        found, cursor = {}, None
        while True:
            page = await store.list_runs(RunFilter(), limit=500, cursor=cursor)
            found |= {run.key: run for run in page.runs}
            cursor = page.cursor
            if cursor is None:
                break
        assert acknowledged <= found.keys(), f"lost: {acknowledged - found.keys()}"
        for key, run in found.items():
            events = await store.history(run.id)
            outcomes = Counter(event.operation for event in events if event.kind == h.STEP_COMPLETED)
            assert set(outcomes.values()) == {1}, f"{key}: {outcomes}"
            assert [event.seq for event in events] == list(range(1, len(events) + 1)), key
            assert (run.output, len(outcomes)) == (str(sum(range(STEPS))), STEPS), key
            assert all(ended[key, number] for number in range(STEPS)), key
        assert await store.check() == []
    finally:
        await store.close()


if __name__ == "__main__":
    logging.basicConfig()
    ledger = Ledger(Path(sys.argv[2]))
    asyncio.run(serve(sys.argv[1], float(sys.argv[3])))
