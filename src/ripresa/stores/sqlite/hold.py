"""A store's hold on a file: who writes it, and who reads it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from ripresa.contracts.errors import StoreUnavailable
from ripresa.stores.sqlite.file import path_of
from ripresa.stores.sqlite.loading import Row, fetch, rows_of
from ripresa.stores.sqlite.reader import Reader
from ripresa.stores.sqlite.schema import prepare
from ripresa.stores.sqlite.writer import Writer, retry_while_busy

Result = TypeVar("Result")


class Hold:
    """The connections of one store, used by all its verbs."""

    def __init__(self, url: str | Path, *, lock_timeout: float) -> None:
        self.path = path_of(str(url))
        self.url = f"sqlite:///{self.path}"
        self._lock_timeout = lock_timeout
        self._writer: Writer | None = None
        self._reader: Reader | None = None

    async def _take_hold(self) -> None:
        """Create the file or migrate it, and connect."""
        await retry_while_busy(partial(prepare, self.path), self._lock_timeout, str(self.path))
        self._writer, self._reader = await retry_while_busy(self._connect, self._lock_timeout, str(self.path))

    async def _write(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        return await self._opened(self._writer).transaction(work)

    async def _look_up(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        return await self._opened(self._reader).look_up(work)

    async def _read(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        return await self._opened(self._reader).read(work)

    async def _rows(self, kind: type[Row], query: str, params: Mapping[str, Any]) -> list[Row]:
        return await self._read(lambda connection: rows_of(connection, kind, query, params))

    async def _fetch(self, query: str, columns: Sequence[str], params: Mapping[str, Any]) -> list[list[Any]]:
        return await self._read(lambda connection: fetch(connection, query, columns, params))

    def _opened(self, part: Result | None) -> Result:
        if part is None:
            raise StoreUnavailable(f"{self.path} is not open: call open() first")
        return part

    def _connect(self) -> tuple[Writer, Reader]:
        writer = Writer(self.path, lock_timeout=self._lock_timeout)
        return writer, Reader(self.path, lock_timeout=self._lock_timeout)
