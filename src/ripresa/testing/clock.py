"""A clock that stands still until told, or until there is nothing left to do before its next due time."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from typing import TYPE_CHECKING

from ripresa.contracts.durations import Duration, micros

if TYPE_CHECKING:
    from collections.abc import Callable

EPOCH_US = 1_767_225_600_000_000
"""2026-01-01T00:00:00Z, where virtual time begins."""


class VirtualClock:
    """Virtual time for `App(clock=…)`: a 30-day sleep takes milliseconds.

    With `autojump` (the default) time jumps to the next due timer whenever every run waits; otherwise only
    `advance` moves it, until `run_free`.  Steps run in real time: a step's own waiting and time limits are not
    virtual, unless `StepsInTurn` has them wait for their turn.
    """

    def __init__(self, start_us: int = EPOCH_US, *, autojump: bool = True) -> None:
        self._now = start_us
        self._autojump = autojump
        self._due: int | None = None
        self._wake: Callable[[], None] | None = None
        self._target = start_us
        self._moved: list[asyncio.Future[None]] = []
        self._turns: list[tuple[int, str, int, asyncio.Future[None]]] = []
        """Heap of steps that wait for their turn."""
        self._turns_asked = itertools.count()
        self.steps_waiting = 0
        """How many they are: to the engine they are under way, and yet nothing happens."""

    def now(self) -> int:
        """Virtual microseconds since 1970, UTC."""
        return self._now

    def wall(self) -> int:
        """Real microseconds since 1970, UTC: leases do not end by a jump."""
        return time.time_ns() // 1000

    def wake_at(self, due: int | None, wake: Callable[[], None]) -> None:
        """As the port has it; a due time that has passed already wakes at the loop's next turn."""
        self._due, self._wake = due, wake
        if due is not None and due <= self._now:
            asyncio.get_running_loop().call_soon(self._ring)

    def idle(self) -> None:
        """Every run waits: jump to the next due time, or on towards what `advance` asked for."""
        turn = self._next_turn()
        due = self._due if turn is None or (self._due is not None and self._due < turn) else turn
        if due is None or not (self._autojump or due <= self._target):
            self._now = max(self._now, self._target)
            self._arrived()
            return
        self._now = max(self._now, due)
        if due == turn:
            heapq.heappop(self._turns)[-1].set_result(None)
            self.steps_waiting -= 1
            return
        self._ring()
        if self._nudge is not None:  # what was due may have come to nothing: there may be more to jump to
            self._nudge()

    def _ring(self) -> None:
        if self._due is not None and self._due <= self._now and self._wake is not None:
            wake, self._due, self._wake = self._wake, None, None
            wake()

    def _arrived(self) -> None:
        for future in self._moved:
            if not future.done():
                future.set_result(None)
        self._moved.clear()

    def _next_turn(self) -> int | None:
        """When the first of the steps that wait has its turn."""
        while self._turns and self._turns[0][-1].done():
            heapq.heappop(self._turns)
        return self._turns[0][0] if self._turns else None

    async def turn(self, due: int, order: str) -> None:
        """In a step: wait until `due` has come and nothing is left to do but by steps which wait likewise.

        One goes at a time, the earliest first; of those due together the first by `order`.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._turns, (due, order, next(self._turns_asked), future))
        self.steps_waiting += 1
        if self._nudge is not None:
            self._nudge()
        try:
            await future
        except asyncio.CancelledError:
            self.steps_waiting -= future.cancelled()
            raise

    def run_free(self) -> None:
        """From now on time jumps by itself."""
        self._autojump = True
        if self._nudge is not None:
            self._nudge()

    async def advance(
        self,
        duration: Duration | None = None,
        *,
        days: float = 0,
        hours: float = 0,
        minutes: float = 0,
        seconds: float = 0,
    ) -> None:
        """Move time on, stopping at each due time on the way until every run waits again."""
        extra = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
        self._target = max(self._target, self._now) + (micros(extra) if duration is None else micros(duration))
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._moved.append(future)
        if self._nudge is not None:
            self._nudge()
        await future

    _nudge: Callable[[], None] | None = None

    def attach(self, nudge: Callable[[], None]) -> None:
        """The engine gives what makes it look whether it is idle; `advance` calls it."""
        self._nudge = nudge
