"""Lists of runs, a page at a time: each goes along one index from where the last page ended.

With several filters there are several ways to go; the one with the fewest runs on it is taken, and
the other filters are asked of each run on the way.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ripresa.ports.reading import Page, RunFilter
from ripresa.ports.rows import Run
from ripresa.stores.paging import cursor_after, read_cursor
from ripresa.stores.sqlite.loading import SQL, one_moment, rows_of

_NEWEST = "~"  # follows every id


class Way(NamedTuple):
    """An index to go along: the name of its query, and the values to search it for, one after the other."""

    by: str
    searches: tuple[dict[str, str], ...]


def list_runs(connection: sqlite3.Connection, where: RunFilter, *, limit: int, cursor: str | None) -> Page:
    """A page of runs that fit.  Raises ValueError if the cursor is not one of this list."""
    last = None if cursor is None else read_cursor(cursor, where)
    params = {**_conditions(where), "limit": limit + 1}
    by_key = where.key_prefix is not None
    if by_key:
        params |= {"prefix": where.key_prefix, "after": last or ""}
        runs = rows_of(connection, Run, "list_by_key", params)
    else:
        runs = _newest_first(connection, where, params | {"before": last or _NEWEST})
    if len(runs) <= limit:
        return Page(runs, None)
    runs = runs[:limit]
    return Page(runs, cursor_after((runs[-1].key or "") if by_key else runs[-1].id, where))


def _newest_first(connection: sqlite3.Connection, where: RunFilter, params: Mapping[str, Any]) -> list[Run]:
    ways = list(_ways(where))
    if not ways:
        return rows_of(connection, Run, "list_all", params)
    with one_moment(connection):
        way = ways[0] if len(ways) == 1 else min(ways, key=lambda way: _runs_on(connection, way))
        found = [
            run
            for search in way.searches
            for run in rows_of(connection, Run, f"list_by_{way.by}", {**params, **search})
        ]
    return sorted(found, key=lambda run: run.id, reverse=True)[: params["limit"]]


def _ways(where: RunFilter) -> Iterator[Way]:
    """The ways that there are; the first ones are better if nothing else tells."""
    for name, value in where.tags:
        yield Way("tag", ({"tag": name, "value": value},))
    if where.parent is not None:
        yield Way("parent", ({"parent": where.parent},))
    if where.definition is not None:
        yield Way("definition", ({"definition": where.definition},))
    if where.status:
        yield Way("status", tuple({"status": status} for status in dict.fromkeys(where.status)))


def _runs_on(connection: sqlite3.Connection, way: Way) -> int:
    """How many runs lie on the way, counted only as far as it takes little time."""
    return sum(connection.execute(SQL[f"some_by_{way.by}"], search).fetchone()[0] for search in way.searches)


def _conditions(where: RunFilter) -> dict[str, Any]:
    return {
        "statuses": json.dumps(where.status) if where.status else None,
        "definition": where.definition,
        "parent": where.parent,
        "tags": json.dumps(where.tags) if where.tags else None,
    }
