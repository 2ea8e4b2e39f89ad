"""Pools and tickets in memory: the port's verbs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ripresa.ports.pools import Granted, PoolState, Standing, Ticket
from ripresa.stores.granting import hand_out
from ripresa.stores.memory.hold import Hold
from ripresa.stores.memory.tickets import PoolRow

if TYPE_CHECKING:
    from ripresa.ports.lease import Lease
    from ripresa.ports.rows import Micros


class PoolVerbs(Hold):
    """The verbs of `ports.pools.PoolStore`, for the memory store."""

    async def tickets(self, lease: Lease, wanted: list[Ticket], *, now: Micros) -> Granted:
        self.database.confirm(lease)
        granted = hand_out(self.database.tickets, lease.engine, wanted, now)
        self._wrote()
        if self.database.tickets.others_have_news(lease.engine):
            self._tell_others()
        return granted

    async def pools(self) -> list[PoolState]:
        return [self.database.tickets.state(pool) for pool in sorted(self.database.tickets.pools)]

    async def standing(
        self, *, pool: str | None = None, run: str | None = None, limit: int | None = None
    ) -> list[Standing]:
        return self.database.tickets.standing(None if pool is None else (pool,), run, limit)

    async def put_pool(self, name: str, settings: str | None, *, declared: bool = False) -> None:
        pools = self.database.tickets.pools
        known = pools.get(name)
        if settings is None:
            pools.pop(name, None)
        elif known is None:
            pools[name] = PoolRow(settings, settings if declared else None)
        elif not declared:
            pools[name] = known._replace(settings=settings)
        elif known.declared != settings:
            pools[name] = known._replace(settings=settings, declared=settings)
        self._wrote()
        self._tell_others()

    async def set_breaker(self, pool: str, target: str, circuit: str | None) -> None:
        breakers = self.database.tickets.breakers[pool]
        self.database.tickets.outcomes(pool)  # what happened before says nothing of what a person has said
        if circuit is None:
            breakers.pop(target, None)
        else:
            breakers[target] = circuit
        self._wrote()
        self._tell_others()

    async def set_cooldown(self, pool: str, key: str, until: Micros | None, why: str = "") -> None:
        rests = self.database.tickets.rests[pool]
        if until is None:
            rests.pop(key, None)
        else:
            rests[key] = until, why
        self._wrote()
        self._tell_others()
