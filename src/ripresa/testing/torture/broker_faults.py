"""Faults of brokers and workers: all that a broker held is lost; a worker is killed, or stands still and goes on.

What is lost on its way is a message that names a row: the engine that put the row out sends it again.  A worker whose
lease was over while it stood still has its steps done by others, and what it tells of them is refused.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress

from ripresa.testing.torture.brokers import Broker
from ripresa.testing.torture.scene import LOOK_S, WITHIN_S, Scene
from ripresa.testing.torture.watcher import Watcher
from ripresa.testing.torture.witness import TaskRow
from ripresa.testing.torture.workers import Worker, Workers

_ALONE = 0.3
"""Share of the faults after which nothing else is done until the work goes on."""
_SOME = 3
_STILL_S = 1.0
_CHILD = 0.3
"""Share of the kills that hit a process which carries out a step, not the worker itself."""


class BrokerFaults:
    """What is done to brokers, in turn, and to those who work for them."""

    def __init__(self, scene: Scene, workers: Workers, watcher: Watcher, brokers: list[Broker]) -> None:
        self.wiped: Counter[str] = Counter()
        """How often in which way; and how many messages were lost."""
        self.hit: Counter[str] = Counter()
        """Which processes of workers."""
        self._scene = scene
        self._workers = workers
        self._watcher = watcher
        self._brokers = brokers
        self._turn = 0

    # -- brokers ------------------------------------------------------------------------------------------------------

    async def wipe(self) -> None:
        """A broker loses all that it holds, while messages of ours wait in it; what finds none there is no wipe."""
        broker = self._brokers[self._turn % len(self._brokers)]
        self._turn += 1
        deadline = time.monotonic() + 2 * WITHIN_S
        lost = 0
        while not lost and not self._scene.stopping.is_set():
            if time.monotonic() > deadline:
                self._scene.broken.append(f"no message has waited in {broker.kind} for {2 * WITHIN_S:.0f} s")
                return
            await self._have_some_wait(broker)
            lost = await self._wipe(broker)

    async def _have_some_wait(self, broker: Broker) -> None:
        """Its workers stand still, for as long as it takes and not so long that their steps are given up."""
        deadline = time.monotonic() + _STILL_S
        workers = [worker for worker in self._workers.slots if worker.broker is broker and worker.well]
        for worker in workers:
            worker.busy = True
            worker.signal(signal.SIGSTOP)
        while time.monotonic() < deadline:
            if await asyncio.to_thread(broker.waiting, self._workers.queue) >= _SOME:
                break
            await asyncio.sleep(LOOK_S)
        for worker in workers:
            worker.signal(signal.SIGCONT)
            worker.busy = False

    async def _wipe(self, broker: Broker) -> int:
        runs = _only_on_their_way(await self._watcher.witness.tasks())
        how = self._scene.dice.choice(broker.ways)
        lost = await asyncio.to_thread(broker.wipe, self._workers.queue, how)
        if lost:
            self.wiped[f"{broker.kind}: {how}"] += 1
            self.wiped["messages lost"] += lost
            self._scene.fired["wipes"] += 1
            await self._go_on("wipe", runs)
        return lost

    # -- workers ------------------------------------------------------------------------------------------------------

    async def kill(self) -> None:
        """`kill -9` of a worker at work, or of a process that carries out a step for it."""
        victim = await self._workers.one()
        if victim is None:
            return
        runs = _of(victim, await self._watcher.witness.tasks())
        if self._scene.dice.random() < _CHILD and (children := victim.children()):
            with suppress(ProcessLookupError):
                os.kill(self._scene.dice.choice(children), signal.SIGKILL)
            self.hit["processes that carry out a step"] += 1
        else:
            await self._workers.kill(victim)
            self.hit["workers"] += 1
        self._scene.fired["worker_kills"] += 1
        await self._go_on("worker", runs)

    async def stop(self) -> None:
        """A worker is stopped (SIGSTOP) until its steps were given up, and goes on."""
        victim = await self._workers.one()
        if victim is not None:
            victim.busy = True
            self._scene.background(self._stop(victim))

    async def _stop(self, victim: Worker) -> None:
        hers = await self._stop_at_work(victim)
        deadline = time.monotonic() + WITHIN_S
        while hers & {task.id for task in await self._watcher.witness.tasks()}:
            if time.monotonic() > deadline:
                self._scene.broken.append(f"nobody gives up what worker {victim.number} had, which stands still")
                break
            await asyncio.sleep(LOOK_S)
        victim.signal(signal.SIGCONT)
        self._scene.fired["worker_stops"] += bool(hers)
        victim.busy = False

    async def _stop_at_work(self, victim: Worker) -> set[str]:
        """Stop it while it has tasks that it has not told of; which."""
        deadline = time.monotonic() + WITHIN_S
        while time.monotonic() < deadline and not self._scene.stopping.is_set():
            victim.signal(signal.SIGSTOP)
            await asyncio.sleep(LOOK_S)  # what it had sent already arrives
            tasks = await self._watcher.witness.tasks()
            if hers := {task.id for task in tasks if victim.has(task.worker) and not task.outcome}:
                return hers
            victim.signal(signal.SIGCONT)
            await asyncio.sleep(LOOK_S)
        return set()

    async def _go_on(self, kind: str, runs: frozenset[str]) -> None:
        await self._watcher.look()  # what was on its way already is no recovery
        watch = self._watcher.recovery.hit(kind, runs)
        if runs and self._scene.dice.random() < _ALONE:
            await self._watcher.recovered(watch)


def _only_on_their_way(tasks: list[TaskRow]) -> frozenset[str]:
    """Runs of which all tasks wait for a worker: nothing of them goes on before a message arrives."""
    return frozenset(task.run for task in tasks) - {task.run for task in tasks if task.worker is not None}


def _of(victim: Worker, tasks: Iterable[TaskRow]) -> frozenset[str]:
    return frozenset(task.run for task in tasks if victim.has(task.worker) and task.outcome is None)
