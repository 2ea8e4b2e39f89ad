"""Writing a batch: its rows laid flat, many to a statement.

This is the hot path.  Each statement lets go of Python's lock and takes it again, which costs up to
5 ms while another thread is busy; so rows go in statements of 256, 128, … 1 rows, and a batch of one event is four
statements: BEGIN, fence, insert, COMMIT.  Owns the order of the rows; the transaction belongs to
`writer`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

from ripresa.contracts.errors import EngineFenced
from ripresa.ports.store import Batch, Lease, RunChange
from ripresa.stores.named_sql import NamedSql
from ripresa.stores.payloads import check_in
from ripresa.stores.refused import without

SQL = NamedSql("ripresa.stores.sqlite", "batch.sql")

_SIZES = (256, 128, 64, 32, 16, 8, 4, 2, 1)


class Refusal(Exception):  # noqa: N818 - not an error: a turn in the story
    """A new run's id or key exists: roll back, leave out `conflicts`, write the rest."""


def write_batch(connection: sqlite3.Connection, lease: Lease, batch: Batch, *, lease_us: int) -> None:
    """Write every row, within a transaction that has just begun.  Raises EngineFenced, Refusal."""
    until = batch.at + lease_us
    if not connection.execute(SQL["fence"], (batch.number, until, lease.epoch)).rowcount:
        raise EngineFenced(f"engine {lease.engine} is no longer the owner: its batch {batch.number} was not written")
    blobs: dict[str, str] = {}
    if batch.runs and put(connection, "add_runs", check_in(batch.runs, blobs)) < len(batch.runs):
        raise Refusal
    if batch.changes:
        change_runs(connection, check_in(batch.changes, blobs))
    if batch.history:
        put(connection, "add_history", check_in(batch.history, blobs))
    if batch.attempts:
        put(connection, "put_attempts", batch.attempts)
    if batch.unready:
        put(connection, "remove_ready", singles(batch.unready))
    if batch.ready:
        put(connection, "put_ready", batch.ready)
    if batch.messages:
        put(connection, "add_messages", check_in(batch.messages, blobs))
    if batch.taken:
        put(connection, "take_messages", singles(batch.taken))
    if batch.outgoing:
        put(connection, "add_outgoing", batch.outgoing)
    if batch.logs:
        put(connection, "add_logs", batch.logs)
    if batch.tags:
        put(connection, "put_tags", batch.tags)
    if batch.definitions:
        put(connection, "add_definitions", batch.definitions)
    put_blobs(connection, blobs)


def write_accepted(connection: sqlite3.Connection, lease: Lease, batch: Batch, *, lease_us: int) -> frozenset[str]:
    """Write the batch without the runs that exist already; return their ids."""
    batch, refused = accepted(connection, batch)
    write_batch(connection, lease, batch, lease_us=lease_us)
    return refused


def put_blobs(connection: sqlite3.Connection, blobs: dict[str, str]) -> None:
    """Keep the payloads that `check_in` took out."""
    if blobs:
        put(connection, "add_blobs", list(blobs.items()))


def change_runs(connection: sqlite3.Connection, changes: list[RunChange]) -> None:
    """Change runs in the order given.

    One statement changes a row once, so a run's second change has to wait for the next statement.
    """
    while changes:
        first: dict[str, RunChange] = {}
        later: list[RunChange] = []
        for change in changes:
            if first.setdefault(change.id, change) is not change:
                later.append(change)
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
    rows = list(values)
    found: set[str] = set()
    for start in range(0, len(rows), _SIZES[0]):
        part = rows[start : start + _SIZES[0]]
        found.update(value for (value,) in connection.execute(SQL.rows(query, len(part)), part))
    return found
