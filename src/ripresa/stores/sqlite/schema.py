"""The schema: whose file it is, how new it is, and the way from there to the schema of this build.

Two numbers in the file's header tell: `application_id` that it is ours, `user_version` how many
migrations it has seen.  Invariant: a file that is not ours, or newer than us, is not changed.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from functools import cache
from importlib.resources import files
from pathlib import Path

from ripresa.contracts.errors import StoreCorrupt, StoreError, StoreTooNew, StoreUnavailable
from ripresa.stores.sqlite.faults import primary_code
from ripresa.stores.sqlite.file import connect, switch_to_wal

APPLICATION_ID = 0x52697072  # "Ripr"

_SQLITE_MIN = (3, 37, 0)  # STRICT tables
_TABLES_SHOWN = 5
_RESTS_AFTER_S = 1.0  # file systems do not note the time of a change exactly


def prepare(path: Path) -> None:
    """Create the file or bring it up to date.  Raises sqlite3.Error, StoreCorrupt, StoreTooNew, StoreUnavailable."""
    if sqlite3.sqlite_version_info < _SQLITE_MIN:
        raise StoreUnavailable(f"this Python brings SQLite {sqlite3.sqlite_version}; ripresa needs 3.37 or newer")
    if path.is_dir():
        raise StoreUnavailable(f"{path} is a directory: name a file in it")
    if _known_version(path) == len(migrations()):
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreUnavailable(f"the directory of {path} cannot be created ({error}): name another one") from error
    with closing(connect(path, mode="rwc")) as connection:
        switch_to_wal(connection, path)
        _migrate(connection)


@cache
def migrations() -> tuple[str, ...]:
    """The steps from an empty file to the schema, in order."""
    directory = files("ripresa.stores.sqlite").joinpath("migrations")
    steps = [entry for entry in directory.iterdir() if entry.name.endswith(".sql")]
    return tuple(step.read_text("utf-8") for step in sorted(steps, key=lambda entry: entry.name))


# -- whose file it is -------------------------------------------------------------------------------------------------


def _known_version(path: Path) -> int | None:
    """How many migrations the file has seen; None: there is nothing yet.  Changes nothing."""
    if not path.exists() or path.stat().st_size == 0:
        return None
    try:
        return _look(path)
    except sqlite3.DatabaseError as error:
        if primary_code(error) in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
            raise StoreCorrupt(
                f"{path} is damaged, or no database at all ({error}): restore a backup, or name another file; "
                "it was not changed"
            ) from error
        raise


def _look(path: Path) -> int | None:
    """See whose file it is, leaving no trace.

    To read a database with a write-ahead log makes SQLite put two files beside it, unless it is told that nobody can
    write the file meanwhile.  So it is told so if that seems true, and not believed if it was not.
    """
    before = _at_rest(path)
    try:
        return _recognise(path, "ro" if before is None else "ro&immutable=1")
    except (sqlite3.Error, StoreError):
        if before is None or _at_rest(path) == before:
            raise
    return _recognise(path, "ro")


def _at_rest(path: Path) -> float | None:
    """When the file was last written; None: just now, or it is being written, or that was cut off."""
    if any(path.with_name(path.name + journal).exists() for journal in ("-wal", "-journal")):
        return None
    written = path.stat().st_mtime
    return written if written < time.time() - _RESTS_AFTER_S else None


def _recognise(path: Path, mode: str) -> int | None:
    with closing(connect(path, mode=mode)) as connection:
        connection.execute("BEGIN")  # all three of one moment: somebody may be creating it
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


# -- the way to this build's schema -----------------------------------------------------------------------------------


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
