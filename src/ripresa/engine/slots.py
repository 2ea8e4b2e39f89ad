"""Slots: how many attempts a runtime takes at once, and who waits for the next free one."""

from __future__ import annotations

import heapq
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ripresa.engine.config import Config
    from ripresa.engine.held import Flight
    from ripresa.ports.runtime import Runtime


class Slots:
    """How many attempts a runtime takes at once; those that wait go by priority, then by age."""

    def __init__(self, size: int) -> None:
        self.size = self.free = size
        self.waiting: list[tuple[int, int, Flight]] = []
        self._order = count()

    def wait(self, flight: Flight) -> None:
        """There is none free: the flight waits for one."""
        heapq.heappush(self.waiting, (-flight.held.priority, next(self._order), flight))

    def give(self) -> Flight | None:
        """A slot is free: the next one to start in it, if any waits."""
        while self.waiting:
            flight = heapq.heappop(self.waiting)[2]
            if not flight.ended:
                return flight
        self.free += 1
        return None


def slots_of(config: Config, runtimes: Mapping[str, Runtime]) -> dict[str, Slots]:
    """Those of every runtime there is: what the configuration allows, and no more than the runtime carries out at once.

    So what holds a slot is at work, and an attempt that is recorded as running is not one that waits its turn.
    """
    allowed = {
        "inline": config.inline,
        "thread": config.threads,
        "process": config.processes,
        "subprocess": config.subprocesses,
        "container": config.containers,
        "kubernetes": config.cluster_jobs,
        "celery": config.celery_tasks,
        "engine": config.inline,
        "transaction": config.threads,
    }
    allowed |= {name: config.celery_tasks for name in runtimes if name not in allowed}  # another broker's, as a rule
    most = {name: None if (runtime := runtimes.get(name)) is None else runtime.attempts_max for name in allowed}
    return {name: Slots(min(size, most[name] or size)) for name, size in allowed.items()}
