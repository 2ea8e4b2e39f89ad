"""A batch too large for one message: its long texts travel one by one, in the same transaction.

PostgreSQL takes a gigabyte in one message, and a quarter of that in the lists of one JSON text; a batch gathers what
many runs have come to, each of which may be 32 MiB.  Refused, it would be refused by the next engine as well.  So the
texts of a large batch go into `blob` ahead of it, or into their rows right after it.  Invariant: all of it or none, and
no message is much longer than the longest text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ripresa.ports.batch import Batch
from ripresa.stores.named_sql import NamedSql
from ripresa.stores.payloads import check_in

SQL = NamedSql("ripresa.stores.postgres", "pieces.sql")

LARGE = 48 * 1024 * 1024
"""Characters of a batch's texts."""

_LONG = 16 * 1024
_LATER = (("messages", "data"), ("outgoing", "data"), ("effects", "output"), ("tasks", "work"))

Later = list[tuple[str, str, str]]


def is_large(batch: Batch) -> bool:
    """Whether the batch goes in pieces."""
    return sum(map(len, _texts(batch))) > LARGE


def _texts(batch: Batch) -> Iterator[str]:
    for event in batch.history:
        if event.data is not None:
            yield event.data
    for run in batch.runs:
        yield run.input
    for change in batch.changes:
        yield from filter(None, (change.input, change.output, change.error))
    for rows, field in _LATER:
        for row in getattr(batch, rows):
            yield getattr(row, field) or ""


def taken_apart(batch: Batch) -> tuple[Batch, dict[str, str], Later]:
    """The batch without its long texts; those that go ahead of it, by name; and those that follow: table, id, text."""
    blobs: dict[str, str] = {}
    later: Later = []
    small: dict[str, Any] = {
        "runs": check_in(batch.runs, blobs, above=_LONG),
        "changes": check_in(batch.changes, blobs, above=_LONG),
        "history": check_in(batch.history, blobs, above=_LONG),
    }
    for rows, field in _LATER:
        small[rows] = [_shortened(row, rows, field, later) for row in getattr(batch, rows)]
    return replace(batch, **small), blobs, later


def _shortened(row: Any, rows: str, field: str, later: Later) -> Any:
    text = getattr(row, field)
    if text is None or len(text) <= _LONG:
        return row
    later.append((rows, row.id, text))
    return row._replace(**{field: "null"})


async def put_ahead(connection: Any, blobs: dict[str, str]) -> None:
    """Within a transaction: the texts that the batch has marks for."""
    for item in blobs.items():
        await connection.execute(SQL["blob"], *item)


async def put_after(connection: Any, later: Later) -> None:
    """Within the transaction in which the batch was written: the texts of its rows."""
    for rows, row, text in later:
        await connection.execute(SQL[rows], row, text)
