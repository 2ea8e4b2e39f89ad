"""Needs on SQLite: the rows, within a transaction that the caller has begun, and the port's verbs."""

from __future__ import annotations

import json
import sqlite3

from ripresa.ports.batch import Batch
from ripresa.ports.lease import Lease
from ripresa.ports.needs import Need
from ripresa.ports.rows import Micros
from ripresa.stores.named_sql import NamedSql
from ripresa.stores.sqlite import owner
from ripresa.stores.sqlite.hold import Hold

SQL = NamedSql("ripresa.stores.sqlite", "needs.sql")

_AT_ONCE = 200


def write(connection: sqlite3.Connection, batch: Batch) -> None:
    """Write what a batch says of needs."""
    for query, rows in (("remove_needs", batch.needless), ("put_needs", batch.needs)):
        for start in range(0, len(rows), _AT_ONCE):
            some = rows[start : start + _AT_ONCE]
            connection.execute(SQL.rows(query, len(some)), [value for row in some for value in row])


def fitting(connection: sqlite3.Connection, labels: frozenset[str], limit: int) -> list[str]:
    """Runs that nobody owns and of which a step needs none but these labels, in order."""
    found: dict[str, None] = {}
    for (needed,) in connection.execute(SQL["kinds"]).fetchall():
        if labels.issuperset(json.loads(needed)) and len(found) < limit:
            params = {"labels": needed, "limit": limit - len(found)}
            found.update(dict.fromkeys(run for (run,) in connection.execute(SQL["fitting"], params).fetchall()))
    return list(found)


def _claim(connection: sqlite3.Connection, lease: Lease, labels: frozenset[str], limit: int) -> list[str]:
    owner.confirm(connection, lease)
    runs = fitting(connection, labels, limit)
    owner.own(connection, lease, runs)
    return runs


class NeedVerbs(Hold):
    """The verbs of `ports.needs.NeedStore`, for the SQLite store."""

    async def claim_fitting(
        self, lease: Lease, *, labels: frozenset[str], limit: int, leave: frozenset[tuple[str, str]] = frozenset()
    ) -> list[str]:
        def any_fits(connection: sqlite3.Connection) -> bool:
            owner.confirm(connection, lease)
            return bool(fitting(connection, labels, 1))

        if not await self._look_up(any_fits):
            return []
        return await self._write(lambda connection: _claim(connection, lease, labels, limit))

    async def needs(self, runs: list[str]) -> list[Need]:
        return [Need._make(row) for row in await self._fetch("needs", Need._fields, {"runs": json.dumps(runs)})]

    async def dues(self, runs: list[str]) -> dict[str, Micros]:
        return dict(await self._fetch("dues", ("run", "due"), {"runs": json.dumps(runs)}))
