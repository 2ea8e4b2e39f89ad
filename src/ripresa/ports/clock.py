"""The clock port: what time it is, and how to be woken.

The engine keeps its own heap of due times; a clock only says `now` and calls back when the
earliest is due.  `ripresa.testing.VirtualClock` is the other adapter.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Protocol


class Clock(Protocol):
    """Time for one engine; `now` is in microseconds since 1970, UTC, and never goes back.

    A clock with a true `passes_by_itself` is not told when the engine is idle.  One that holds steps back says how many
    in `steps_waiting`; with nothing else under way the engine is idle all the same.  One that can `attach` what makes
    the engine look whether it is idle is not told so while the store is asked for anything.
    """

    def now(self) -> int:
        """The present."""

    def wall(self) -> int:
        """Real time, for leases: never virtual, so that a jump does not end them."""

    def wake_at(self, due: int | None, wake: Callable[[], None]) -> None:
        """Call `wake` once when `due` has come; replaces the earlier request; None: none is wanted."""

    def idle(self) -> None:
        """The engine has nothing to do before its next due time: a virtual clock may jump there."""


_SAMPLE_US_MAX = 500_000
"""An answer that took longer says too little of what time it is now."""
_STEP_US = 1_000_000
"""A followed clock that goes back by more was set back, and we with it; less is drift, and waited for."""


class SystemClock:
    """The machine's clock, kept from going back: a step back freezes time until it is caught up.

    It may `follow` another's time, which all who share a store then go by.  From then on the machine's own counts for
    nothing, whatever it is set to; and where the other is set back, it goes back, too, as it would be alone with its
    time otherwise.
    """

    passes_by_itself = True

    def __init__(self) -> None:
        self._last = 0
        self._followed: int | None = None
        """How far the followed time is ahead of the machine's monotonic clock; None: none is followed."""
        self._handle: asyncio.TimerHandle | None = None
        self._wanted: tuple[int | None, Callable[[], None]] | None = None

    def now(self) -> int:
        now = time.time_ns() // 1000 if self._followed is None else _monotonic_us() + self._followed
        if now < self._last:
            return self._last
        self._last = now
        return now

    def wall(self) -> int:
        return self.now()

    async def follow(self, ask: Callable[[], Awaitable[int | None]]) -> int:
        """Go by the time that `ask` tells, in microseconds since 1970; None: by this machine's own.

        Differences that the way there and back may account for are let be.  Returns by how much the time was set.
        """
        asked = _monotonic_us()
        told = await ask()
        took = _monotonic_us() - asked
        if told is None:
            self._followed = None
            return 0
        before = time.time_ns() // 1000 - _monotonic_us() if self._followed is None else self._followed
        change = told - (asked + took // 2) - before
        if took > _SAMPLE_US_MAX or abs(change) <= took // 2:
            self._followed = before
            return 0
        self._followed = before + change
        if change < -_STEP_US:
            self._last = 0
        if self._wanted is not None:
            self.wake_at(*self._wanted)
        return change

    def wake_at(self, due: int | None, wake: Callable[[], None]) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self._wanted = due, wake
        if due is not None:
            # An hour at most: a suspended machine or a stepped clock is noticed then.
            delay = min(max(0.0, (due - self.now()) / 1e6), 3600.0)
            self._handle = asyncio.get_running_loop().call_later(delay, self._wake)

    def _wake(self) -> None:
        self._handle = None
        if self._wanted is not None:
            (_, wake), self._wanted = self._wanted, None
            wake()

    def idle(self) -> None:
        return


def _monotonic_us() -> int:
    return time.monotonic_ns() // 1000
