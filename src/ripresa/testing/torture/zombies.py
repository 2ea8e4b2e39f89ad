"""Zombies: engines that stand still, or are cut off, until others have taken over, and then go on as if nothing was.

Whatever such an engine wants to write is refused, and it ends: each is looked after until that has happened.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from ripresa.testing.torture.engines import Engine, Engines
from ripresa.testing.torture.life import FENCED
from ripresa.testing.torture.scene import LOOK_S, WITHIN_S, Scene
from ripresa.testing.torture.watcher import Watcher
from ripresa.testing.torture.witness import Mark


class Zombies:
    """Makes them, one at a time; other faults go on beside."""

    def __init__(self, scene: Scene, engines: Engines, watcher: Watcher) -> None:
        self.seen: Counter[str] = Counter()
        """What became of them."""
        self._scene = scene
        self._engines = engines
        self._watcher = watcher

    async def stop(self) -> None:
        """An engine is stopped (SIGSTOP) until others have taken over, and goes on."""
        await self._in_background(self._stop)

    async def hold(self) -> None:
        """Nothing passes between an engine and the database until others have taken over; then all of it, late."""
        await self._in_background(self._hold)

    async def _in_background(self, act: Callable[[Engine], Coroutine[Any, Any, None]]) -> None:
        await self._engines.alone()
        victim = await self._engines.one()
        if victim is not None:
            victim.busy = True
            task = self._scene.background(act(victim))
            if not self._scene.place.shared:
                await task

    async def _stop(self, victim: Engine) -> None:
        owned = await self._watcher.owned(victim)
        self._stale(victim)
        await self._stop_unlocked(victim)
        await self._taken_over(victim, "stop", owned)
        victim.signal(signal.SIGCONT)
        await self._fenced(victim, "stops")

    async def _stop_unlocked(self, victim: Engine) -> None:
        """Stop it while it holds no lock that would keep others from writing, whatever its lease."""
        while True:
            victim.signal(signal.SIGSTOP)
            if not self._scene.place.shared:
                await asyncio.sleep(0.01)  # it stops at its own next convenience
            if await self._watcher.witness.unlocked():
                return
            victim.signal(signal.SIGCONT)
            await asyncio.sleep(0.001)

    async def _hold(self, victim: Engine) -> None:
        assert victim.wire is not None
        owned = await self._watcher.owned(victim)
        self._stale(victim)
        victim.wire.hold()
        await self._taken_over(victim, "hold", owned)
        victim.wire.release()
        await self._fenced(victim, "holds")

    def _stale(self, victim: Engine) -> None:
        now = time.monotonic_ns()
        victim.told.disturbed_at = min(victim.told.disturbed_at, now)
        victim.told.stale_from = min(victim.told.stale_from, now)
        victim.expected = True

    async def _taken_over(self, victim: Engine, kind: str, owned: frozenset[str]) -> None:
        """Wait until another engine has broken its lease."""
        await asyncio.sleep(LOOK_S)
        await self._watcher.look()  # what was on its way already is no recovery
        watch = self._watcher.recovery.hit(kind, owned)
        await self._engines.replace(victim)
        deadline = time.monotonic() + WITHIN_S
        while not (await self._watcher.witness.mark(victim.engine)).broken:
            if time.monotonic() > deadline:
                self._scene.broken.append(f"nobody takes over from life {victim.number}, which stands still")
                break
            await asyncio.sleep(LOOK_S)
        if kind == "hold":
            self._watcher.recovery.forget(watch)
        await asyncio.sleep(self._scene.dice.uniform(0.0, 0.3))

    async def _fenced(self, victim: Engine, kind: str) -> None:
        """It goes on: it is to be refused whatever it wants to write, and to end."""
        before = await self._watcher.witness.mark(victim.engine)
        try:
            await asyncio.wait_for(victim.end(), WITHIN_S)
        except TimeoutError:
            what = f"life {victim.number} goes on, though others have taken over from it"
            self._scene.broken.append(f"{what}: {await self._engines.why(victim)}")
            await self._engines.kill(victim)
            return
        await self._watcher.look()
        self._wrote_nothing(victim, before, await self._watcher.witness.mark(victim.engine))
        self._scene.fired[kind] += 1
        self.seen["engines that others had taken over from"] += 1
        self.seen["of which were refused something"] += bool(victim.refused)
        self.seen["of which were refused a commit"] += bool(victim.refused["commit"])
        for verb, number in victim.refused.items():
            self.seen[f"refused: {verb}"] += number

    def _wrote_nothing(self, victim: Engine, before: Mark, after: Mark) -> None:
        if not before.broken:
            return  # reported already
        broken, who = self._scene.broken, f"life {victim.number}"
        if after.batch != before.batch:
            broken.append(f"{who} wrote batch {after.batch} after others had taken over from it")
        if after.owned > before.owned:
            broken.append(f"{who} took {after.owned} runs after others had taken over from it")
        if (code := victim.ended.result()) != FENCED:
            broken.append(f"{who} ended with {code}, not told that it was fenced: {self._engines.said(victim)}")
