"""Places in lines, within a transaction that the caller has begun.

Invariant: while a place is free and a run waits for one, the first in line has a `ready` row – whoever frees a
place puts it there in the same transaction, so that no crash leaves a run waiting for nobody.
"""

from __future__ import annotations

import sqlite3

from ripresa.ports.lease import Lease
from ripresa.ports.lines import Place
from ripresa.ports.rows import Micros, Ready
from ripresa.stores.named_sql import NamedSql
from ripresa.stores.sqlite.batch import put
from ripresa.stores.sqlite.owner import confirm

SQL = NamedSql("ripresa.stores.sqlite", "places.sql")


def admit(connection: sqlite3.Connection, lease: Lease, wanted: Place, now: Micros, *, force: bool) -> bool:
    """Give the run its place if there is one for it, else let it wait."""
    confirm(connection, lease)
    known = connection.execute(SQL["place"], {"run": wanted.run}).fetchone()
    if known is not None and known[3]:
        return True
    asked = wanted._asdict()
    connection.execute(SQL["stand_in_line"], asked)
    (before,) = connection.execute(SQL["others_before"], asked).fetchone()
    if before >= wanted.places and not force:
        return False
    connection.execute(SQL["take_place"], asked)
    wake_first(connection, wanted.line, now)
    return True


def leave(connection: sqlite3.Connection, leaving: list[tuple[str, Micros]]) -> None:
    """These runs have ended: their places go to those who are first in line."""
    for run, now in leaving:
        for (line,) in connection.execute(SQL["leave_line"], (run,)).fetchall():
            wake_first(connection, line, now)


def wake_first(connection: sqlite3.Connection, line: str, now: Micros) -> None:
    """Make the first that waits ready, if there is a place for it."""
    first = connection.execute(SQL["first_in_line"], {"line": line}).fetchone()
    if first is not None:
        run, priority = first
        put(connection, "put_ready", [Ready(run, now, priority)])
