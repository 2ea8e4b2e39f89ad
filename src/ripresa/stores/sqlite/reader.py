"""The connections that read: one for short look-ups on the event loop, one on a thread for the long ones.

They never wait for a writer, and see what was last committed.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from ripresa.stores.sqlite.faults import store_error
from ripresa.stores.sqlite.file import connect
from ripresa.stores.sqlite.writer import retry_while_busy

Result = TypeVar("Result")

_CACHE_KIB = 16 * 1024


class Reader:
    """Reads what was committed."""

    def __init__(self, path: Path, *, lock_timeout: float) -> None:
        self._path = path
        self._lock_timeout = lock_timeout
        self._near = self._connect()
        self._far: sqlite3.Connection | None = None
        self._thread = ThreadPoolExecutor(1, "ripresa-read")

    async def look_up(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Do short work here and now."""
        return await retry_while_busy(lambda: work(self._near), self._lock_timeout, str(self._path))

    async def read(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Do long work on the thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._read_there, work)

    async def close(self) -> None:
        """Let reading end, then let go of the file."""
        await asyncio.get_running_loop().run_in_executor(None, self._thread.shutdown)
        self._near.close()
        if self._far is not None:
            self._far.close()

    def _read_there(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        try:
            if self._far is None:
                self._far = self._connect()
                self._far.execute(f"PRAGMA busy_timeout = {int(self._lock_timeout * 1000)}")
            return work(self._far)
        except sqlite3.Error as error:
            raise store_error(error, str(self._path)) from error

    def _connect(self) -> sqlite3.Connection:
        connection = connect(self._path, cache_kib=_CACHE_KIB)
        connection.execute("PRAGMA query_only = ON")
        return connection
