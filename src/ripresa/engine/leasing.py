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

    async def serve(self) -> None:
        """Renew it three times in its time, for ever.  Raises EngineFenced."""
        engine = self._engine
        last = engine.now()
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
        """Prolong the lease, set the clock by the store's, and hear whether to drain."""
        engine = self._engine
        asked = await engine.store.renew(engine.lease, now=engine.clock.wall(), lease_us=engine.lease_us)
        follow = getattr(engine.clock, "follow", None)
        if follow is not None and engine.fleet.shared:
            await follow(engine.store.time)
        if asked and not engine.draining:
            logger.info("this engine drains, as it was asked to")
            engine.drain()
