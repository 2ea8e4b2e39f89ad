"""Pools and tickets on PostgreSQL: the rows, within a transaction that the caller has begun, and the port's verbs.

Whoever gives out slots of a pool has locked its desk, all of them in order of their names, so that two engines
do not give the same slot.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from ripresa.kernel.pooling import Closed, Outcome
from ripresa.ports.lease import Lease
from ripresa.ports.pools import Granted, PoolState, Standing, Ticket
from ripresa.ports.rows import Micros
from ripresa.stores.granting import InUse, Turns, Waiting, by_target, hand_out, pool_of
from ripresa.stores.named_sql import NamedSql
from ripresa.stores.postgres.hold import Hold
from ripresa.stores.postgres.waiting import aside, wait

SQL = NamedSql("ripresa.stores.postgres", "pools.sql")

_FENCE = """
SELECT true FROM engine,
  set_config('idle_in_transaction_session_timeout', '2s', true) AS idle, set_config('lock_timeout', '1s', true) AS wait
WHERE number = $1 AND lease_until > 0 FOR KEY SHARE OF engine
"""
"""Nobody can break the lease until the transaction ends; we can prolong it, with our batches and signs of life, however
long this takes.  Who stands still in the middle of it holds desks, and its lease, for two seconds."""
_PARAMETER = re.compile(r"\$(\d+)")


class PoolRows:
    """`stores.granting.Rows` on a connection, for code that runs `aside`."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def settings(self, pool: str) -> tuple[str | None, Micros]:
        row = self._one("settings", pool)
        return (None, 0) if row is None else (row[0], row[1])

    def retake(self, wanted: Ticket, engine: int) -> bool:
        known = self._one("known", wanted.run, wanted.operation, engine)
        if known is not None and known[1]:
            return True
        if known is not None and known[0] == wanted.pool:
            self._do("retake", wanted.run, wanted.operation, engine)
            return True
        if known is not None:
            self.forget(wanted.run, wanted.operation)
        return False

    def turns(self, wanted: Ticket) -> Turns:
        return Turns(*self._one("turns", wanted.pool, wanted.priority, wanted.key))

    def join(self, wanted: Ticket, engine: int, turn: int) -> None:
        self._do("join", *wanted, engine, turn)

    def pools_of(self, engine: int) -> list[str]:
        return [pool for (pool,) in self._all("pools_of", engine)]

    def tidy(self, now: Micros) -> None:
        self._do("tidy_tickets")
        self._do("tidy_cooldowns", now)

    def outcomes(self, pool: str) -> list[Outcome]:
        return [Outcome(*row) for row in self._all("outcomes", pool)]

    def circuits(self, pool: str) -> dict[str, str]:
        return dict(self._all("circuits", pool))

    def put_circuit(self, pool: str, target: str, circuit: str) -> None:
        self._do("put_circuit", pool, target, circuit)

    def cooling(self, pool: str) -> dict[str, Micros]:
        return {key: until for key, until, _ in self._all("cooling", pool)}

    def in_use(self, pool: str) -> InUse:
        engines, workflows, probes = Counter[int](), Counter[str](), Counter[str]()
        for engine, workflow, step, probe, count in self._all("in_use", pool):
            engines[engine] += count
            workflows[workflow] += count
            if probe:
                probes[step] += count
        return InUse(engines, workflows, probes)

    def first(self, pool: str, closed: Closed, limit: int) -> list[Waiting]:
        shut = [sorted(getattr(closed, name)) for name in ("engines", "workflows", "keys", "steps")]
        return [Waiting(*row) for row in self._all("first", pool, limit, *shut)]

    def grant(self, one: Waiting, pool: str, now: Micros, *, probe: bool) -> None:
        self._do("grant", one.run, one.operation, now, probe)
        self._do("serve", pool, one.priority, one.key, one.turn)
        self._do("served_before", pool, one.priority)

    def put_free_at(self, pool: str, at: Micros) -> None:
        self._do("put_free_at", pool, at)

    def waiting_of(self, pool: str, engine: int) -> list[Waiting]:
        return [Waiting(*row) for row in self._all("waiting_of", pool, engine)]

    def forget(self, run: str, operation: str) -> None:
        self._do("forget", run, operation)

    def news(self, engine: int) -> list[tuple[str, str]]:
        return [(run, operation) for run, operation, _ in self._all("news", engine)]

    def _do(self, query: str, *params: Any) -> None:
        wait(self._connection.execute(SQL[query], *params))

    def _all(self, query: str, *params: Any) -> list[Any]:
        found: list[Any] = wait(self._connection.fetch(SQL[query], *params))
        return found

    def _one(self, query: str, *params: Any) -> Any:
        return wait(self._connection.fetchrow(SQL[query], *params))


async def _learn(connection: Any) -> None:
    """Have the server know what is asked of it in `_hand_out`, so that each question is one message.

    A statement that is new goes in two, and between them the server takes itself for busy, however long that is: no
    limit on idle transactions would end one whose engine stands still just then, and nobody could take over from it.
    """
    transaction = connection.transaction()
    await transaction.start()
    try:
        for query in (_FENCE, *SQL.texts()):
            if numbers := _PARAMETER.findall(query):
                await connection.fetch(query, *[None] * max(map(int, numbers)))
    finally:
        await transaction.rollback()


