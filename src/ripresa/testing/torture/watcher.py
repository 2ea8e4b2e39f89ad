"""The watcher: reads the ledger and the store all the time, passes on what lives have said, and times recovery.

Nothing here reads by the store's own code: that is what is on trial.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path

from ripresa.testing.torture import ledger
from ripresa.testing.torture.engines import Engine, Engines
from ripresa.testing.torture.in_store import POOL
from ripresa.testing.torture.recovery import Recovery, Watch
from ripresa.testing.torture.scene import LOOK_S, WITHIN_S, Scene
from ripresa.testing.torture.witness import Committed
from ripresa.testing.torture.workers import Worker


class Watcher:
    """All that was seen so far."""

    def __init__(self, scene: Scene, engines: Engines, ledger_file: Path) -> None:
        self.witness = scene.place.witness()
        self.committed = Committed()
        self.recovery = Recovery()
        self.lines: list[ledger.Line] = []
        self.events = 0
        self.moved_at = time.monotonic()
        """When a step's outcome was seen last."""
        self.workers: Mapping[int, Worker] = {}
        """By life."""
        self._scene = scene
        self._engines = engines
        self._tail = ledger.Tail(ledger_file)
        self._looking = asyncio.Lock()

    async def watch(self) -> None:
        """Look, for ever."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Read what is new in the ledger and in the store."""
        self.read_ledger()
        async with self._looking:
            events = await self.witness.new_events()
            now = time.monotonic()
            moved = self.committed.add(events, time.monotonic_ns())
        await self._see_slots()
        self.events += len(events)
        if moved:
            self.moved_at = now
            self.recovery.moved(moved, now)

    async def _see_slots(self) -> None:
        granted, most = await self.witness.granted(POOL.name), POOL.slots or 0
        if granted > most:
            self._scene.broken.append(f"pool {POOL.name} has given {granted} of {most} slots")

    def read_ledger(self) -> None:
        """Read what is new there."""
        for line in self._tail.more():
            self.lines.append(line)
            someone = self._engines.by_life.get(line["life"]) or self.workers.get(line["life"])
            if someone is not None:
                someone.heard(line)

    async def owned(self, engine: Engine) -> frozenset[str]:
        """Its runs, of those that would go on by themselves."""
        rows = await self.witness.open_runs()
        return frozenset(run for run, kind, status, owner in rows if owner == engine.engine and status == "running")

    async def recovered(self, watch: Watch) -> None:
        """Wait until the work goes on, or all that was hit has ended without another step."""
        deadline = time.monotonic() + WITHIN_S
        while not self.recovery.is_over(watch) and not self._scene.stopping.is_set():
            await asyncio.sleep(LOOK_S)
            rows = [row for row in await self.witness.open_runs() if watch.runs is None or row[0] in watch.runs]
            over = time.monotonic() > deadline
            if not rows or over:
                self.recovery.forget(watch)
            if rows and over:
                self._scene.broken.append(f"no step for {WITHIN_S:.0f} s after {watch.kind}: {rows[:5]} stand still")
