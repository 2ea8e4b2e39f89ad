"""The one connection that writes, and the order in which its transactions take turns.

A transaction's statements run on the event loop's thread; only its COMMIT may run elsewhere (see
`pace`).  Invariant: between two turns no transaction is open, whatever happened in the first.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter
from typing import TypeVar

from ripresa.stores.sqlite.faults import is_busy, store_error
from ripresa.stores.sqlite.file import connect
from ripresa.stores.sqlite.pace import Pace

Result = TypeVar("Result")

_WAIT_MIN_S = 0.001
_WAIT_MAX_S = 0.05
_CACHE_KIB = 64 * 1024


class Writer:
    """Runs one transaction at a time."""

    def __init__(self, path: Path, *, lock_timeout: float) -> None:
        self._path = str(path)
        self._lock_timeout = lock_timeout
        self._turn = asyncio.Lock()
        self._committing = False
        self.connection = connect(path, cache_kib=_CACHE_KIB)
        self.thread = ThreadPoolExecutor(1, "ripresa-commit")
        self.pace = Pace()

    async def transaction(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Do the work and commit it, or nothing of it; durable when this returns.

        Raises a StoreError in place of SQLite's own; what the work raises passes through.
        """
        async with self._turn:
            await retry_while_busy(self._begin, self._lock_timeout, self._path)
            try:
                result = work(self.connection)
                await self._commit()
            except sqlite3.Error as error:
                raise store_error(error, self._path, committing=self._committing) from error
            finally:
                self._committing = False
                if self.connection.in_transaction:
                    self._roll_back()
            return result

    def changes_seen(self) -> int | None:
        """A number that differs from the last one if another connection has written; None: not to be had just now."""
        if self._turn.locked():
            return None  # a COMMIT on the thread holds the connection
        return int(self.connection.execute("PRAGMA data_version").fetchone()[0])

    async def close(self) -> None:
        """Let the transaction that is under way end, then let go of the file."""
        async with self._turn:
            await asyncio.get_running_loop().run_in_executor(self.thread, self._finish)
        self.thread.shutdown()

    def _finish(self) -> None:
        try:
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.Error:
            pass  # the journal keeps what the checkpoint could not move
        finally:
            self.connection.close()

    def _begin(self) -> None:
        self.connection.execute("BEGIN IMMEDIATE")

    async def _commit(self) -> None:
        self._committing = True
        if self.pace.is_quick():
            self._commit_now()
            return
        done = asyncio.get_running_loop().run_in_executor(self.thread, self._commit_now)
        cancelled = False
        while not done.done():
            try:
                await asyncio.wait([done])
            except asyncio.CancelledError:
                cancelled = True  # the turn may not end before the thread is done with the connection
        done.result()
        if cancelled:
            raise asyncio.CancelledError

    def _commit_now(self) -> None:
        start = perf_counter()
        self.connection.execute("COMMIT")
        self.pace.took(perf_counter() - start)

    def _roll_back(self) -> None:
        try:
            self.connection.execute("ROLLBACK")
        except sqlite3.Error:
            if self.connection.in_transaction:
                raise


async def retry_while_busy(action: Callable[[], Result], timeout: float, path: str) -> Result:
    """Do it again, ever less often, while another process is in the way.  Raises StoreBusy once `timeout` is over."""
    wait = _WAIT_MIN_S
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    while True:
        try:
            return action()
        except sqlite3.Error as error:
            if not is_busy(error) or loop.time() >= deadline:
                raise store_error(error, path) from error
        await asyncio.sleep(wait)
        wait = min(2 * wait, _WAIT_MAX_S)
