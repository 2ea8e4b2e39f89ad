"""Fleet: the engines of one store, seen from one of them.

    every third of a lease ──> who lives, and what can they run? ──> what is left to them
                          └──> runs of engines that are gone ──> taken over, in chunks

Owns which runs this engine leaves to others, and when it looks for what has become nobody's.  On a store that is
not shared there are no others, and nothing here happens.

A run goes on with the version that it was started with.  If that has a label, an engine that lacks it leaves the
run alone while one lives that has it; when none does, it goes on with what there is, as on a single machine.  A run
of a definition whose name is unknown here is never taken.
"""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any

from ripresa.contracts.errors import EngineFenced, StoreUnavailable
from ripresa.contracts.labels import labels_of
from ripresa.ports.rows import Ready, RunChange

if TYPE_CHECKING:
    from ripresa.engine.config import Config
    from ripresa.engine.engine import Engine
    from ripresa.engine.known import Known
    from ripresa.ports.rows import Run

logger = logging.getLogger("ripresa.engine")

_REST_S_MIN = 0.02
_AT_ONCE = 100
"""Runs that are taken over at a time: engines that do so together share what is left."""


class Fleet:
    """What one engine knows of the others."""

    def __init__(self, engine: Engine, known: Known) -> None:
        self._engine = engine
        self._known = known
        self.shared: bool = engine.store.shared
        self.leave: frozenset[tuple[str, str]] = frozenset()
        """Definitions and versions whose runs are left to others."""
        self.others = 0
        """How many others live, and do not drain."""
        self.weight = 1.0
        """How much it can carry out at a time beside the largest of them, by the setting of which it has least."""
        self._strange: set[tuple[str, str]] = set()
        """Those met so far of which this engine has no version of the same label."""
        self._next_end: int | None = None
        """When the first of the other engines' leases ends, unless it is renewed."""
        self._others_have: set[tuple[str, str]] = set()
        """Names and labels that other living engines have."""

    async def serve(self) -> None:
        """Look for what has become nobody's, for ever."""
        while True:
            await asyncio.sleep(self._rest_s())
            try:
                await self.look_after()
            except EngineFenced:
                raise
            except StoreUnavailable as error:
                logger.warning("cannot look for runs to take over, trying again: %s", error)
                self._engine.loading.unsure()
                await asyncio.sleep(self._engine.config.lease_s)  # others too may have had no way to renew their leases
            self._engine.loading.look()
            self._engine.pools.look()  # slots of engines that are gone are free

    def _rest_s(self) -> float:
        """Until the next look: a third of a lease, or less if another engine's lease ends before that."""
        rest_s = self._engine.config.lease_s / 3
        if self._next_end is None:
            return rest_s
        return min(rest_s, max(0.0, (self._next_end - self._engine.clock.wall()) / 1e6) + _REST_S_MIN)

    async def look_after(self) -> None:
        """Learn who lives, and take over from those who do not."""
        engine = self._engine
        await engine.leasing.set_clock()  # who renewed by another time than ours is not to seem gone
        await self.look_around()
        if not (engine.draining or engine.stopping) and engine.leasing.may_judge():
            await self.take_over()

    async def look_around(self) -> None:
        """Learn who lives, and what they can run."""
        have: set[tuple[str, str]] = set()
        ours = most = self._engine.config.capacity
        self.others = 0
        ends: list[int] = []
        for other in await self._engine.store.engines():
            if other["engine"] != self._engine.number:
                ends.append(int(str(other["lease_until"])))
            if other["alive"] and other["engine"] != self._engine.number and not other.get("draining"):
                told = json.loads(str(other.get("about") or "{}"))
                have |= labels(other.get("about"))
                most = {name: max(size, told.get("capacity", {}).get(name, 0)) for name, size in most.items()}
                self.others += 1
        self.weight = min(size / most[name] for name, size in ours.items())
        now = self._engine.clock.wall()
        self._next_end = min((end for end in ends if end > now), default=None)
        self._others_have = have
        self._decide()

    async def take_over(self) -> None:
        """Take the runs of engines that are gone, a chunk at a time, until there are none."""
        engine = self._engine
        while True:
            adopted = await engine.store.adopt(engine.lease, now=engine.clock.wall(), limit=_AT_ONCE, leave=self.leave)
            if adopted:
                logger.info("takes over %d runs", len(adopted))
            await engine.loading.take_over(adopted)
            if len(adopted) < _AT_ONCE or engine.stopping:
                return

    # --- what is left to others ----------------------------------------------------------------

    def lacks(self, definition: str, version: str) -> bool:
        """Whether a run of this version is for another engine; it must have been learnt what the store has of it."""
        if not self.shared or self._known.has(definition, version):
            return False
        self._strange.add((definition, version))
        self._decide()
        return (definition, version) in self.leave

    async def is_for_others(self, definition: str, version: str) -> bool:
        """As `lacks`, but an engine that has come since the last look, and has that version, is not passed over."""
        if self.shared and not self.lacks(definition, version) and not self._known.has(definition, version):
            await self.look_around()
        return self.lacks(definition, version)

    def _decide(self) -> None:
        self.leave = frozenset(
            mark for mark in self._strange if not self._known.has(*mark) and self._is_for_others(*mark)
        )

    def _is_for_others(self, definition: str, version: str) -> bool:
        if self._known.find(definition, version) is None:
            return True
        label = self._known.label_of(definition, version)
        return label is not None and (definition, label) in self._others_have

    def give_back(self, run: Run) -> None:
        """A run that was claimed, and is for another engine: whoever has its definition takes it."""
        engine = self._engine
        logger.info("run %s is left to an engine that has %s in its version", run.key or run.id, run.definition)
        engine.committer.batch.changes.append(RunChange(run.id, run.status, run.updated_at, None))
        engine.committer.batch.ready.append(Ready(run.id, engine.now(), run.priority))
        engine.committer.kick()


def about(known: Known, config: Config) -> str:
    """What an engine tells of itself: labels, capacity, and the definitions that it has with the labels of versions."""
    definitions = {name: [one.label for one in group] for name, group in known.given.items()}
    has = labels_of(config.labels, where="config: labels")
    return json.dumps({"definitions": definitions, "labels": has, "capacity": config.capacity})


def labels(text: Any) -> set[tuple[str, str]]:
    """Names and labels that an engine which told this of itself can run."""
    told = json.loads(text) if isinstance(text, str) else {}
    return {
        (name, label)
        for name, group in told.get("definitions", {}).items()
        for label in group
        if isinstance(label, str)
    }
