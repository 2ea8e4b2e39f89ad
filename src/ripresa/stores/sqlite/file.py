"""The database file: where it is, and connections to it as every part of the store wants them.

The file is never opened but through SQLite: closing any other handle to it would drop the locks of
every connection of this process (https://sqlite.org/howtocorrupt.html, 2.2).
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from urllib.parse import quote

from ripresa.contracts.errors import StoreUnavailable

_CACHED_STATEMENTS = 512  # a batch has nine sizes of statement for each of its tables
_SETTINGS = (
    "synchronous = FULL",
    "fullfsync = ON",  # only macOS heeds it: there a plain fsync does not reach the disk
    "wal_autocheckpoint = 0",  # never inside a COMMIT: see `checkpoint`
)


def path_of(url: str) -> Path:
    """The file behind `sqlite:///relative.db`, `sqlite:////absolute.db` or a plain path.  Raises ValueError."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return Path(url).absolute()
    path = rest.removeprefix("/")
    if scheme.lower() != "sqlite" or not path or rest == path:
        raise ValueError(f"store {url!r}: write sqlite:///shop.db, or sqlite:////var/lib/shop.db for an absolute path")
    return Path(path).absolute()


def connect(path: Path, *, mode: str = "rw", cache_kib: int = 2048) -> sqlite3.Connection:
    """A connection that never waits in C, so that the caller may wait in its own way."""
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode={mode}",
        uri=True,
        timeout=0,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=_CACHED_STATEMENTS,
    )
    try:
        for setting in _SETTINGS:
            connection.execute(f"PRAGMA {setting}")
        connection.execute(f"PRAGMA cache_size = -{cache_kib}")
    except BaseException:
        connection.close()
        raise
    return connection


def switch_to_wal(connection: sqlite3.Connection, path: Path) -> None:
    """Let readers and the writer work side by side; nothing changes if they do.  Raises StoreUnavailable."""
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise StoreUnavailable(f"{path}: this file system has no shared memory for SQLite's WAL: use a local disk")
