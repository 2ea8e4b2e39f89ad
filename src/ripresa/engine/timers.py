"""Timers: what falls due in this engine, earliest first.

A heap with lazy deletion over one clock.  Entries are a cache of what histories and `ready` rows say:
losing them loses nothing.  A cancelled entry holds on to nothing, and the heap is made anew when half of
it is cancelled: runs that leave memory while they sleep for a month leave nothing behind.
"""

from __future__ import annotations

import heapq
from itertools import count
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from ripresa.ports.clock import Clock


_WITHDRAWN_MIN = 256


class Due:
    """An entry; `cancel` takes it out."""

    __slots__ = ("_owner", "act", "args", "at", "cancelled")

    def __init__(self, owner: Timers, at: int, act: Callable[..., None], args: tuple[Any, ...]) -> None:
        self._owner = owner
        self.at = at
        self.act: Callable[..., None] | None = act
        self.args = args
        self.cancelled = False

    def cancel(self) -> None:
        if not self.cancelled:
            self.cancelled = True
            if self.act is not None:
                self.act, self.args = None, ()
                self._owner.withdrawn()

    def fire(self) -> None:
        """Act; once."""
        act, self.act = self.act, None
        if act is not None:
            act(*self.args)


class Timers:
    """All of one engine's timers."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[tuple[int, int, Due]] = []
        self._order = count()
        self._withdrawn = 0
        """How many entries of the heap are cancelled."""
        self._armed: int | None = None

    def at(self, due: int, act: Callable[..., None], *args: Any) -> Due:
        """Call `act(*args)` when `due` (microseconds) has come; equal times in the order they were set."""
        entry = Due(self, due, act, args)
        heapq.heappush(self._heap, (due, next(self._order), entry))
        if self._armed is None or due < self._armed:
            self._arm()
        return entry

    def next_due(self) -> int | None:
        """The earliest due time."""
        heap = self._heap
        while heap and heap[0][2].cancelled:
            heapq.heappop(heap)
            self._withdrawn -= 1
        return heap[0][0] if heap else None

    def fire(self) -> None:
        """Act on everything that is due now."""
        self._armed = None
        now = self._clock.now()
        while (due := self.next_due()) is not None and due <= now:
            heapq.heappop(self._heap)[2].fire()
        self._arm()

    def withdrawn(self) -> None:
        """One of the entries was cancelled."""
        self._withdrawn += 1
        if self._withdrawn > _WITHDRAWN_MIN and 2 * self._withdrawn > len(self._heap):
            self._heap = [item for item in self._heap if not item[2].cancelled]
            heapq.heapify(self._heap)
            self._withdrawn = 0

    def close(self) -> None:
        """Forget everything."""
        self._heap.clear()
        self._withdrawn = 0
        self._clock.wake_at(None, self.fire)

    def _arm(self) -> None:
        self._armed = self.next_due()
        self._clock.wake_at(self._armed, self.fire)
