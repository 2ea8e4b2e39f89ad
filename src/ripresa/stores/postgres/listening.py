"""Wake-ups: telling other engines that something may be for them, and hearing of it (NOTIFY and LISTEN).

Both on connections of their own.  NOTIFY within a batch would let all commits of the database that hold one stand in
line; so it is sent after the commit, once for many.  What is lost with a connection is found by asking (`changed`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ripresa.contracts.errors import StoreError
from ripresa.stores.postgres.address import Address
from ripresa.stores.postgres.connection import Lane
from ripresa.stores.postgres.faults import ERRORS

_TOGETHER_S = 0.005
_REST_S = 1.0


class Teller:
    """Tells others, at most once in a while."""

    def __init__(self, address: Address, who: str, *, lock_timeout_s: float) -> None:
        self._lane = Lane(address, "notify", lock_timeout_s=lock_timeout_s)
        self._lane.reopen()
        self._channel = channel_of(address)
        self._who = who
        self._task: asyncio.Task[None] | None = None
        self._wanted = False

    def tell(self) -> None:
        """Something was written that may be for another engine."""
        self._wanted = True
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._send(), name="ripresa notify")

    async def close(self) -> None:
        """Send what is left."""
        if self._task is not None:
            await asyncio.wait([self._task])
        await self._lane.close()

    async def _send(self) -> None:
        while self._wanted:
            self._wanted = False
            with suppress(StoreError):  # they will ask
                await self._lane.do(lambda one: one.execute("SELECT pg_notify($1, $2)", self._channel, self._who))
            await asyncio.sleep(_TOGETHER_S)
        self._task = None


class Listener:
    """Hears what others tell, on a connection that is made again when it breaks."""

    def __init__(self, address: Address, who: str, tell: Callable[[], None], *, lock_timeout_s: float) -> None:
        self._lane = Lane(address, "listen", lock_timeout_s=lock_timeout_s)
        self._lane.reopen()
        self._channel = channel_of(address)
        self._who = who
        self._tell = tell
        self._task = asyncio.get_running_loop().create_task(self._listen(), name="ripresa listen")

    async def close(self) -> None:
        """Hear nothing more."""
        self._task.cancel()
        await asyncio.wait([self._task])
        await self._lane.close()

    async def _listen(self) -> None:
        while True:
            broken = asyncio.Event()
            with suppress(StoreError, *ERRORS):
                await self._lane.do(lambda one, broken=broken: self._begin(one, broken))  # type: ignore[misc]
                self._tell()  # what was told meanwhile, nobody heard
                await broken.wait()
            await asyncio.sleep(_REST_S)

    async def _begin(self, connection: Any, broken: asyncio.Event) -> None:
        connection.add_termination_listener(lambda _: broken.set())
        await connection.add_listener(self._channel, self._heard)

    def _heard(self, connection: Any, process: int, channel: str, who: str) -> None:
        if who != self._who:
            self._tell()


def channel_of(address: Address) -> str:
    """The name under which engines of a schema tell each other."""
    return f"ripresa_{address.schema}"[:63]
