"""Laying a batch's rows into columns: one array for each, and one JSON text for the tables that few batches write to.

This is the hot path.  A row costs least – here and in the server – as a member of arrays that `unnest` puts together
again (`benchmarks/pg_drivers.py`); what a failure, a message or a log line costs does not matter as much.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ripresa.ports.batch import Batch
from ripresa.ports.rows import HistoryEvent, NewRun, Ready, RunChange
from ripresa.stores.payloads import check_in

_REST = (
    "attempts",
    "messages",
    "taken",
    "outgoing",
    "logs",
    "tags",
    "definitions",
    "quality",
    "effects",
    "given_up",
    "freed",
    "needless",
    "needs",
    "tasks",
    "tasks_done",
)

Columns = Sequence[Sequence[Any] | None]

NO_RUNS: Columns = (None,) * len(NewRun._fields)
NO_CHANGES: Columns = (None,) * (len(RunChange._fields) + 1)
NO_HISTORY: Columns = (None,) * len(HistoryEvent._fields)
NO_READY: Columns = (None,) * len(Ready._fields)
NO_PAIRS: Columns = (None, None)


def laid_out(batch: Batch) -> list[Any]:
    """The parameters of `write_batch` that come after the fence."""
    blobs: dict[str, str] = {}
    return [
        *(columns(check_in(batch.runs, blobs)) if batch.runs else NO_RUNS),
        *(_changes(check_in(batch.changes, blobs)) if batch.changes else NO_CHANGES),
        *(columns(check_in(batch.history, blobs)) if batch.history else NO_HISTORY),
        *(columns(_once(batch.ready)) if batch.ready else NO_READY),
        batch.unready or None,
        *(columns(batch.leaving) if batch.leaving else NO_PAIRS),
        *(columns(list(blobs.items())) if blobs else NO_PAIRS),
        _rest(batch),
    ]


def columns(rows: Sequence[Sequence[Any]]) -> Columns:
    """The rows, laid into columns."""
    return list(zip(*rows, strict=True))


def packed(rows: Sequence[Any]) -> str:
    """The rows as one JSON text."""
    return json.dumps(rows, ensure_ascii=False, separators=(",", ":"))


def _changes(changes: list[RunChange]) -> Columns:
    """In order of runs, as everybody locks them; with the turn of each if a run is changed more than once."""
    changes = sorted(changes, key=_run)  # keeps the order of what is said of one run
    turns: list[int] | None = None
    if len({change.id for change in changes}) < len(changes):
        turns = []
        before = ""
        for change in changes:
            turns.append(turns[-1] + 1 if change.id == before else 0)
            before = change.id
    return [*columns(changes), turns]


def _run(change: RunChange) -> str:
    return change.id


def _once(ready: list[Ready]) -> list[Ready]:
    """One row a run: the earlier time, the later priority."""
    found: dict[str, Ready] = {}
    for row in ready:
        known = found.get(row.run)
        found[row.run] = row if known is None else row._replace(due=min(known.due, row.due))
    return list(found.values())


def _rest(batch: Batch) -> str | None:
    rows = {name: rows for name in _REST if (rows := getattr(batch, name))}
    return packed(rows) if rows else None  # type: ignore[arg-type]
