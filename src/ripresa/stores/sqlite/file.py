"""The database file: opened, recognised, and brought up to the schema of this build.

Owns connections' settings and the two numbers in the file's header: `application_id` says that the
file is ours, `user_version` how many migrations it has seen.  Invariant: a file that is not ours, or
newer than us, is not changed.

The file is never opened but through SQLite: closing any other handle to it would drop the locks of
every connection of this process (https://sqlite.org/howtocorrupt.html, 2.2).
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import cache
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

from ripresa.contracts.errors import StoreCorrupt, StoreTooNew, StoreUnavailable
from ripresa.stores.sqlite.faults import primary_code

APPLICATION_ID = 0x52697072  # "Ripr"

_SQLITE_MIN = (3, 37, 0)  # STRICT tables
_CACHED_STATEMENTS = 512  # a batch has nine sizes of statement for each of its tables
_TABLES_SHOWN = 5
_SETTINGS = (
    "synchronous = FULL",
    "fullfsync = ON",  # only macOS heeds it: there a plain fsync does not reach the disk
    "wal_autocheckpoint = 0",  # never inside a COMMIT: see `checkpoint`
)


def path_of(url: str) -> Path:
    """The file behind `sqlite:///relative.db`, `sqlite:////absolute.db` or a plain path."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return Path(url)
    path = rest.removeprefix("/")
    if scheme.lower() != "sqlite" or not path or rest == path:
        raise ValueError(f"store {url!r}: write sqlite:///shop.db, or sqlite:////var/lib/shop.db for an absolute path")
    return Path(path)


def connect(path: Path, *, mode: str = "rw", cache_kib: int = 2048) -> sqlite3.Connection:
    """A connection that never waits in C, so that the caller may wait in its own way."""
    connection = sqlite3.connect(
        f"file:{quote(str(path.absolute()))}?mode={mode}",
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
        raise StoreUnavailable(f"{path}: this file system gives no shared memory (WAL): use a local disk")


def prepare(path: Path) -> None:
    """Create the file or bring it up to date.  Raises sqlite3.Error, StoreCorrupt, StoreTooNew, StoreUnavailable."""
    if sqlite3.sqlite_version_info < _SQLITE_MIN:
        raise StoreUnavailable(
            f"Python brings SQLite {sqlite3.sqlite_version}; ripresa needs {_SQLITE_MIN[0]}.{_SQLITE_MIN[1]}"
        )
    if path.is_dir():
        raise StoreUnavailable(f"{path} is a directory: name a file in it")
    version = _known_version(path)
    if version == len(migrations()):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(connect(path, mode="rwc")) as connection:
        switch_to_wal(connection, path)
        _migrate(connection)


@cache
def migrations() -> tuple[str, ...]:
    """The steps from an empty file to the schema, in order."""
    directory = files("ripresa.stores.sqlite").joinpath("migrations")
    steps = sorted(
        (entry for entry in directory.iterdir() if entry.name.endswith(".sql")), key=lambda entry: entry.name
    )
    return tuple(step.read_text("utf-8") for step in steps)


def _known_version(path: Path) -> int | None:
    """How many migrations the file has seen; None: there is none to speak of.  Changes nothing."""
    if not path.exists() or path.stat().st_size == 0:
        return None
    try:
        with closing(connect(path, mode="ro")) as connection:
            return _recognise(connection, path)
    except sqlite3.DatabaseError as error:
        if primary_code(error) in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
            raise StoreCorrupt(
                f"{path} is damaged, or no database at all ({error}): restore a backup, or name another file; "
                "it was not changed"
            ) from error
        raise


def _recognise(connection: sqlite3.Connection, path: Path) -> int | None:
    application, version = _number(connection, "application_id"), _number(connection, "user_version")
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    if application == version == 0 and not tables:
        return None
    if application != APPLICATION_ID:
        shown = ", ".join(sorted(tables)[:_TABLES_SHOWN]) or "none"
        raise StoreCorrupt(
            f"{path} is not a ripresa database (application id {application:#x}, tables: {shown}): "
            "name another file; it was not changed"
        )
    if version > len(migrations()):
        raise StoreTooNew(
            f"{path} has schema {version} of a newer ripresa, this one knows {len(migrations())}: upgrade ripresa; "
            "the file was not changed"
        )
    return version


def _migrate(connection: sqlite3.Connection) -> None:
    """Take every step that is missing, each with its number in one transaction."""
    for number, step in enumerate(migrations(), start=1):
        connection.execute("BEGIN IMMEDIATE")
        try:
            if _number(connection, "user_version") < number:
                _run_script(connection, step)
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {number}")
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")


def _run_script(connection: sqlite3.Connection, script: str) -> None:
    """Run its statements in the transaction that is open; `executescript` would commit it first."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            connection.execute(statement)
            statement = ""


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])
