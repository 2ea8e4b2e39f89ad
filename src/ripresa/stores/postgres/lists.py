"""Lists of runs, a page at a time: each goes along one index from where the last page ended.

With several filters there are several ways to go; the one with the fewest runs on it is taken, and
the other filters are asked of each run on the way.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from ripresa.ports.reading import Page, RunFilter
from ripresa.ports.rows import Run
from ripresa.stores.paging import cursor_after, read_cursor
from ripresa.stores.postgres.loading import SQL, rows_of

_NEWEST = "~"  # follows every id


class Way(NamedTuple):
    """An index to go along: the name of its query, and the values to search it for, one after the other."""

    by: str
    searches: tuple[tuple[str, ...], ...]


async def list_runs(connection: Any, where: RunFilter, *, limit: int, cursor: str | None) -> Page:
    """A page of runs that fit.  Raises ValueError if the cursor is not one of this list."""
    last = None if cursor is None else read_cursor(cursor, where)
    by_key = where.key_prefix is not None
    if by_key:
        params = (last or "", limit + 1, *_conditions(where), where.key_prefix)
        runs = await rows_of(connection, Run, "list_by_key", *params)
    else:
        runs = await _newest_first(connection, where, last or _NEWEST, limit + 1)
    if len(runs) <= limit:
        return Page(runs, None)
    runs = runs[:limit]
    return Page(runs, cursor_after((runs[-1].key or "") if by_key else runs[-1].id, where))


async def _newest_first(connection: Any, where: RunFilter, before: str, limit: int) -> list[Run]:
    params = (before, limit, *_conditions(where))
    ways = list(_ways(where))
    if not ways:
        return await rows_of(connection, Run, "list_all", *params)
    way = ways[0]
    if len(ways) > 1:
        lengths = [await _runs_on(connection, way) for way in ways]
        way = ways[lengths.index(min(lengths))]
    if len(way.searches) == 1:
        return await rows_of(connection, Run, f"list_by_{way.by}", *params, *way.searches[0])
    async with connection.transaction(isolation="repeatable_read", readonly=True):  # all of one moment
        found = [
            run
            for search in way.searches
            for run in await rows_of(connection, Run, f"list_by_{way.by}", *params, *search)
        ]
    return sorted(found, key=lambda run: run.id, reverse=True)[:limit]


def _ways(where: RunFilter) -> Iterator[Way]:
    """The ways that there are; the first ones are better if nothing else tells."""
    for name, value in where.tags:
        yield Way("tag", ((name, value),))
    if where.parent is not None:
        yield Way("parent", ((where.parent,),))
    if where.definition is not None:
        yield Way("definition", ((where.definition,),))
    if where.status:
        yield Way("status", tuple((status,) for status in dict.fromkeys(where.status)))


async def _runs_on(connection: Any, way: Way) -> int:
    """How many runs lie on the way, counted only as far as it takes little time."""
    return sum([await connection.fetchval(SQL[f"some_by_{way.by}"], *search) for search in way.searches])


def _conditions(where: RunFilter) -> tuple[Any, ...]:
    names, values = ([name for name, _ in where.tags], [value for _, value in where.tags])
    return (
        list(where.status) or None,
        where.definition,
        where.parent,
        names or None,
        values or None,
    )
