"""Promotion: whether the server that a commit goes to has all that an engine was told is written.

Where replication is asynchronous a standby that is promoted may lack the last commits, and claims; an engine that went
on there with what it remembers would leave gaps in journals, and do what others do as well.  So it ends, as one whose
lease is broken, and begins anew.  With a synchronous standby nothing is missing, and it goes on.

Invariant: asked once for each connection that commits, so it costs a commit nothing.
"""

from __future__ import annotations

from typing import Any

from ripresa.contracts.errors import EngineFenced
from ripresa.ports.lease import Lease
from ripresa.stores.postgres.loading import SQL
from ripresa.stores.postgres.servers import SQL as SERVERS
from ripresa.stores.postgres.servers import timeline_of


class Promoted:
    """What one lease knows of the server it was taken on."""

    def __init__(self) -> None:
        self.written = 0
        """Number of the last commit that was acknowledged."""
        self._seen_on: Any = None
        self._timeline: int | None = None
        self._replicated = False

    async def begin(self, connection: Any) -> None:
        """A lease is taken on this connection."""
        self.written = 0
        self._seen_on = None
        await self._note(connection)

    async def check(self, connection: Any, lease: Lease) -> None:
        """Raise EngineFenced if what was acknowledged may be lost; else the driver's errors."""
        if connection is self._seen_on:
            return
        before, replicated = self._timeline, self._replicated
        await self._note(connection)
        has = await connection.fetchval(SQL["last_written"], lease.engine)
        if has < self.written or (before not in (None, self._timeline) and not replicated):
            raise EngineFenced(
                f"engine {lease.engine} begins anew: its database is another now (timeline {self._timeline}, it was "
                f"{before}), which may lack what was acknowledged last, as no standby was synchronous"
            )
        self._seen_on = connection

    async def _note(self, connection: Any) -> None:
        self._timeline = await timeline_of(connection)
        self._replicated = bool(await connection.fetchval(SERVERS["is_replicated"]))
