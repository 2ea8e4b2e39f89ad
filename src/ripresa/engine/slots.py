"""Slots: how many attempts a runtime takes at once, and who waits for the next free one."""

from __future__ import annotations

import heapq
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ripresa.engine.config import Config
    from ripresa.engine.held import Flight


class Slots:
    """How many attempts a runtime takes at once; those that wait go by priority, then by age."""

    def __init__(self, size: int) -> None:
        self.free = size
        self.waiting: list[tuple[int, int, Flight]] = []
        self._order = count()

    def take(self, flight: Flight) -> bool:
        """Whether it may start now; if not it waits."""
        if self.free > 0:
            self.free -= 1
            return True
        heapq.heappush(self.waiting, (-flight.held.priority, next(self._order), flight))
        return False

    def give(self) -> Flight | None:
        """A slot is free: the next one to start in it, if any waits."""
        while self.waiting:
            flight = heapq.heappop(self.waiting)[2]
            if not flight.ended:
                return flight
        self.free += 1
        return None


def slots_of(config: Config) -> dict[str, Slots]:
    """Those of every runtime there is."""
    return {
        "inline": Slots(config.inline),
        "thread": Slots(config.threads),
        "process": Slots(config.processes),
        "subprocess": Slots(config.subprocesses),
        "container": Slots(config.containers),
    }
