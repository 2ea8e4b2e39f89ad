"""Letting runs go: every row that is theirs, in one transaction.

Every function works within a transaction that the caller has begun.
"""

from __future__ import annotations

import json
import sqlite3
from heapq import merge
from itertools import islice

from ripresa.ports.rows import Micros
from ripresa.stores.ages import first_id_at
from ripresa.stores.named_sql import NamedSql

SQL = NamedSql("ripresa.stores.sqlite", "retention.sql")

_THEIRS = (
    ("history", "run"),
    ("attempt", "run"),
    ("ready", "run"),
    ("inbox", "run"),
    ("seen", "run"),
    ("log", "run"),
    ("tag", "run"),
    ("quality", "run"),
    ("place", "run"),
    ("effect", "run"),
    ("ticket", "run"),
    ("task", "run"),
    ("need", "run"),
    ("run", "id"),
)
"""Tables that hold rows of a run; those of the outbox are for others, and stay until they are taken."""


def ended(
    connection: sqlite3.Connection, *, before: Micros, statuses: tuple[str, ...], limit: int, after: str | None
) -> list[str]:
    """Runs that may go, oldest first."""
    params = {"after": after or "", "before": before, "made_before": first_id_at(before), "limit": limit}
    found = [
        [run for (run,) in connection.execute(SQL["ended"], {**params, "status": status}).fetchall()]
        for status in statuses
    ]
    return list(islice(merge(*found), limit))


def remove(connection: sqlite3.Connection, runs: list[str]) -> list[str]:
    """Remove those that may go."""
    going = [run for (run,) in connection.execute(SQL["those_that_may_go"], {"runs": json.dumps(runs)}).fetchall()]
    theirs = json.dumps(going)
    for table, column in _THEIRS:
        connection.execute(f"DELETE FROM {table} WHERE {column} IN (SELECT value FROM json_each(?))", (theirs,))  # noqa: S608 - names from above
    for run in going:
        connection.execute(SQL["remove_blobs"], {"run": run})
    return sorted(going)
