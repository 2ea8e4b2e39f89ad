"""Effects: what is to happen once, and the transactions that steps do it in.

A step's transaction has a connection and a thread of its own: the engine's writer waits for the file's one lock
meanwhile, as it does for any other process.  The row in `effect` is written with what the step writes, so both are
there or neither; whoever comes after a crash finds it, and does nothing.  Invariant: the step's code neither ends the
transaction nor writes a table of the store's own (`_allow`).
"""

from __future__ import annotations

import asyncio
import re
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from ripresa.contracts.errors import StoreError
from ripresa.ports.effects import Effect
from ripresa.ports.lease import Lease
from ripresa.stores.named_sql import NamedSql
from ripresa.stores.sqlite.faults import is_busy, store_error
from ripresa.stores.sqlite.file import connect
from ripresa.stores.sqlite.owner import confirm

SQL = NamedSql("ripresa.stores.sqlite", "effects.sql")

Result = TypeVar("Result")

_WAIT_S = 0.002
_WRITES = frozenset({sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE})
_CHANGES = frozenset(
    {
        sqlite3.SQLITE_CREATE_INDEX,
        sqlite3.SQLITE_CREATE_TRIGGER,
        sqlite3.SQLITE_DROP_INDEX,
        sqlite3.SQLITE_DROP_TABLE,
        sqlite3.SQLITE_DROP_TRIGGER,
        sqlite3.SQLITE_ALTER_TABLE,
    }
)
_FORBIDDEN = frozenset({sqlite3.SQLITE_TRANSACTION, sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH})


def claim(connection: sqlite3.Connection, lease: Lease, wanted: Effect) -> Effect:
    """Make the effect its holder's to do, if it is free; return what stands.  Within a transaction that has begun."""
    confirm(connection, lease)
    connection.execute(SQL["claim"], wanted)
    found = effect_of(connection, wanted.id)
    assert found is not None  # noqa: S101 - it was put there, or was there
    return found


def effect_of(connection: sqlite3.Connection, effect: str) -> Effect | None:
    """The effect of this id."""
    row = connection.execute(SQL["effect"], (effect,)).fetchone()
    return None if row is None else Effect._make(row)


class Transaction:
    """One step's transaction: `run` in a thread, `give_up` from the loop."""

    def __init__(self, path: Path, effect: Effect, work: Callable[[Any], Any], *, lock_timeout: float) -> None:
        self._path = path
        self._effect = effect
        self._work = work
        self._lock_timeout = lock_timeout
        self._lock = threading.Lock()
        self._given_up = False
        self._committing = False
        self._connection: sqlite3.Connection | None = None

    def run(self) -> str:
        """Do it, unless it was done; return its output.  Raises what the work raises, StoreError."""
        with closing(self._patiently(lambda: connect(self._path))) as connection:
            self._connection = connection
            try:
                self._patiently(lambda: connection.execute("BEGIN IMMEDIATE"))
                known = effect_of(connection, self._effect.id)
                if known is not None and known.output is not None:
                    return known.output
                output = self._do(connection)
                connection.execute(SQL["done"], self._effect._replace(output=output))
                self._commit(connection)
            except sqlite3.Error as error:
                if self._ours(error):
                    raise store_error(error, str(self._path), committing=self._committing) from error
                raise
            else:
                return output
            finally:
                with self._lock:
                    self._connection = None
                if connection.in_transaction:
                    with suppress(sqlite3.Error):
                        connection.execute("ROLLBACK")

    def give_up(self) -> bool:
        """Nobody wants it any more: undo it; False: too late, it is on its way to the disk."""
        with self._lock:
            if self._committing:
                return False
            self._given_up = True
            if self._connection is not None:
                self._connection.interrupt()
            return True

    def _patiently(self, action: Callable[[], Result]) -> Result:
        """Do it again while another connection is in the way; even opening the file may find one there."""
        deadline = time.monotonic() + self._lock_timeout
        while True:
            try:
                return action()
            except sqlite3.Error as error:
                if not is_busy(error) or time.monotonic() > deadline or self._given_up:
                    raise store_error(error, str(self._path)) from error
            time.sleep(_WAIT_S)

    def _do(self, connection: sqlite3.Connection) -> str:
        ours = own_tables()
        connection.set_authorizer(lambda action, what, other, *_: _allow(action, {what, other}, ours))
        try:
            output = self._work(connection)
        finally:
            connection.set_authorizer(None)
        if not connection.in_transaction:
            raise StoreError("the step has ended the transaction that it was given; nothing of it is recorded")
        return str(output)

    def _commit(self, connection: sqlite3.Connection) -> None:
        with self._lock:
            if self._given_up:
                raise asyncio.CancelledError
            self._committing = True
        connection.execute("COMMIT")

    def _ours(self, error: sqlite3.Error) -> bool:
        """Whether it is the store's to explain; what the step's own SQL raises is the step's."""
        return self._committing or is_busy(error)


def _allow(action: int, names: set[str | None], ours: frozenset[str]) -> int:
    if action in _FORBIDDEN or (action in _WRITES | _CHANGES and not names.isdisjoint(ours)):
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK


@cache
def own_tables() -> frozenset[str]:
    """The tables that are the store's, and not to be written by a step."""
    schema = files("ripresa.stores.sqlite").joinpath("schema.sql").read_text("utf-8")
    return frozenset(re.findall(r"^CREATE TABLE (\w+)", schema, re.MULTILINE))
