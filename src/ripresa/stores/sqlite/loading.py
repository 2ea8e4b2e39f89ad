"""Reading rows back as the port's tuples, with large payloads put in again.

Every row that SQLite hands over lets go of Python's lock and takes it again, which costs up to 5 ms
while another thread is busy.  So SQLite packs all rows of a query into one JSON text, and hands over
that one.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

from ripresa.ports.needs import Need
from ripresa.ports.reading import Loaded
from ripresa.ports.rows import Attempt, Definition, HistoryEvent, LogLine, Message, Outgoing, Quality, Run
from ripresa.stores.named_sql import NamedSql
from ripresa.stores.payloads import blob_name, payload_places
from ripresa.stores.undecided import undecided

SQL = NamedSql("ripresa.stores.sqlite", "read.sql")

Row = TypeVar("Row", Run, HistoryEvent, Attempt, Message, Outgoing, Definition, LogLine, Quality)

EVERYTHING = 1 << 62
_PARTS: tuple[tuple[str, Sequence[str]], ...] = (
    ("loaded_runs", Run._fields),
    ("loaded_history", HistoryEvent._fields),
    ("loaded_attempts", Attempt._fields),
    ("loaded_messages", Message._fields),
    ("needs", Need._fields),
)
_LOADED_AT_ONCE = 500


def rows_of(connection: sqlite3.Connection, kind: type[Row], query: str, params: Mapping[str, Any]) -> list[Row]:
    """The rows that a query gives, their payloads whole."""
    return whole(connection, kind, fetch(connection, query, kind._fields, params))


def fetch(
    connection: sqlite3.Connection, query: str, columns: Sequence[str], params: Mapping[str, Any]
) -> list[list[Any]]:
    """The rows that a query gives, in one step."""
    try:
        (text,) = connection.execute(_packed(query, tuple(columns)), params).fetchone()
    except sqlite3.DataError:  # more than the gigabyte that one value may hold
        return [list(row) for row in connection.execute(SQL[query], params)]
    return list(json.loads(text))


def whole(connection: sqlite3.Connection, kind: type[Row], rows: Iterable[Sequence[Any]]) -> list[Row]:
    """The rows as tuples, with each mark replaced by its payload."""
    made = [kind._make(row) for row in rows]
    marked = [
        (number, field, name)
        for field, place in payload_places(kind)
        for number, row in enumerate(made)
        if (name := blob_name(row[place])) is not None
    ]
    if marked:
        names = json.dumps(sorted({name for _, _, name in marked}))
        texts = dict(connection.execute(SQL["blobs"], (names,)).fetchall())
        for number, field, name in marked:
            made[number] = made[number]._replace(**{field: texts[name]})
    return made


@contextmanager
def one_moment(connection: sqlite3.Connection) -> Iterator[None]:
    """Let several statements see the same state of the database."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        if connection.in_transaction:
            connection.execute("COMMIT")


def run_of(connection: sqlite3.Connection, ref: str) -> Run | None:
    """The run of this id, else of this key."""
    for query in ("run_by_id", "run_by_key"):
        if (row := connection.execute(SQL[query], (ref,)).fetchone()) is not None:
            return whole(connection, Run, [row])[0]
    return None


def load_runs(connection: sqlite3.Connection, ids: Sequence[str], span: int = EVERYTHING) -> list[Loaded]:
    """The runs with all that goes on with them; at most `span` events of each."""
    loaded: list[Loaded] = []
    for start in range(0, len(ids), _LOADED_AT_ONCE):
        loaded += _load(connection, ids[start : start + _LOADED_AT_ONCE], span)
    return loaded


def _load(connection: sqlite3.Connection, ids: Sequence[str], span: int) -> list[Loaded]:
    runs_, history_, attempts_, messages_, needs_ = _parts(connection, ids, span)
    history = _by_run(whole(connection, HistoryEvent, history_))
    attempts = _by_run(whole(connection, Attempt, attempts_))
    messages = _by_run(whole(connection, Message, messages_))
    needs = _by_run(Need._make(row) for row in needs_)
    return [
        Loaded(
            run,
            history[run.id],
            undecided(attempts[run.id], history[run.id]),
            messages[run.id],
            history[run.id][-1].seq if history[run.id] else run.base_seq,
            needs[run.id],
        )
        for run in whole(connection, Run, runs_)
    ]


def _parts(connection: sqlite3.Connection, ids: Sequence[str], span: int) -> list[list[list[Any]]]:
    params = {"runs": json.dumps(ids), "span": span}
    try:
        texts = connection.execute(_all_parts(), params).fetchone()
    except sqlite3.DataError:  # more than the gigabyte that one value may hold
        with one_moment(connection):
            return [fetch(connection, query, columns, params) for query, columns in _PARTS]
    return [json.loads(text) for text in texts]


def _by_run(rows: Iterable[Any]) -> defaultdict[str, list[Any]]:
    groups: defaultdict[str, list[Any]] = defaultdict(list)
    for row in rows:
        groups[row.run].append(row)
    return groups


@cache
def _packed(query: str, columns: tuple[str, ...]) -> str:
    return f"SELECT json_group_array(json_array({', '.join(columns)})) FROM ({SQL[query]})"  # noqa: S608 - names of ours


@cache
def _all_parts() -> str:
    return "SELECT " + ", ".join(f"({_packed(query, tuple(columns))})" for query, columns in _PARTS)
