"""Faults that end something: engines, connections, the database; and the next release, which ends engines politely."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter

from ripresa.testing.torture.engines import Engine, Engines
from ripresa.testing.torture.scene import LOOK_S, WITHIN_S, Scene
from ripresa.testing.torture.watcher import Watcher

_EARLY = 0.25
_ALONE = 0.3
"""Share of the kills after which nothing else is done until the work goes on."""


class Endings:
    """What is killed, ended or replaced."""

    def __init__(self, scene: Scene, engines: Engines, watcher: Watcher) -> None:
        self.kills_while: Counter[str] = Counter()
        self._scene = scene
        self._engines = engines
        self._watcher = watcher

    async def kill(self) -> None:
        """`kill -9` of an engine, at work or while it opens."""
        scene = self._scene
        if scene.options.nested or scene.dice.random() < _EARLY:
            await self._kill_at_opening()
            return
        victim = await self._engines.one()
        if victim is None:
            return
        lone = scene.dice.random() < _ALONE and scene.place.shared
        owned = await self._watcher.owned(victim)
        await self._engines.kill(victim)
        self.kills_while["working"] += 1
        await self._watcher.look()  # what it wrote last is no recovery
        watch = self._watcher.recovery.hit("kill", owned)
        if lone:
            await self._watcher.recovered(watch)
        else:
            await scene.pause(0.0, scene.options.lease_s / 2)
        await self._engines.replace(victim)

    async def _kill_at_opening(self) -> None:
        """An engine is killed, and the one that comes in its place while it is still taking over."""
        scene, engines = self._scene, self._engines
        nested = scene.options.nested
        victim = scene.dice.choice(engines.slots)
        if victim.busy:
            victim = await engines.one() or victim
        if not victim.ended.done():
            await engines.kill(victim)
            self.kills_while["recovering" if nested else "working"] += 1
        new = await engines.replace(victim)
        await self._opening(new)
        if nested:
            await scene.pause(0.05, 0.15)
            return
        await scene.pause(0.0, 0.15)
        if not new.ended.done():
            self.kills_while["recovering"] += 1
            await engines.kill(new)
        await engines.replace(new)

    async def _opening(self, engine: Engine) -> None:
        deadline = time.monotonic() + WITHIN_S
        while not engine.opening.is_set() and not engine.ended.done() and time.monotonic() < deadline:
            self._watcher.read_ledger()
            await asyncio.sleep(LOOK_S / 10)

    async def terminate(self) -> None:
        """The server ends one of our connections: another, if that has just gone by itself."""
        scene = self._scene
        deadline = time.monotonic() + WITHIN_S
        while time.monotonic() < deadline:
            slots = self._engines.slots
            links = [link for engine in slots if engine.wire for link in engine.wire.links if link.backend]
            if links and await scene.place.terminate(scene.dice.choice(links).backend):
                scene.fired["terminations"] += 1
                return
            await asyncio.sleep(LOOK_S)

    async def crash(self) -> None:
        """`kill -9` of PostgreSQL."""
        await self._end_server(signal.SIGKILL, "crashes")

    async def restart(self) -> None:
        """PostgreSQL is stopped at once, in order or not, and started again."""
        await self._end_server(self._scene.dice.choice((signal.SIGINT, signal.SIGQUIT)), "restarts")

    async def _end_server(self, how: signal.Signals, name: str) -> None:
        scene = self._scene
        assert scene.server is not None
        await asyncio.to_thread(scene.server.stop, how)
        await scene.pause(0.0, 1.0)
        await asyncio.to_thread(scene.server.start)
        scene.fired[name] += 1
        await self._watcher.recovered(self._watcher.recovery.hit("database"))

    async def roll(self) -> None:
        """The next release: engines get SIGTERM and their grace, one after the other."""
        await self._engines.alone()
        self._engines.code += 1
        for engine in list(self._engines.slots):
            await self._engines.ask_to_end(engine)
            await self._engines.up(await self._engines.replace(engine))
        self._watcher.recovery.faults += 1
        self._scene.fired["rolls"] += 1
