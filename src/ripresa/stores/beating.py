"""A thread that prolongs a lease while the event loop has no time to.

Every commit sees to the lease, and an idle engine renews it.  What is left is a loop that stands still, say in a step
that never awaits: for that, this thread.  It only acts when nothing else has for a third of the lease.  Invariant: it
never takes a lease back, it can but prolong one that is unbroken.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from time import monotonic

from ripresa.ports.rows import Micros


class Beating(ABC):
    """A thread for one lease; a store says how it prolongs one."""

    def __init__(self, *, now: Micros, lease_us: int) -> None:
        self.fenced = False
        """Another engine has taken over."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="ripresa-heartbeat", daemon=True)
        self.renewed(now, lease_us, monotonic())

    def start(self) -> None:
        self._thread.start()

    def renewed(self, now: Micros, lease_us: int, read_at: float) -> None:
        """The lease was prolonged at `now` of the owner's clock, which this thread goes by.

        `read_at`: when that was read, by the monotonic clock; the answer may have waited for a loop that stood still.
        """
        self._clock = now, read_at
        self._last = now
        self._lease_us = lease_us

    def committed(self, at: Micros) -> None:
        """A batch of this time has prolonged the lease; when it was made it does not tell, so it sets no clock."""
        self._last = max(self._last, at)

    def stop(self) -> None:
        """End the thread and wait until it has let go; stopping twice, or before the start, is fine."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    @abstractmethod
    def _beat(self) -> None:
        """Connect, and prolong the lease whenever `_wanted_until` says so, until `_is_over`."""

    def _is_over(self) -> bool:
        """Wait for a beat; True: there is nothing more to do."""
        return self.fenced or self._stop.wait(self._lease_us / 3e6)

    def _wanted_until(self) -> Micros | None:
        """Until when the lease is to last; None: somebody else has seen to it lately."""
        now, read_at = self._clock
        now += int((monotonic() - read_at) * 1e6)
        return None if now - self._last < self._lease_us // 3 else now + self._lease_us
