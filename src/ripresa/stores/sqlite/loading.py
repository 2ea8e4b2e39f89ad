"""Reading rows back as the port's tuples, with large payloads put in again."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from ripresa.ports.store import Attempt, HistoryEvent, Loaded, Message, Run
from ripresa.stores.named_sql import NamedSql
from ripresa.stores.payloads import blob_name, payload_places
from ripresa.stores.undecided import undecided

SQL = NamedSql("ripresa.stores.sqlite", "read.sql")

Row = TypeVar("Row", Run, HistoryEvent, Message)

_BLOBS_AT_ONCE = 100


def rows_of(
    connection: sqlite3.Connection, kind: type[Row], query: str, params: Sequence[Any] | dict[str, Any]
) -> list[Row]:
    """The rows that a query gives, their payloads whole."""
    return whole(connection, [kind._make(row) for row in connection.execute(query, params).fetchall()])


def whole(connection: sqlite3.Connection, rows: list[Row]) -> list[Row]:
    """The rows with each mark replaced by its payload."""
    if not rows:
        return rows
    places = payload_places(type(rows[0]))
    marked = [
        (number, field, name)
        for number, row in enumerate(rows)
        for field, index in places
        if (name := blob_name(row[index])) is not None
    ]
    if not marked:
        return rows
    texts = _blobs(connection, {name for _, _, name in marked})
    for number, field, name in marked:
        rows[number] = rows[number]._replace(**{field: texts[name]})
    return rows


def _blobs(connection: sqlite3.Connection, names: Iterable[str]) -> dict[str, str]:
    wanted = sorted(names)
    texts: dict[str, str] = {}
    for start in range(0, len(wanted), _BLOBS_AT_ONCE):
        part = wanted[start : start + _BLOBS_AT_ONCE]
        texts.update(connection.execute(SQL.rows("blobs", len(part)), part).fetchall())
    return texts


def run_of(connection: sqlite3.Connection, ref: str) -> Run | None:
    """The run of this id, else of this key."""
    for query in ("run_by_id", "run_by_key"):
        if found := rows_of(connection, Run, SQL[query], (ref,)):
            return found[0]
    return None


def load_run(connection: sqlite3.Connection, id: str) -> Loaded | None:
    """The run with all that goes on with it; None: there is none."""
    found = rows_of(connection, Run, SQL["run_by_id"], (id,))
    if not found:
        return None
    run = found[0]
    history = rows_of(connection, HistoryEvent, SQL["history"], (id, run.base_seq, -1))
    attempts = [Attempt._make(row) for row in connection.execute(SQL["attempts"], (id,)).fetchall()]
    if attempts:
        attempts = undecided(attempts, history, _up_to_base(connection, run))
    messages = rows_of(connection, Message, SQL["messages"], (id,))
    return Loaded(run, history, attempts, messages, history[-1].seq if history else run.base_seq)


def _up_to_base(connection: sqlite3.Connection, run: Run) -> list[HistoryEvent]:
    """The events of the moment in which replay's base was written, in order."""
    if run.base_seq == 0:
        return []
    events: list[HistoryEvent] = []
    for row in connection.execute(SQL["history_before"], (run.id, run.base_seq)):
        event = HistoryEvent._make(row)
        if events and event.at < events[0].at:
            break
        events.append(event)
    return events[::-1]
