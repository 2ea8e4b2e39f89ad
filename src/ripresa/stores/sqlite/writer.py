"""The one connection that writes, and the order in which its transactions take turns.

A transaction's statements run on the event loop's thread; only its COMMIT may run elsewhere (see
`pace`).  Invariant: between two turns no transaction is open and no thread holds the connection,
whatever happened in the first.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from time import perf_counter
from typing import TypeVar

from ripresa.contracts.errors import StoreUnavailable
from ripresa.stores.sqlite.checkpoint import JOURNAL_BYTES_MAX, Checkpoints
from ripresa.stores.sqlite.faults import is_busy, store_error
from ripresa.stores.sqlite.file import connect, switch_to_wal
from ripresa.stores.sqlite.pace import Pace

Result = TypeVar("Result")

_WAIT_MIN_S = 0.001
_WAIT_MAX_S = 0.05
_CACHE_KIB = 64 * 1024


class Writer:
    """Runs one transaction at a time."""

    def __init__(self, path: Path, *, lock_timeout: float) -> None:
        self.pace = Pace()
        self._path = path
        self._lock_timeout = lock_timeout
        self._turn = asyncio.Lock()
        self._closed = False
        self._connection: sqlite3.Connection | None = self._connect()
        self._checkpoints = Checkpoints(path)
        self._thread = ThreadPoolExecutor(1, "ripresa-commit")

    async def transaction(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Do the work and commit it, or nothing of it; durable when this returns.

        Raises a StoreError in place of SQLite's own; what the work raises passes through.
        """
        async with self._turn:
            connection = await self._begin()
            before = connection.total_changes
            committing = False
            try:
                result = work(connection)
                committing = True
                await self._commit(connection)
            except sqlite3.Error as error:
                raise store_error(error, str(self._path), committing=committing) from error
            finally:
                if connection.in_transaction:
                    self._roll_back(connection)
            self._checkpoints.wrote(connection.total_changes - before)
            return result

    def version_seen(self) -> int | None:
        """A number that another one replaces whenever another connection has written; None: just now there is none."""
        if self._turn.locked() or self._connection is None:
            return None  # a thread may hold the connection
        return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    async def close(self) -> None:
        """Let the transaction that is under way end, then let go of the file."""
        async with self._turn:
            self._closed = True
            await self._on_thread(self._finish)
        self._thread.shutdown()

    def _connect(self) -> sqlite3.Connection:
        connection = connect(self._path, cache_kib=_CACHE_KIB)
        try:
            switch_to_wal(connection, self._path)
            connection.execute(f"PRAGMA journal_size_limit = {JOURNAL_BYTES_MAX}")
        except BaseException:
            connection.close()
            raise
        return connection

    async def _begin(self) -> sqlite3.Connection:
        if self._checkpoints.rest_is_due and self._connection is not None:
            connection = self._connection
            await self._on_thread(lambda: self._checkpoints.finish(connection))
        return await retry_while_busy(self._begin_now, self._lock_timeout, str(self._path))

    def _begin_now(self) -> sqlite3.Connection:
        if self._closed:
            raise StoreUnavailable(f"{self._path} was closed: open it again")
        if self._connection is None:
            self._connection = self._connect()
        self._connection.execute("BEGIN IMMEDIATE")
        return self._connection

    async def _commit(self, connection: sqlite3.Connection) -> None:
        if self.pace.is_quick():
            self._commit_now(connection)
        else:
            await self._on_thread(lambda: self._commit_now(connection))

    def _commit_now(self, connection: sqlite3.Connection) -> None:
        start = perf_counter()
        connection.execute("COMMIT")
        self.pace.took(perf_counter() - start)

    def _roll_back(self, connection: sqlite3.Connection) -> None:
        """Leave no transaction behind; a connection that cannot even do that is replaced."""
        try:
            connection.execute("ROLLBACK")
        except sqlite3.Error:
            if connection.in_transaction:
                self._connection = None
                connection.close()

    async def _on_thread(self, action: Callable[[], None]) -> None:
        """Wait until the thread is done even if cancelled: until then the connection is not ours to use."""
        done = asyncio.get_running_loop().run_in_executor(self._thread, action)
        cancelled: asyncio.CancelledError | None = None
        while not done.done():
            try:
                await asyncio.wait([done])
            except asyncio.CancelledError as error:
                cancelled = error
        done.result()
        if cancelled is not None:
            raise cancelled

    def _finish(self) -> None:
        connection = self._connection
        self._connection = None
        if connection is not None:
            self._checkpoints.close(connection)
            with suppress(sqlite3.Error):
                connection.close()


async def retry_while_busy(action: Callable[[], Result], timeout: float, path: str) -> Result:
    """Do it again, ever less often, while another process is in the way.  Raises StoreBusy once `timeout` is over."""
    try:
        return action()
    except sqlite3.Error as error:
        if not is_busy(error):
            raise store_error(error, path) from error
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    wait = _WAIT_MIN_S
    while True:
        await asyncio.sleep(wait)
        wait = min(2 * wait, _WAIT_MAX_S)
        try:
            return action()
        except sqlite3.Error as error:
            if not is_busy(error) or loop.time() >= deadline:
                raise store_error(error, path) from error
