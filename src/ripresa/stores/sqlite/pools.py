"""Pools and tickets on SQLite: the rows, within a transaction that the caller has begun, and the port's verbs."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from typing import Any

from ripresa.kernel.pooling import Closed, Outcome
from ripresa.ports.lease import Lease
from ripresa.ports.pools import Freed, Granted, PoolState, Standing, Ticket
from ripresa.ports.rows import Micros
from ripresa.stores.granting import InUse, Turns, Waiting, by_target, hand_out, pool_of
from ripresa.stores.named_sql import NamedSql
from ripresa.stores.sqlite.hold import Hold
from ripresa.stores.sqlite.owner import confirm

SQL = NamedSql("ripresa.stores.sqlite", "pools.sql")


class PoolRows:
    """`stores.granting.Rows` on a connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def settings(self, pool: str) -> tuple[str | None, Micros]:
        row = self._one("settings", pool=pool)
        return (None, 0) if row is None else (row[0], row[1])

    def retake(self, wanted: Ticket, engine: int) -> bool:
        known = self._one("known", run=wanted.run, operation=wanted.operation)
        if known is not None and known[0] == wanted.pool:
            self._do("retake", run=wanted.run, operation=wanted.operation, engine=engine)
            return True
        if known is not None:
            self.forget(wanted.run, wanted.operation)
        return False

    def turns(self, wanted: Ticket) -> Turns:
        return Turns._make(self._all("turns", pool=wanted.pool, priority=wanted.priority, key=wanted.key)[0])

    def join(self, wanted: Ticket, engine: int, turn: int) -> None:
        self._do("join", **wanted._asdict(), engine=engine, turn=turn)

    def pools_of(self, engine: int) -> list[str]:
        return [pool for (pool,) in self._all("pools_of", engine=engine)]

    def tidy(self, now: Micros) -> None:
        self._do("tidy_tickets")
        self._do("tidy_cooldowns", now=now)

    def outcomes(self, pool: str) -> list[Outcome]:
        found = [
            Outcome(step, at, bool(good), bool(probe)) for step, at, good, probe in self._all("outcomes", pool=pool)
        ]
        if found:
            self._do("outcomes_seen", pool=pool)
        return found

    def circuits(self, pool: str) -> dict[str, str]:
        return dict(self._all("circuits", pool=pool))

    def put_circuit(self, pool: str, target: str, circuit: str) -> None:
        self._do("put_circuit", pool=pool, target=target, circuit=circuit)

    def cooling(self, pool: str) -> dict[str, Micros]:
        return {key: until for key, until, _ in self._all("cooling", pool=pool)}

    def in_use(self, pool: str) -> InUse:
        engines, workflows, probes = Counter[int](), Counter[str](), Counter[str]()
        for engine, workflow, step, probe, count in self._all("in_use", pool=pool):
            engines[engine] += count
            workflows[workflow] += count
            if probe:
                probes[step] += count
        return InUse(engines, workflows, probes)

    def first(self, pool: str, closed: Closed, limit: int) -> list[Waiting]:
        shut = {name: json.dumps(sorted(values)) for name, values in closed._asdict().items()}
        return [Waiting._make(row) for row in self._all("first", pool=pool, limit=limit, **shut)]

    def grant(self, one: Waiting, pool: str, now: Micros, *, probe: bool) -> None:
        self._do("grant", run=one.run, operation=one.operation, now=now, probe=probe)
        self._do("serve", pool=pool, priority=one.priority, key=one.key, turn=one.turn)
        self._do("served_before", pool=pool, priority=one.priority)

    def put_free_at(self, pool: str, at: Micros) -> None:
        self._do("put_free_at", pool=pool, at=at)

    def waiting_of(self, pool: str, engine: int) -> list[Waiting]:
        return [Waiting._make(row) for row in self._all("waiting_of", pool=pool, engine=engine)]

    def forget(self, run: str, operation: str) -> None:
        self._do("forget", run=run, operation=operation)

    def news(self, engine: int) -> list[tuple[str, str]]:
        found = self._all("news", engine=engine)
        if found:
            self._do("told", engine=engine)
        return found

    def _do(self, query: str, **params: Any) -> None:
        self._connection.execute(SQL[query], params)

    def _all(self, query: str, **params: Any) -> list[Any]:
        return self._connection.execute(SQL[query], params).fetchall()

    def _one(self, query: str, **params: Any) -> Any:
        return self._connection.execute(SQL[query], params).fetchone()


