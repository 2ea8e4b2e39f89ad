"""Reading rows back as the port's tuples, with large payloads put in again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import asyncpg

from ripresa.ports.needs import Need
from ripresa.ports.reading import Loaded
from ripresa.ports.rows import Attempt, Definition, HistoryEvent, LogLine, Message, Outgoing, Quality, Run
from ripresa.stores.named_sql import NamedSql
from ripresa.stores.payloads import blob_name, payload_places
from ripresa.stores.postgres.faults import is_too_large
from ripresa.stores.undecided import undecided

SQL = NamedSql("ripresa.stores.postgres", "read.sql")

Row = TypeVar("Row", Run, HistoryEvent, Attempt, Message, Outgoing, Definition, LogLine, Quality)

LOADED_AT_ONCE = 500
_PARTS = ("runs", "history", "attempts", "messages", "needs")


async def rows_of(connection: Any, kind: type[Row], query: str, *params: Any) -> list[Row]:
    """The rows that a query gives, their payloads whole."""
    return await whole(connection, kind, await connection.fetch(SQL[query], *params))


async def whole(connection: Any, kind: type[Row], rows: Iterable[Sequence[Any]]) -> list[Row]:
    """The rows as tuples, with each mark replaced by its payload."""
    made = [kind(*row) for row in rows]
    marked = [
        (number, field, name)
        for field, place in payload_places(kind)
        for number, row in enumerate(made)
        if (name := blob_name(row[place])) is not None
    ]
    if marked:
        names = sorted({name for _, _, name in marked})
        texts = dict(await connection.fetch(SQL["blobs"], names))
        for number, field, name in marked:
            made[number] = made[number]._replace(**{field: texts[name]})
    return made


async def run_of(connection: Any, ref: str) -> Run | None:
    """The run of this id, else of this key."""
    for query in ("run_by_id", "run_by_key"):
        if found := await rows_of(connection, Run, query, ref):
            return found[0]
    return None


async def load_runs(connection: Any, ids: Sequence[str]) -> list[Loaded]:
    """The runs with all that goes on with them."""
    loaded: list[Loaded] = []
    for start in range(0, len(ids), LOADED_AT_ONCE):
        loaded += await _load_some(connection, ids[start : start + LOADED_AT_ONCE])
    return loaded


async def _load_some(connection: Any, ids: Sequence[str]) -> list[Loaded]:
    """In one statement; in more if they are too large for the gigabyte that one value may hold."""
    try:
        return await _load(connection, await connection.fetchrow(SQL["loaded"], ids))
    except asyncpg.PostgresError as error:
        if not is_too_large(error):
            raise
    if len(ids) > 1:
        half = len(ids) // 2
        return [*await _load_some(connection, ids[:half]), *await _load_some(connection, ids[half:])]
    async with connection.transaction(isolation="repeatable_read", readonly=True):  # as of one moment
        parts = [await connection.fetch(SQL[f"{part}_to_load"], ids) for part in _PARTS]
        return await _load(connection, parts)


async def _load(connection: Any, parts: Sequence[Any]) -> list[Loaded]:
    runs = await whole(connection, Run, parts[0])
    history = _by_run(await whole(connection, HistoryEvent, parts[1]))
    attempts = _by_run(await whole(connection, Attempt, parts[2]))
    messages = _by_run(await whole(connection, Message, parts[3]))
    needs = _by_run(Need(*row) for row in parts[4])
    return [
        Loaded(
            run,
            history[run.id],
            undecided(attempts[run.id], history[run.id]),
            messages[run.id],
            history[run.id][-1].seq if history[run.id] else run.base_seq,
            needs[run.id],
        )
        for run in runs
    ]


def _by_run(rows: Iterable[Any]) -> defaultdict[str, list[Any]]:
    groups: defaultdict[str, list[Any]] = defaultdict(list)
    for row in rows:
        groups[row.run].append(row)
    return groups
