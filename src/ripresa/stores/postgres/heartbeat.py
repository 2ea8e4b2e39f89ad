"""The heartbeat: prolongs the lease from a thread, on a connection and a loop of its own."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from ripresa.contracts.errors import StoreError
from ripresa.ports.lease import Lease
from ripresa.ports.rows import Micros
from ripresa.stores.beating import Beating
from ripresa.stores.postgres.address import Address
from ripresa.stores.postgres.connection import Lane
from ripresa.stores.postgres.loading import SQL


class Heartbeat(Beating):
    """A thread for one lease."""

    def __init__(self, address: Address, lease: Lease, *, now: Micros, lease_us: int) -> None:
        super().__init__(now=now, lease_us=lease_us)
        self._address = address
        self._engine = lease.engine

    def _beat(self) -> None:
        loop = asyncio.new_event_loop()
        lane = Lane(self._address, "heartbeat", lock_timeout_s=self._lease_us / 6e6)
        lane.reopen()
        try:
            while not self._is_over():
                until = self._wanted_until()
                if until is not None:
                    loop.run_until_complete(self._prolong(lane, until))
        finally:
            loop.run_until_complete(lane.close())
            loop.close()

    async def _prolong(self, lane: Lane, until: Micros) -> None:
        async def prolong(connection: Any) -> str:
            # A lease need not outlive a crash of the server, which ends every transaction anyway: no wait for its disk.
            return str(await connection.execute(SQL["prolong"], until, self._engine, timeout=self._lease_us / 3e6))

        with suppress(StoreError):  # the next beat may succeed, and the commits say what is wrong
            self.fenced = await lane.do(prolong) == "UPDATE 0"
