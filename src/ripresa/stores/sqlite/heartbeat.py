"""The heartbeat: prolongs the lease from a thread, on a connection of its own."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from ripresa.ports.lease import Lease
from ripresa.ports.rows import Micros
from ripresa.stores.beating import Beating
from ripresa.stores.sqlite.faults import is_busy
from ripresa.stores.sqlite.file import connect
from ripresa.stores.sqlite.owner import SQL

_WAIT_S = 0.01


class Heartbeat(Beating):
    """A thread for one lease."""

    def __init__(self, path: Path, lease: Lease, *, now: Micros, lease_us: int) -> None:
        super().__init__(now=now, lease_us=lease_us)
        self._path = path
        self._epoch = lease.epoch

    def _beat(self) -> None:
        connection = self._connected()
        if connection is None:
            return  # the commits will say what is wrong
        try:
            # A lease need not outlive a power cut: no fsync.
            connection.execute("PRAGMA synchronous = OFF")
            while not self._is_over():
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
        until = self._wanted_until()
        if until is None:
            return
        try:
            connection.execute(f"PRAGMA busy_timeout = {self._lease_us // 6000}")  # ms: half a beat
            self.fenced = not connection.execute(SQL["prolong"], (until, self._epoch)).rowcount
        except sqlite3.Error:
            return  # the next beat may succeed, and the commits say what is wrong
