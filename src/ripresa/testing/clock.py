"""A clock that stands still until told, or until there is nothing left to do before its next due time."""

from __future__ import annotations

import asyncio
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
    `advance` moves it.  Steps run in real time: a step's own waiting and time limits are not virtual.
    """

    def __init__(self, start_us: int = EPOCH_US, *, autojump: bool = True) -> None:
        self._now = start_us
        self._autojump = autojump
        self._due: int | None = None
        self._wake: Callable[[], None] | None = None
        self._target = start_us
        self._moved: list[asyncio.Future[None]] = []

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
        if self._due is not None and (self._autojump or self._due <= self._target):
            self._now = max(self._now, self._due)
            self._ring()
            if self._nudge is not None:  # what was due may have come to nothing: there may be more to jump to
                self._nudge()
        elif self._now < self._target:
            self._now = self._target
            self._arrived()
        elif self._now >= self._target:
            self._arrived()

    def _ring(self) -> None:
        if self._due is not None and self._due <= self._now and self._wake is not None:
            wake, self._due, self._wake = self._wake, None, None
            wake()

    def _arrived(self) -> None:
        for future in self._moved:
            if not future.done():
                future.set_result(None)
        self._moved.clear()

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
