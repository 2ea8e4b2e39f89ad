"""Lists of runs, a page at a time: each goes along one index from where the last page ended."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from ripresa.ports.store import Page, Run, RunFilter
from ripresa.stores.paging import cursor_after, read_cursor
from ripresa.stores.sqlite.loading import rows_of

_NEWEST = "~"  # follows every id


def list_runs(connection: sqlite3.Connection, where: RunFilter, *, limit: int, cursor: str | None) -> Page:
    """A page of runs that fit."""
    last = None if cursor is None else read_cursor(cursor, where)
    params = {**_conditions(where), "limit": limit + 1}
    if where.key_prefix is not None:
        params |= {"prefix": where.key_prefix, "after": last or ""}
        runs = rows_of(connection, Run, "list_by_key", params)
    else:
        runs = _newest_first(connection, where, params | {"before": last or _NEWEST})
    if len(runs) <= limit:
        return Page(runs, None)
    runs = runs[:limit]
    return Page(runs, cursor_after(runs[-1].id if where.key_prefix is None else runs[-1].key or "", where))


def _newest_first(connection: sqlite3.Connection, where: RunFilter, params: dict[str, Any]) -> list[Run]:
    """Go along the index that most likely leaves least to look at."""
    if where.tags:
        tag, value = where.tags[0]
        return rows_of(connection, Run, "list_by_tag", params | {"tag": tag, "value": value})
    if where.parent is not None:
        return rows_of(connection, Run, "list_by_parent", params)
    # Most runs that ever were have succeeded: then the definition tells more than the status.
    if where.definition is not None and (not where.status or "succeeded" in where.status):
        return rows_of(connection, Run, "list_by_definition", params)
    if not where.status:
        return rows_of(connection, Run, "list_all", params)
    found = [
        run
        for status in dict.fromkeys(where.status)
        for run in rows_of(connection, Run, "list_by_status", params | {"status": status})
    ]
    return sorted(found, key=lambda run: run.id, reverse=True)[: params["limit"]]


def _conditions(where: RunFilter) -> dict[str, Any]:
    return {
        "statuses": json.dumps(where.status) if where.status else None,
        "definition": where.definition,
        "parent": where.parent,
        "tags": json.dumps(where.tags) if where.tags else None,
    }
