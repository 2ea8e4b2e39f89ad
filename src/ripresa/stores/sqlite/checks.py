"""What `check` looks at: the file's own integrity, its settings, and rows that belong to nothing."""

from __future__ import annotations

import sqlite3

from ripresa.stores.named_sql import NamedSql
from ripresa.stores.orphans import ORPHANS, told

SQL = NamedSql("ripresa.stores.sqlite", "checks.sql")

_SETTINGS = (
    ("journal_mode", "wal", "readers and the writer would wait for each other"),
    ("synchronous", 2, "a power cut could take back what was acknowledged"),
)


def check(connection: sqlite3.Connection) -> list[str]:
    """What is wrong, a line each."""
    damage = _damage(connection)
    return damage or [*_settings(connection), *_orphans(connection)]


def _damage(connection: sqlite3.Connection) -> list[str]:
    try:
        found = [line for (line,) in connection.execute("PRAGMA quick_check")]
    except sqlite3.DatabaseError as error:
        return [str(error)]
    return [] if found == ["ok"] else found


def _settings(connection: sqlite3.Connection) -> list[str]:
    found = [(name, connection.execute(f"PRAGMA {name}").fetchone()[0], good, why) for name, good, why in _SETTINGS]
    return [f"{name} is {value!r} instead of {good!r}: {why}" for name, value, good, why in found if value != good]


def _orphans(connection: sqlite3.Connection) -> list[str]:
    found = [(connection.execute(SQL[query]).fetchone(), what) for query, what in ORPHANS]
    return [told(number, what, first) for (number, first), what in found if number]
