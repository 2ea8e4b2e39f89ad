"""One process's hold on a database: what it has written there, and whom it tells of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ripresa.stores.memory.database import MemoryDatabase

if TYPE_CHECKING:
    from collections.abc import Callable


class Hold:
    """What all verbs of one store share."""

    def __init__(self, database: MemoryDatabase | None = None, *, shared: bool = False) -> None:
        self.database = MemoryDatabase() if database is None else database
        self.shared = shared
        self._own_writes = 0
        self._writes_seen = 0

    async def changed(self) -> bool:
        others = self.database.writes - self._own_writes
        changed = others != self._writes_seen
        self._writes_seen = others
        return changed

    def watch(self, tell: Callable[[], None] | None) -> None:
        if tell is None:
            self.database.listeners.pop(self, None)
        else:
            loop = asyncio.get_running_loop()
            self.database.listeners[self] = lambda: None if loop.is_closed() else _soon(loop, tell)

    def _wrote(self) -> None:
        self.database.writes += 1
        self._own_writes += 1

    def _tell_others(self) -> None:
        for store, tell in self.database.listeners.items():
            if store is not self:
                tell()


def _soon(loop: asyncio.AbstractEventLoop, tell: Callable[[], None]) -> None:
    loop.call_soon(tell)
