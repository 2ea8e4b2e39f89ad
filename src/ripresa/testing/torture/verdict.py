"""The verdict: what is broken, and how much happened, from all that was seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ripresa.stores import open_store
from ripresa.testing.torture import checks
from ripresa.testing.torture.broker_faults import BrokerFaults
from ripresa.testing.torture.engines import Engines
from ripresa.testing.torture.faults import Endings
from ripresa.testing.torture.in_store import POOL
from ripresa.testing.torture.recovery import percentiles
from ripresa.testing.torture.scene import Scene
from ripresa.testing.torture.seen import Evidence
from ripresa.testing.torture.watcher import Watcher
from ripresa.testing.torture.workers import Workers
from ripresa.testing.torture.zombies import Zombies

_MANY = 2_000


class Verdict:
    """Looks at everything once, at the end."""

    def __init__(
        self,
        scene: Scene,
        engines: Engines,
        workers: Workers,
        watcher: Watcher,
        *,
        endings: Endings,
        zombies: Zombies,
        broker_faults: BrokerFaults,
    ) -> None:
        self._scene = scene
        self._engines = engines
        self._workers = workers
        self._watcher = watcher
        self._endings = endings
        self._zombies = zombies
        self._broker_faults = broker_faults

    async def told(self, seconds: float) -> tuple[list[str], dict[str, Any]]:
        """What is broken, and the facts of a report."""
        scene, watcher = self._scene, self._watcher
        witness = watcher.witness
        seen = Evidence(
            await witness.runs(),
            await witness.history(),
            watcher.lines,
            watcher.committed,
            self._engines.lives,
            attempts=await witness.attempts(),
            books=await witness.books(),
        )
        left = len(await witness.tasks())
        found = [*scene.broken, *checks.violations(seen), *_tracebacks(scene.directory), *await self._store_check()]
        await witness.close()
        recovery = watcher.recovery
        facts = {
            "seed": scene.options.seed,
            "seconds": round(seconds, 1),
            "faults": {name: scene.fired[name] for name in scene.options.faults._fields},
            "cuts": dict(self._engines.cuts.done),
            "kills_while": dict(self._endings.kills_while),
            "zombies": dict(self._zombies.seen),
            "wipes": dict(self._broker_faults.wiped),
            "worker_kills": dict(self._broker_faults.hit),
            "workers": {"workers begun": len(self._workers.by_life), **self._workers.refusals(), "tasks left": left},
            "engines": {"begun": self._engines.begun, "ended by themselves or when asked": dict(self._engines.ends)},
            "checked": dict(seen.tally.counts),
            "recovery": {kind: percentiles(times) for kind, times in recovery.seconds.items()},
            "recovery_lone": {kind: percentiles(times) for kind, times in recovery.seconds_lone.items()},
            **checks.told(seen),
        }
        return found + self._vacuous(facts), facts

    def _vacuous(self, facts: dict[str, Any]) -> list[str]:
        """A run that did not do what was asked for has shown nothing."""
        if self._scene.stopping.is_set():
            return []
        wanted, fired = self._scene.options.faults, self._scene.fired
        found = [
            f"only {fired[name]} of {number} {name} were done"
            for name, number in wanted._asdict().items()
            if fired[name] < number
        ]
        if wanted.kills >= 20 and not facts["steps_repeated_after_a_fault"]:
            found.append("the faults hit nobody at work")
        if wanted.cuts >= 20 and not facts["commits_of_unknown_fate"]:
            found.append("no engine had to ask what became of a commit")
        if wanted.stops + wanted.holds >= 10 and not self._zombies.seen["of which were refused a commit"]:
            found.append("no engine that others had taken over from has tried to commit")
        if facts["steps_done"] >= _MANY and facts["slots_taken_at_once"] != POOL.slots:
            found.append(f"only {facts['slots_taken_at_once']} of {POOL.slots} slots of the pool were taken at once")
        if wanted.worker_kills + wanted.worker_stops >= 5 and not facts["attempts_lost_by_workers"]:
            found.append("no worker has lost a step")
        if wanted.worker_stops >= 5 and not sum(self._workers.refusals().values()):
            found.append("no worker was told that its step was given up")
        if facts["runs"] == 0 or facts["steps_done"] < wanted.kills:
            found.append(f"only {facts['steps_done']} steps were done in all")
        return found

    async def _store_check(self) -> list[str]:
        store = open_store(self._scene.place.url())
        await store.open()
        try:
            return await store.check()
        finally:
            await store.close()


def _tracebacks(directory: Path) -> list[str]:
    """Errors that a process wrote on its way."""
    found = []
    for path in sorted(directory.glob("*.err")):
        text = path.read_text("utf-8", "replace")
        if "Traceback" in text or "never retrieved" in text or "never awaited" in text:
            found.append(f"{path.name}: {text.strip()[-1500:]}")
    return found
