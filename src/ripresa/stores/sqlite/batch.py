"""Writing a batch: its rows laid flat, many to a statement.

This is the hot path.  Each statement lets go of Python's lock and takes it again, which costs up to
5 ms while another thread is busy; so rows go in statements of 256, 128, … 1 rows, and a batch of one event is four
statements: BEGIN, fence, insert, COMMIT.  Owns the order of the rows; the transaction belongs to
`writer`.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

from ripresa.ports.batch import Batch
from ripresa.ports.lease import Lease
from ripresa.ports.rows import RunChange
from ripresa.stores.named_sql import NamedSql
from ripresa.stores.payloads import check_in
from ripresa.stores.refused import without
from ripresa.stores.sqlite.owner import fenced

SQL = NamedSql("ripresa.stores.sqlite", "batch.sql")

_SIZES = (256, 128, 64, 32, 16, 8, 4, 2, 1)


class Refusal(Exception):
    """A new run's id or key exists: roll back, leave out `conflicts`, write the rest."""


def write(connection: sqlite3.Connection, lease: Lease, batch: Batch, lease_us: int) -> frozenset[str]:
    """Write every row, within a transaction that has just begun.  Raises EngineFenced, Refusal."""
    if not connection.execute(SQL["fence"], (batch.number, batch.at + lease_us, lease.epoch)).rowcount:
        raise fenced(lease)
    blobs: dict[str, str] = {}
    if batch.runs and put(connection, "add_runs", check_in(batch.runs, blobs)) < len(batch.runs):
        raise Refusal
    if batch.changes:
        change_runs(connection, check_in(batch.changes, blobs))
    if batch.history:
        put(connection, "add_history", check_in(batch.history, blobs))
    if batch.messages:
        put(connection, "add_messages", batch.messages)
    if batch.taken:
        take_messages(connection, batch.taken)
    _put_others(connection, batch)
    put_blobs(connection, blobs)
    return frozenset()


def _put_others(connection: sqlite3.Connection, batch: Batch) -> None:
    """The rows that hold no payloads; those that go before those that come."""
    for query, rows in (
        ("remove_ready", batch.unready and singles(batch.unready)),
        ("put_ready", batch.ready),
        ("put_attempts", batch.attempts),
        ("add_outgoing", batch.outgoing),
        ("add_logs", batch.logs),
        ("put_tags", batch.tags),
        ("add_definitions", batch.definitions),
        ("add_quality", batch.quality),
        ("put_effects", batch.effects),
        ("give_up_effects", batch.given_up),
        ("put_tasks", batch.tasks),
        ("remove_tasks", batch.tasks_done and singles(batch.tasks_done)),
    ):
        if rows:
            put(connection, query, rows)
    if batch.leaving:
        from ripresa.stores.sqlite.places import leave

        leave(connection, batch.leaving)
    if batch.needs or batch.needless:
        from ripresa.stores.sqlite.needs import write as write_needs

        write_needs(connection, batch)
    if batch.freed:
        from ripresa.stores.sqlite.pools import free

        free(connection, batch.freed)


def write_accepted(connection: sqlite3.Connection, lease: Lease, batch: Batch, lease_us: int) -> frozenset[str]:
    """Write the batch without the runs that exist already; return their ids."""
    kept, refused = accepted(connection, batch)
    write(connection, lease, kept, lease_us)
    return refused


def put_blobs(connection: sqlite3.Connection, blobs: dict[str, str]) -> None:
    """Keep the payloads that `check_in` took out."""
    if blobs:
        put(connection, "add_blobs", list(blobs.items()))


def take_messages(connection: sqlite3.Connection, taken: list[str]) -> None:
    """Remove messages that the journal holds now; their ids stay, so that one which is sent again is known."""
    put(connection, "note_seen", singles(taken))
    put(connection, "remove_messages", singles(taken))


def change_runs(connection: sqlite3.Connection, changes: list[RunChange]) -> None:
    """Change runs in the order given.

    One statement changes a row once, so a run's second change has to wait for the next statement.
    """
    while changes:
        first: dict[str, RunChange] = {}
        later = [change for change in changes if first.setdefault(change.id, change) is not change]
        put(connection, "change_runs", list(first.values()) if later else changes)
        changes = later


def put(connection: sqlite3.Connection, query: str, rows: Sequence[tuple[Any, ...]]) -> int:
    """Run the query over all rows; return how many rows of the table it touched."""
    if len(rows) == 1:
        return connection.execute(SQL.rows(query, 1), rows[0]).rowcount
    flat = list(chain.from_iterable(rows))
    width = len(rows[0])
    touched = start = 0
    left = len(rows)
    for size in _SIZES:
        while left >= size:
            end = start + size * width
            touched += connection.execute(SQL.rows(query, size), flat[start:end]).rowcount
            start = end
            left -= size
    return touched


def accepted(connection: sqlite3.Connection, batch: Batch) -> tuple[Batch, frozenset[str]]:
    """The batch without the runs whose id or key exists, here or earlier in the batch; and their ids."""
    ids = _known(connection, "known_runs", (run.id for run in batch.runs))
    keys = _known(connection, "known_keys", (run.key for run in batch.runs if run.key is not None))
    kept: set[str] = set()
    refused: set[str] = set()
    for run in batch.runs:
        if run.id in ids or run.key in keys:
            refused.add(run.id)
            continue
        kept.add(run.id)
        ids.add(run.id)
        if run.key is not None:
            keys.add(run.key)
    return without(batch, refused), frozenset(refused)


def singles(values: Iterable[str]) -> list[tuple[str]]:
    """Values as rows of one column."""
    return [(value,) for value in values]


def _known(connection: sqlite3.Connection, query: str, values: Iterable[str]) -> set[str]:
    return {value for (value,) in connection.execute(SQL[query], (json.dumps(list(values)),))}
