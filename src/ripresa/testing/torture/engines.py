"""Engines at work: their lives and wires, and another in the place of each that ends, as under any supervisor.

nursery ── fork ──> life, life, life ── wire, wire, wire ──> the store
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from ripresa.testing.torture import ledger
from ripresa.testing.torture.life import FENCED, Settings
from ripresa.testing.torture.nursery import Newborn, Nursery
from ripresa.testing.torture.plan import WIRED
from ripresa.testing.torture.scene import LOOK_S, WITHIN_S, Scene, until
from ripresa.testing.torture.seen import LifeTold
from ripresa.testing.torture.wire import Cuts, Wire

_CUT_SHARE = 0.1
_SLOW_SHARE = 0.3
_EVICT_AFTER = ("0", "50ms", "30s")
_NUMBERS = 100_000


class Engine:
    """A life, its wire, and how it stands."""

    def __init__(self, newborn: Newborn, slot: int, wire: Wire | None, told: LifeTold) -> None:
        self.newborn = newborn
        self.slot = slot
        self.number = newborn.number
        self.wire = wire
        self.told = told
        self.opening = asyncio.Event()
        self.up = asyncio.Event()
        self.engine = 0
        """The number that the store has given it."""
        self.busy = False
        """A fault has it in hand."""
        self.expected = False
        """Its end is our doing."""
        self.refused: Counter[str] = Counter()

    @property
    def ended(self) -> asyncio.Future[int]:
        return self.newborn.ended

    async def end(self) -> int:
        """Its exit code, when it has ended."""
        return await asyncio.shield(self.newborn.ended)

    def signal(self, number: signal.Signals) -> None:
        """Send it, unless it has ended."""
        if not self.ended.done():
            with suppress(ProcessLookupError):
                os.kill(self.newborn.pid.result(), number)

    @property
    def well(self) -> bool:
        return self.up.is_set() and not self.busy and not self.ended.done()

    def heard(self, line: ledger.Line) -> None:
        """What its life has told of itself."""
        if line["what"] == "opening":
            self.opening.set()
        elif line["what"] == "up":
            self.engine = line["engine"]
            self.up.set()
        elif line["what"] == "again":
            self.told.disturbed_at = 0
        elif line["what"] == "refused":
            self.refused[line["verb"]] += 1


class Engines:
    """As many as there are slots, and all that were there before them."""

    def __init__(self, scene: Scene, ledger_file: str) -> None:
        self.slots: list[Engine] = []
        self.by_life: dict[int, Engine] = {}
        self.lives: dict[int, LifeTold] = {}
        self.ends: Counter[str] = Counter()
        self.code = 1
        """The release of the code that the next life has."""
        self.starting = True
        """Whether they start runs."""
        self.brokers: dict[str, str] = {}
        """Addresses of the brokers that they send steps to, by kind."""
        self.queue = ""
        self.cuts = Cuts(scene.options.faults.cuts, random.Random(scene.options.seed + 1), share=_CUT_SHARE)
        self.look: Callable[[], Awaitable[None]]
        """Reads what is new in the ledger and in the store."""
        self._scene = scene
        self._ledger = ledger_file
        self._nursery = Nursery(scene.directory)
        self._wired = scene.place.shared and any(getattr(scene.options.faults, name) for name in WIRED)
        self._replacing = asyncio.Lock()

    @property
    def begun(self) -> int:
        """How many there were."""
        return len(self.by_life)

    async def open(self) -> None:
        """Be ready, and have the first begin."""
        await self._nursery.open()
        width = self._scene.options.engines if self._scene.place.shared else 1
        self.slots = [await self._begin(slot) for slot in range(width)]

    async def close(self) -> None:
        """End all of them."""
        await self._nursery.close()
        for engine in self.by_life.values():
            if engine.wire is not None:
                await engine.wire.close()

    async def each(self, act: Callable[[Engine], Awaitable[Any]]) -> None:
        """Do it to all who are there now."""
        await asyncio.gather(*(act(engine) for engine in self.slots))

    # -- beginning ----------------------------------------------------------------------------------------------------

    async def _begin(self, slot: int) -> Engine:
        """A new life."""
        options, place, dice = self._scene.options, self._scene.place, self._scene.dice
        number = len(self.by_life) + 1
        wire = None
        if self._wired:
            wire = Wire(place.host, place.port, decide=self.cuts.decide, fired=self.cuts.fired)
            wire.delay_s = options.wire_delay_s if dice.random() < _SLOW_SHARE else 0.0
            await wire.open()
        settings = Settings(
            life=number,
            url=place.url(None if wire is None else wire.port),
            ledger=self._ledger,
            code=self.code,
            active=options.active if self.starting else 0,
            numbers_from=number * _NUMBERS,
            evict_after=dice.choice(_EVICT_AFTER),
            lease_s=options.lease_s,
            grace_s=options.grace_s,
            brokers=self.brokers,
            queue=self.queue,
            books=place.books,
        )
        told = self.lives[number] = LifeTold()
        # Known before it begins: what it says first would be heard by nobody.
        engine = self.by_life[number] = Engine(Newborn(settings), slot, wire, told)
        await self._nursery.begin(engine.newborn)
        self._scene.background(self._see_end(engine))
        return engine

    async def _see_end(self, engine: Engine) -> None:
        code = await engine.end()
        if engine.wire is not None:
            await engine.wire.close()
        await self.look()  # what it said last
        if code == FENCED:
            engine.told.stale_from = min(engine.told.stale_from, 0)
        if engine.expected:
            return
        self.ends["fenced" if code == FENCED else f"code {code}"] += 1
        if code != FENCED:
            said = self.said(engine)
            self._scene.broken.append(f"life {engine.number} ended by itself ({code}): {said}")
        await self.replace(engine)

    async def replace(self, engine: Engine) -> Engine:
        """Another in its place; who is there, if that has been done."""
        async with self._replacing:
            if self.slots[engine.slot] is engine:
                self.slots[engine.slot] = await self._begin(engine.slot)
            return self.slots[engine.slot]

    async def up(self, engine: Engine) -> None:
        """Wait until it is, or has ended."""
        if not await until(lambda: engine.up.is_set() or engine.ended.done()):
            said = self.said(engine)
            self._scene.broken.append(f"life {engine.number} is not up in {WITHIN_S:.0f} s: {said}")

    # -- which --------------------------------------------------------------------------------------------------------

    async def one(self) -> Engine | None:
        """An engine that is up, and which no fault has in hand; None: there is none for long."""
        if await until(lambda: any(engine.well for engine in self.slots)):
            return self._scene.dice.choice([engine for engine in self.slots if engine.well])
        self._scene.broken.append(f"no engine is up for {WITHIN_S:.0f} s")
        return None

    async def alone(self) -> None:
        """Wait until no fault has an engine in hand."""
        engines = self.by_life.values()
        await until(lambda: not any(one.busy and not one.ended.done() for one in engines), 4 * WITHIN_S)

    # -- ending -------------------------------------------------------------------------------------------------------

    async def kill(self, engine: Engine) -> None:
        """`kill -9`, and that is that."""
        engine.expected = True
        engine.told.disturbed_at = min(engine.told.disturbed_at, time.monotonic_ns())
        if not engine.ended.done():
            engine.signal(signal.SIGKILL)
            self._scene.fired["kills"] += 1
        await engine.end()

    async def ask_to_end(self, engine: Engine) -> None:
        """SIGTERM; it ends within its grace."""
        if engine.ended.done():
            return
        engine.expected = True
        engine.told.disturbed_at = min(engine.told.disturbed_at, time.monotonic_ns())
        engine.signal(signal.SIGTERM)
        broken = self._scene.broken
        try:
            code = await asyncio.wait_for(engine.end(), WITHIN_S)
        except TimeoutError:
            broken.append(f"life {engine.number} does not end on SIGTERM: {await self.why(engine)}")
            await self.kill(engine)
            return
        self.ends["asked to" if code == 0 else "asked to, fenced" if code == FENCED else f"code {code}"] += 1
        if code not in {0, FENCED, -signal.SIGTERM}:  # it may have had no time to learn what SIGTERM means
            broken.append(f"life {engine.number} was asked to end, and failed: {self.said(engine)}")

    # -- what they say ------------------------------------------------------------------------------------------------

    def said(self, engine: Engine) -> str:
        """Its last words."""
        path = self._scene.directory / f"life-{engine.number}.err"
        return path.read_text("utf-8", "replace").strip()[-4000:] if path.exists() else ""

    async def why(self, engine: Engine) -> str:
        """What keeps it."""
        engine.signal(signal.SIGUSR1)
        await asyncio.sleep(20 * LOOK_S)
        return self.said(engine)