async def _hand_out(
    connection: Any, lease: Lease, wanted: list[Ticket], now: Micros, *, untold: bool
) -> Granted | None:
    """None: the lease is broken.  With `untold` all slots that the engine holds are told of again."""
    async with connection.transaction():
        if not await connection.fetchval(_FENCE, lease.engine):
            return None
        pools = {ticket.pool for ticket in wanted}
        pools |= {pool for (pool,) in await connection.fetch(SQL["pools_of"], lease.engine)}
        await connection.execute(SQL["open_desks"], sorted(pools))
        await connection.execute(SQL["lock_desks"], sorted(pools))
        if untold:
            await connection.execute(SQL["tell_again"], lease.engine)
        return await aside(lambda: hand_out(PoolRows(connection), lease.engine, wanted, now))


async def _put_pool(connection: Any, name: str, settings: str | None, *, declared: bool) -> None:
    """Keep what the pool is from now on."""
    if settings is None:
        await connection.execute(SQL["drop_pool"], name)
    else:
        await connection.execute(SQL["declare_pool" if declared else "put_pool"], name, settings)


async def _set_breaker(connection: Any, pool: str, target: str, circuit: str | None) -> None:
    """Keep how it stands; what happened before says nothing of what a person has said."""
    async with connection.transaction():
        await connection.execute(SQL["open_desks"], [pool])
        await connection.execute(SQL["lock_desks"], [pool])
        await connection.execute(SQL["outcomes_seen"], pool)
        if circuit is None:
            await connection.execute(SQL["drop_circuit"], pool, target)
        else:
            await connection.execute(SQL["put_circuit"], pool, target, circuit)


async def _set_cooldown(connection: Any, pool: str, key: str, until: Micros | None, why: str) -> None:
    """Keep until when the key rests."""
    if until is None:
        await connection.execute(SQL["drop_cooldown"], pool, key)
    else:
        await connection.execute(SQL["put_cooldown"], pool, key, until, why)


# -- looking ----------------------------------------------------------------------------------------------------------


async def _pools(connection: Any) -> list[PoolState]:
    """All of them, as they stand."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        rows = await connection.fetch(SQL["pools"])
        return await aside(lambda: [_state(PoolRows(connection), row) for row in rows])


def _state(rows: PoolRows, row: tuple[str, str, str | None, Micros, int]) -> PoolState:
    name, settings, declared, free_at, waiting = row
    in_use = rows.in_use(name)
    probing = by_target(pool_of(name, settings), in_use.probes)
    cooling = {key: (until, why) for key, until, why in rows._all("cooling", name)}  # noqa: SLF001 - ours
    return PoolState(
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


async def _standing(connection: Any, pool: str | None, run: str | None, limit: int | None) -> list[Standing]:
    """Tickets, and how many go before each."""
    if pool is not None:
        names = [pool]
    elif run is not None:
        names = [name for (name,) in await connection.fetch(SQL["pools_of_run"], run)]
    else:
        names = [name for (name,) in await connection.fetch(SQL["all_pools"])]
    rows = await connection.fetch(SQL["standing"], names, run, limit)
    return [Standing(Ticket(*row[:9]), *row[9:]) for row in map(tuple, rows)]


class PoolVerbs(Hold):
    """The verbs of `ports.pools.PoolStore`, for the PostgreSQL store."""

    _untold = False
    _taught: Any = None
    """The connection that knows what is asked on it."""

    async def tickets(self, lease: Lease, wanted: list[Ticket], *, now: Micros) -> Granted:
        untold = self._untold
        self._untold = True  # an answer may be lost on its way

        async def ask(connection: Any) -> Granted | None:
            if connection is not self._taught:
                await _learn(connection)
                self._taught = connection
            return await _hand_out(connection, lease, wanted, now, untold=untold)

        granted: Granted = await self._as_owner(lease, ask)
        self._untold = False
        if granted.tickets or granted.refused:
            self._tell_others()  # some may be theirs
        return granted

    async def pools(self) -> list[PoolState]:
        return await self._look(_pools)

    async def standing(
        self, *, pool: str | None = None, run: str | None = None, limit: int | None = None
    ) -> list[Standing]:
        return await self._look(lambda one: _standing(one, pool, run, limit))

    async def put_pool(self, name: str, settings: str | None, *, declared: bool = False) -> None:
        await self._change(lambda one: _put_pool(one, name, settings, declared=declared))

    async def set_breaker(self, pool: str, target: str, circuit: str | None) -> None:
        await self._change(lambda one: _set_breaker(one, pool, target, circuit))

    async def set_cooldown(self, pool: str, key: str, until: Micros | None, why: str = "") -> None:
        await self._change(lambda one: _set_cooldown(one, pool, key, until, why))

    async def _change(self, work: Callable[[Any], Awaitable[None]]) -> None:
        await self._again(self._idlest(), work)
        self._tell_all()
