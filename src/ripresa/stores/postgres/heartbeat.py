"""The heartbeat: prolongs the lease from a thread, on a connection of its own, while the event loop has no time to.

Every commit sees to the lease, and an idle engine renews it.  What is left is a loop that stands still, say in a step
that never awaits: for that, this thread.  It only acts when nothing else has for a third of the lease.  Invariant: it
never takes a lease back, it can but prolong one that is unbroken.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from time import monotonic
from typing import Any

from ripresa.contracts.errors import StoreError
from ripresa.ports.lease import Lease
from ripresa.ports.rows import Micros
from ripresa.stores.postgres.address import Address
from ripresa.stores.postgres.connection import Lane
from ripresa.stores.postgres.loading import SQL


class Heartbeat:
    """A thread for one lease."""

    def __init__(self, address: Address, lease: Lease, *, now: Micros, lease_us: int) -> None:
        self.fenced = False
        """Another engine has taken over."""
        self._address = address
        self._engine = lease.engine
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
        """End the thread and wait until it has let go; stopping twice, or before the start, is fine."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _beat(self) -> None:
        loop = asyncio.new_event_loop()
        lane = Lane(self._address, "heartbeat", lock_timeout_s=self._lease_us / 6e6)
        lane.reopen()
        try:
            while not self.fenced and not self._stop.wait(self._lease_us / 3e6):
                quiet_us = int((monotonic() - self._at) * 1e6)
                if quiet_us >= self._lease_us // 3:
                    loop.run_until_complete(self._prolong(lane, self._now + quiet_us + self._lease_us))
        finally:
            loop.run_until_complete(lane.close())
            loop.close()

    async def _prolong(self, lane: Lane, until: Micros) -> None:
        async def prolong(connection: Any) -> str:
            # A lease need not outlive a crash of the server, which ends every transaction anyway: no wait for its disk.
            return str(await connection.execute(SQL["prolong"], until, self._engine, timeout=self._lease_us / 3e6))

        with suppress(StoreError):  # the next beat may succeed, and the commits say what is wrong
            self.fenced = await lane.do(prolong) == "UPDATE 0"
