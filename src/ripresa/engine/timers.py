"""Timers: what falls due in this engine, earliest first.

A heap with lazy deletion over one clock.  Entries are a cache of what histories and `ready` rows say:
losing them loses nothing.
"""

from __future__ import annotations

import heapq
from itertools import count
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from ripresa.ports.clock import Clock


class Due:
    """An entry; `cancel` takes it out."""

    __slots__ = ("act", "args", "at", "cancelled")

    def __init__(self, at: int, act: Callable[..., None], args: tuple[Any, ...]) -> None:
        self.at = at
        self.act: Callable[..., None] = act
        self.args = args
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Timers:
    """All of one engine's timers."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[tuple[int, int, Due]] = []
        self._order = count()
        self._armed: int | None = None

    def at(self, due: int, act: Callable[..., None], *args: Any) -> Due:
        """Call `act(*args)` when `due` (microseconds) has come; equal times in the order they were set."""
        entry = Due(due, act, args)
        heapq.heappush(self._heap, (due, next(self._order), entry))
        if self._armed is None or due < self._armed:
            self._arm()
        return entry

    def next_due(self) -> int | None:
        """The earliest due time."""
        heap = self._heap
        while heap and heap[0][2].cancelled:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def fire(self) -> None:
        """Act on everything that is due now."""
        self._armed = None
        now = self._clock.now()
        while (due := self.next_due()) is not None and due <= now:
            entry = heapq.heappop(self._heap)[2]
            entry.act(*entry.args)
        self._arm()

    def close(self) -> None:
        """Forget everything."""
        self._heap.clear()
        self._clock.wake_at(None, self.fire)

    def _arm(self) -> None:
        self._armed = self.next_due()
        self._clock.wake_at(self._armed, self.fire)
