"""Leasing: keeping this engine's lease, and what is heard while it is renewed.

Every commit prolongs the lease as well, and a thread of the store's does so while the event loop stands still.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from ripresa.contracts.errors import EngineFenced, StoreError

if TYPE_CHECKING:
    from ripresa.engine.engine import Engine

logger = logging.getLogger("ripresa.engine")


class Leasing:
    """The lease of one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._renewed = float("-inf")
        """When it was last, by the loop's time."""
        self._judges_from = float("-inf")
        self._judged = True
        """Whether others' leases were judged since they were last let be: nothing is put off for ever."""

    async def serve(self) -> None:
        """Renew it three times in its time, for ever.  Raises EngineFenced."""
        engine = self._engine
        last = engine.now()
        self._renewed = engine.loop.time()
        while True:
            await asyncio.sleep(engine.config.lease_s / 3)
            try:
                await self.renew()
                last = engine.now()
            except EngineFenced:
                raise
            except StoreError as error:
                logger.warning("the lease could not be renewed since %.1f s: %s", (engine.now() - last) / 1e6, error)

    async def renew(self) -> None:
        """Set the clock by the store's, prolong the lease, and hear whether to drain."""
        engine = self._engine
        await self.set_clock()
        asked = await engine.store.renew(engine.lease, now=engine.clock.wall(), lease_us=engine.lease_us)
        now = engine.loop.time()
        if now > self._renewed + engine.config.lease_s:
            self._wait_for_others()
        self._renewed = now
        if asked and not engine.draining:
            logger.info("this engine drains, as it was asked to")
            engine.drain()

    async def set_clock(self) -> None:
        """By the store's, if others go by it too."""
        engine = self._engine
        follow = getattr(engine.clock, "follow", None)
        if follow is None or not engine.fleet.shared:
            return
        change: int = await follow(engine.store.time)
        if abs(change) > engine.lease_us // 3:
            logger.warning("the database's clock was set by %+.1f s: due times go by it", change / 1e6)
            self._wait_for_others()

    def may_judge(self) -> bool:
        """Whether a lease of another that has ended tells that it is gone.

        After the database stood still, or its clock was set, it does not until all have had the time to renew theirs.
        """
        self._judged |= self._engine.loop.time() >= self._judges_from
        return self._judged

    def _wait_for_others(self) -> None:
        if self._judged:
            self._judged = False
            self._judges_from = self._engine.loop.time() + self._engine.config.lease_s