# -- changes that come with other transactions ------------------------------------------------------------------------


def free(connection: sqlite3.Connection, freed: list[Freed]) -> None:
    """Give these tickets back; what is not there is passed over."""
    for one in freed:
        row = one._asdict()
        if one.good is not None:
            connection.execute(SQL["note_outcome"], row)
        if one.rest_until is not None:
            connection.execute(SQL["rest"], row)
        connection.execute(SQL["forget"], row)


def put_pool(connection: sqlite3.Connection, name: str, settings: str | None, *, declared: bool) -> None:
    """Keep what the pool is from now on."""
    if settings is None:
        connection.execute(SQL["drop_pool"], {"name": name})
    else:
        query = "declare_pool" if declared else "put_pool"
        connection.execute(SQL[query], {"name": name, "settings": settings})


def set_breaker(connection: sqlite3.Connection, pool: str, target: str, circuit: str | None) -> None:
    """Keep how it stands; what happened before says nothing of what a person has said."""
    connection.execute(SQL["outcomes_seen"], {"pool": pool})
    query = "drop_circuit" if circuit is None else "put_circuit"
    connection.execute(SQL[query], {"pool": pool, "target": target, "circuit": circuit})


def set_cooldown(connection: sqlite3.Connection, pool: str, key: str, until: Micros | None, why: str) -> None:
    """Keep until when the key rests."""
    query = "drop_cooldown" if until is None else "put_cooldown"
    connection.execute(SQL[query], {"pool": pool, "key": key, "until": until, "why": why})


# -- looking ----------------------------------------------------------------------------------------------------------


def pools(connection: sqlite3.Connection) -> list[PoolState]:
    """All of them, as they stand."""
    rows = PoolRows(connection)
    found = []
    for name, settings, declared, free_at, waiting in connection.execute(SQL["pools"]).fetchall():
        in_use = rows.in_use(name)
        probing = by_target(pool_of(name, settings), in_use.probes)
        cooling = {key: (until, why) for key, until, why in connection.execute(SQL["cooling"], {"pool": name})}
        found.append(
            PoolState(
                name,
                settings,
                declared,
                free_at,
                waiting,
                dict(in_use.engines),
                dict(in_use.workflows),
                dict(probing),
                rows.circuits(name),
                cooling,
            )
        )
    return found


def standing(connection: sqlite3.Connection, pool: str | None, run: str | None, limit: int | None) -> list[Standing]:
    """Tickets, and how many go before each."""
    if pool is not None:
        names = [pool]
    else:
        query = "all_pools" if run is None else "pools_of_run"
        names = [name for (name,) in connection.execute(SQL[query], {"run": run})]
    found: list[Standing] = []
    for row in connection.execute(SQL["standing"], {"pools": json.dumps(names)}):
        if run not in {None, row[0]}:
            continue
        if len(found) == limit:
            break
        ticket = Ticket._make(row[:9])._replace(keeps=bool(row[8]))
        found.append(Standing(ticket, row[9], row[10], bool(row[11]), row[12]))
    return found


class PoolVerbs(Hold):
    """The verbs of `ports.pools.PoolStore`, for the SQLite store."""

    async def tickets(self, lease: Lease, wanted: list[Ticket], *, now: Micros) -> Granted:
        def work(connection: sqlite3.Connection) -> Granted:
            confirm(connection, lease)
            return hand_out(PoolRows(connection), lease.engine, wanted, now)

        return await self._write(work)

    async def pools(self) -> list[PoolState]:
        return await self._read(pools)

    async def standing(
        self, *, pool: str | None = None, run: str | None = None, limit: int | None = None
    ) -> list[Standing]:
        return await self._read(lambda connection: standing(connection, pool, run, limit))

    async def put_pool(self, name: str, settings: str | None, *, declared: bool = False) -> None:
        await self._write(lambda connection: put_pool(connection, name, settings, declared=declared))

    async def set_breaker(self, pool: str, target: str, circuit: str | None) -> None:
        await self._write(lambda connection: set_breaker(connection, pool, target, circuit))

    async def set_cooldown(self, pool: str, key: str, until: Micros | None, why: str = "") -> None:
        await self._write(lambda connection: set_cooldown(connection, pool, key, until, why))
