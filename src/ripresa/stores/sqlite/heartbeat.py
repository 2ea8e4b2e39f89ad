"""The heartbeat: prolongs the lease from a thread while the event loop has no time to.

Every commit prolongs the lease, and an idle engine renews it.  What is left is a loop that stands
still, say in a step that never awaits: for that, this thread.  It only acts when nothing else has for a third of
the lease.  Invariant: it never takes a lease back, it can but prolong one that is unbroken.
"""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from time import monotonic

from ripresa.ports.lease import Lease
from ripresa.ports.rows import Micros
from ripresa.stores.sqlite.faults import is_busy
from ripresa.stores.sqlite.file import connect
from ripresa.stores.sqlite.owner import SQL

_WAIT_S = 0.01


class Heartbeat:
    """A thread for one lease."""

    def __init__(self, path: Path, lease: Lease, *, now: Micros, lease_us: int) -> None:
        self.fenced = False
        """Another engine has taken over."""
        self._path = path
        self._epoch = lease.epoch
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="ripresa-heartbeat", daemon=True)
        self.prolonged(now, lease_us)

    def start(self) -> None:
        self._thread.start()

    def prolonged(self, now: Micros, lease_us: int) -> None:
        """Take note that the lease was prolonged otherwise; `now` is the owner's clock, which this thread goes by."""
        self._now = now
        self._lease_us = lease_us
        self._at = monotonic()

    def stop(self) -> None:
        """End the thread and wait until it has let go of the file; stopping twice, or before the start, is fine."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _beat(self) -> None:
        connection = self._connected()
        if connection is None:
            return  # the commits will say what is wrong
        try:
            # A lease need not outlive a power cut: no fsync.
            connection.execute("PRAGMA synchronous = OFF")
            while not self.fenced and not self._stop.wait(self._lease_us / 3e6):
                self._prolong(connection)
        finally:
            connection.close()

    def _connected(self) -> sqlite3.Connection | None:
        """A connection, once nobody is in the way; None: there is none to be had, or no more need of one."""
        while True:
            try:
                return connect(self._path)
            except sqlite3.Error as error:
                if not is_busy(error) or self._stop.wait(_WAIT_S):
                    return None

    def _prolong(self, connection: sqlite3.Connection) -> None:
        quiet_us = int((monotonic() - self._at) * 1e6)
        if quiet_us < self._lease_us // 3:
            return
        until = self._now + quiet_us + self._lease_us
        try:
            connection.execute(f"PRAGMA busy_timeout = {self._lease_us // 6000}")  # ms: half a beat
            self.fenced = not connection.execute(SQL["prolong"], (until, self._epoch)).rowcount
        except sqlite3.Error:
            return  # the next beat may succeed, and the commits say what is wrong
