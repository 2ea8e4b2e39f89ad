"""Claim check: a large payload goes to the table `blob`, and a short mark stands in its place.

Owns which texts are large, and the mark.  A store owns writing the blobs in the transaction that
writes the marks, and reading them back.  Invariant: readers never see a mark.  No payload can look
like one: JSON does not start with `@`.

A payload is kept per run, under `RUN/SHA-256`: so it goes with its run, and no two runs have a part in one.

Only rows that stay have their payloads kept apart: runs and their journal.  A message's goes with its row.
"""

from __future__ import annotations

import hashlib
from typing import Any, TypeVar

from ripresa.ports.rows import HistoryEvent, NewRun, Run, RunChange

PAYLOAD_BYTES_MAX = 256 * 1024
"""A longer payload is kept apart."""

_MARK = "@blob:"

Row = TypeVar("Row", NewRun, RunChange, HistoryEvent)  # what is written

_PLACES: dict[type, tuple[tuple[str, int], ...]] = {
    kind: tuple((name, fields.index(name)) for name in names)
    for kind, fields, names in (
        (NewRun, NewRun._fields, ("input",)),
        (RunChange, RunChange._fields, ("input", "output", "error")),
        (HistoryEvent, HistoryEvent._fields, ("data", "error")),
        (Run, Run._fields, ("input", "output", "error")),
    )
}


def payload_places(kind: type) -> tuple[tuple[str, int], ...]:
    """Name and position of each field of such a row that may be kept apart."""
    return _PLACES.get(kind, ())


def is_large(text: str | None, *, above: int = PAYLOAD_BYTES_MAX) -> bool:
    """Whether the payload is kept apart."""
    return text is not None and len(text) > above // 4 and len(text.encode()) > above


def check_in(rows: list[Row], blobs: dict[str, str], *, above: int = PAYLOAD_BYTES_MAX) -> list[Row]:
    """The rows with a mark for each large payload, which is put into `blobs`; the same list if there is none."""
    if not rows:
        return rows
    small = above // 4  # characters: UTF-8 needs at most four bytes for one
    replaced: dict[int, Row] = {}
    for field, index in payload_places(type(rows[0])):
        for place, row in enumerate(rows):
            text: Any = row[index]
            if text is not None and len(text) > small and is_large(text, above=above):
                mark: Any = {field: _keep(row, text, blobs)}
                replaced[place] = replaced.get(place, row)._replace(**mark)
    return [replaced.get(place, row) for place, row in enumerate(rows)] if replaced else rows


def _keep(row: NewRun | RunChange | HistoryEvent, text: str, blobs: dict[str, str]) -> str:
    run = row.run if isinstance(row, HistoryEvent) else row.id
    name = f"{run}/{hashlib.sha256(text.encode()).hexdigest()}"
    blobs[name] = text
    return _MARK + name


def blob_name(text: Any) -> str | None:
    """The blob that this column stands for, if it is a mark."""
    return text.removeprefix(_MARK) if isinstance(text, str) and text.startswith(_MARK) else None
