"""What SQLite reports, as errors that say whose move it is."""

from __future__ import annotations

import sqlite3

from ripresa.contracts.errors import (
    CommitUnknown,
    StoreBusy,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreUnavailable,
)

_SHOWN_MAX = 200  # characters of SQLite's own words
_EXISTS = frozenset({sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_UNIQUE})


def primary_code(error: sqlite3.Error) -> int:
    """The code without its extension; 0: the error is Python's own."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another connection is in the way, so that waiting helps."""
    return primary_code(error) == sqlite3.SQLITE_BUSY


def store_error(error: sqlite3.Error, path: str, *, committing: bool = False) -> StoreError:
    """The error to raise in its place; `committing`: it came from COMMIT."""
    what = str(error)[:_SHOWN_MAX]
    match primary_code(error):
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StoreBusy(f"{path} is locked by another process: end its transaction; nothing was written")
        case sqlite3.SQLITE_FULL:
            return StoreFull(f"no space left to write {path} ({what}): free some; nothing was written")
        case sqlite3.SQLITE_IOERR if committing:
            return CommitUnknown(f"writing {path} broke off ({what}): whether the batch is on disk is not known")
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return StoreCorrupt(f"{path} is damaged ({what}): restore it from a backup")
        case sqlite3.SQLITE_READONLY:
            return StoreUnavailable(f"{path} cannot be written ({what}): give this process the right to")
        case sqlite3.SQLITE_CANTOPEN:
            return StoreUnavailable(f"{path} cannot be opened ({what}): see to its directory and rights")
        case sqlite3.SQLITE_IOERR:
            return StoreUnavailable(f"reading or writing {path} failed ({what}): see to the disk; nothing was written")
        case sqlite3.SQLITE_CONSTRAINT if error.sqlite_errorcode in _EXISTS:
            return StoreError(f"{path} already holds a row of this batch ({what}); nothing was written")
        case _:
            return StoreError(f"{path}: {what}")
