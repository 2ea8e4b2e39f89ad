"""The harness: engines at work on one store, faults that hit them, and the verdict.

    engines ──> the store <── watcher: reads the rows, past the store's own code
       │ steps
       └──────> effect ledger <── client (never killed)

    faults: `faults` ends things, `zombies` has them stand still and go on; `verdict` looks at what came of it

One seed gives one order of faults; when each of them hits what is up to the machine.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ripresa.testing.torture import ledger
from ripresa.testing.torture.broker_faults import BrokerFaults
from ripresa.testing.torture.brokers import Broker
from ripresa.testing.torture.engines import Engines
from ripresa.testing.torture.faults import Endings
from ripresa.testing.torture.plan import Options, schedule
from ripresa.testing.torture.program import POSTGRESQL
from ripresa.testing.torture.scene import LOOK_S, WITHIN_S, Scene, until
from ripresa.testing.torture.verdict import Verdict
from ripresa.testing.torture.watcher import Watcher
from ripresa.testing.torture.workers import Workers
from ripresa.testing.torture.zombies import Zombies

_STALLED_S = 60.0


class Torture:
    """One store, the engines on it, and what is done to them."""

    def __init__(
        self, options: Options, place: Any, directory: Path, server: Any = None, brokers: Sequence[Broker] = ()
    ) -> None:
        self.options = options
        self.phase = "starting"
        self._ledger = directory / "ledger"
        self._scene = Scene(options, place, directory, server)
        self._engines = Engines(self._scene, str(self._ledger))
        self._watcher = Watcher(self._scene, self._engines, self._ledger)
        self._engines.look = self._watcher.look
        self._endings = Endings(self._scene, self._engines, self._watcher)
        self._zombies = Zombies(self._scene, self._engines, self._watcher)
        self._brokers = list(brokers)
        self._workers = Workers(self._scene, str(self._ledger))
        self._watcher.workers = self._workers.by_life
        self._broker_faults = BrokerFaults(self._scene, self._workers, self._watcher, self._brokers)
        self._engines.brokers = {broker.kind: broker.url for broker in self._brokers}
        self._engines.queue = self._workers.queue

    # -- what is told of it while it goes on --------------------------------------------------------------------------

    @property
    def stopping(self) -> asyncio.Event:
        """Set it for no more faults."""
        return self._scene.stopping

    @property
    def fired(self) -> Counter[str]:
        """Faults so far, by name."""
        return self._scene.fired

    @property
    def broken(self) -> list[str]:
        """Promises that were broken so far."""
        return self._scene.broken

    @property
    def events(self) -> int:
        """Events of journals so far."""
        return self._watcher.events

    @property
    def cuts_so_far(self) -> int:
        """Commits that were cut off."""
        return sum(self._engines.cuts.done.values())

    # -- the story ----------------------------------------------------------------------------------------------------

    async def run(self) -> tuple[list[str], dict[str, Any]]:
        """All of it; what is broken, and how much happened."""
        began = time.monotonic()
        client: subprocess.Popen[bytes] | None = None
        self._scene.background(self._watcher.watch())
        try:
            await self._scene.place.prepare()
            await self._engines.open()
            await self._workers.open(self._brokers)
            self._scene.background(self._workers.see_to_ends())
            client = self._start_client()
            await self._engines.each(self._engines.up)
            self.phase = "faults"
            await self._do_faults()
            self.phase = "finishing"
            await self._finish()
            if client.poll() is not None:
                self.broken.append(f"the client ended by itself with {client.returncode}: see client.err")
        finally:
            if client is not None:
                client.kill()
                client.wait()
            await self._scene.close()
            await self._engines.close()
            await self._workers.close()
            for broker in self._brokers:
                await asyncio.to_thread(broker.close, self._workers.queue)
        self.phase = "checking"
        verdict = Verdict(
            self._scene,
            self._engines,
            self._workers,
            self._watcher,
            endings=self._endings,
            zombies=self._zombies,
            broker_faults=self._broker_faults,
        )
        return await verdict.told(time.monotonic() - began)

    def _start_client(self) -> subprocess.Popen[bytes]:
        scene = self._scene
        stop, active = str(scene.directory / "stop"), str(self.options.active)
        command = [sys.executable, "-m", "ripresa.testing.torture.client", scene.place.url(), stop, active]
        command += [*self._engines.brokers, *([POSTGRESQL] if scene.place.books else [])]
        environment = {**os.environ, ledger.PATH_VARIABLE: str(self._ledger), ledger.LIFE_VARIABLE: "0"}
        with (scene.directory / "client.err").open("wb") as said:
            return subprocess.Popen(command, env=environment, stderr=said, start_new_session=True)  # noqa: S603 - begun, not waited for

    async def _do_faults(self) -> None:
        acts = {
            "kills": self._endings.kill,
            "stops": self._zombies.stop,
            "holds": self._zombies.hold,
            "terminations": self._endings.terminate,
            "crashes": self._endings.crash,
            "restarts": self._endings.restart,
            "rolls": self._endings.roll,
            "wipes": self._broker_faults.wipe,
            "worker_kills": self._broker_faults.kill,
            "worker_stops": self._broker_faults.stop,
        }
        for name in schedule(self.options.faults, self._scene.dice):
            if not self.options.nested:
                await self._scene.pause(0.05, 0.5)
            if self.stopping.is_set():
                break
            await acts[name]()
        await self._engines.alone()
        await self._workers.alone()
        cuts = self._engines.cuts
        await until(lambda: cuts.left <= 0 or self.stopping.is_set(), 4 * WITHIN_S)
        cuts.open = False
        self.fired["cuts"] = self.cuts_so_far

    async def _finish(self) -> None:
        """No more runs, no more faults: everything ends."""
        engines = self._engines
        (self._scene.directory / "stop").touch()
        engines.starting = False
        for engine in list(engines.slots):
            await engines.ask_to_end(engine)
            await engines.replace(engine)
        await self._all_ended()
        for engine in engines.slots:
            engine.expected = True
        await engines.each(engines.ask_to_end)
        await self._watcher.look()

    async def _all_ended(self) -> None:
        self._watcher.moved_at = time.monotonic()
        while rows := await self._watcher.witness.open_runs():
            if time.monotonic() > self._watcher.moved_at + _STALLED_S:
                self.broken.append(f"{len(rows)} runs do not end, as {rows[:5]}")
                return
            await asyncio.sleep(2 * LOOK_S)
