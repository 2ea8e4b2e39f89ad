"""Runs that wait for an engine, in the order in which they are to be claimed."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

from ripresa.ports.rows import Micros, Ready


class ReadyRuns:
    """Runs that wait for an engine: for each priority in use, a heap by due time.

    A heap may hold entries that no longer hold true; `_current` tells which do.
    """

    def __init__(self) -> None:
        self._current: dict[str, tuple[Micros, int]] = {}  # run -> due, serial
        self._heaps: dict[int, list[tuple[Micros, str, int]]] = {}
        self._serials = count()

    def __contains__(self, run: str) -> bool:
        return run in self._current

    def put(self, ready: Ready) -> None:
        """The earlier time stays: a message from outside may have come while the engine put the run to sleep."""
        known = self._current.get(ready.run)
        due = ready.due if known is None else min(ready.due, known[0])
        serial = next(self._serials)
        self._current[ready.run] = due, serial
        heappush(self._heaps.setdefault(ready.priority, []), (due, ready.run, serial))

    def remove(self, run: str) -> None:
        self._current.pop(run, None)

    def due_of(self, run: str) -> Micros | None:
        known = self._current.get(run)
        return None if known is None else known[0]

    def next_due(self, after: Micros) -> Micros | None:
        """The earliest due time after this one."""
        first = [due for priority in list(self._heaps) if (due := self._first_due(priority)) is not None]
        earliest = min(first, default=None)
        if earliest is None or earliest > after:
            return earliest
        return min((due for due, _ in self._current.values() if due > after), default=None)

    def due(self, now: Micros, limit: int, may_claim: Callable[[str], bool]) -> list[str]:
        """Up to `limit` runs that are due and may be claimed, in order; they stay."""
        found: list[str] = []
        for priority in sorted(self._heaps, reverse=True):
            seen: list[tuple[Micros, str, int]] = []
            while len(found) < limit and (due := self._first_due(priority)) is not None and due <= now:
                seen.append(heappop(self._heaps[priority]))
                if may_claim(seen[-1][1]):
                    found.append(seen[-1][1])
            for entry in seen:
                heappush(self._heaps.setdefault(priority, []), entry)
        return found

    def _first_due(self, priority: int) -> Micros | None:
        heap = self._heaps.get(priority, [])
        while heap:
            due, run, serial = heap[0]
            if self._current.get(run) == (due, serial):
                return due
            heappop(heap)
        self._heaps.pop(priority, None)
        return None
