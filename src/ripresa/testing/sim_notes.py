"""Notes of what a simulated store's verbs did, for the checker: who wrote what, and who owned it before and after."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING

from ripresa.kernel.circuit import Circuit, looked_at
from ripresa.testing.evidence import PoolLook, Write

if TYPE_CHECKING:
    from ripresa.ports.lease import Lease
    from ripresa.ports.rows import HistoryEvent, Micros
    from ripresa.testing.world import World


class Notes:
    """What is noted of a world's writes, in the order in which they take effect."""

    def __init__(self, world: World) -> None:
        self._world = world

    def statuses(self, ids: list[str]) -> dict[str, str | None]:
        """Status of each of these runs; None: there is none."""
        runs = self._world.database.runs
        return {run: runs[run].status if run in runs else None for run in ids}

    def lived(self) -> set[int]:
        """Engines whose lease is not broken."""
        return {engine for engine, owner in self._world.database.owners.items() if owner.lease_until > 0}

    def owners(self, verb: str, lease: Lease, runs: list[str], lived: set[int]) -> None:
        """Note who got which runs, and whose lease was broken, if it is of any interest."""
        world = self._world
        given = tuple((run, world.database.runs[run].owner) for run in runs)
        fenced = tuple(sorted(lived - self.lived()))
        if given or fenced:
            order, now = world.next_order(), world.clock.now()
            write = Write(order, now, world.process_name(), lease.epoch, verb, (), (), (), given, fenced)
            world.writes.append(write)
            world.trace("owners", verb, given, fenced)

    def batch(
        self,
        verb: str,
        lease: Lease | None,
        before: dict[str, str | None],
        events: list[HistoryEvent],
        *,
        owned: tuple[tuple[str, int | None], ...] = (),
        given: tuple[tuple[str, int | None], ...] = (),
    ) -> None:
        """Note what was written; `before`: the status that each run had which is in it."""
        world = self._world
        after = self.statuses(list(before))
        statuses = tuple((run, status, new) for run, status in before.items() if (new := after[run]) is not None)
        write = Write(
            world.next_order(),
            world.clock.now(),
            world.process_name(),
            lease.epoch if lease else 0,
            verb,
            tuple(events),
            statuses,
            owned,
            given,
        )
        world.writes.append(write)
        world.trace("wrote", *(f"{event.run}:{event.seq}:{event.kind}:{event.data}" for event in events), *statuses)

    def granted(self) -> set[tuple[str, str]]:
        """Run and operation of each ticket that holds a slot."""
        return {name for name, row in self._world.database.tickets.rows.items() if row.granted_at is not None}

    def pools(self, before: set[tuple[str, str]], lease: Lease, now: Micros) -> None:
        """Note how each pool stands after slots were given out."""
        pools = self._world.database.tickets.pools
        self._world.pool_looks.extend(_look(self._world, pool, before, lease, now) for pool in pools)


def _look(world: World, pool: str, before: set[tuple[str, str]], lease: Lease, now: Micros) -> PoolLook:
    """How a pool stands after slots of it were given out."""
    rows = [row for row in world.database.tickets.rows.values() if row.ticket.pool == pool]
    held = sorted((row for row in rows if row.granted_at is not None), key=attrgetter("place"))
    circuit = looked_at(Circuit.load(world.database.tickets.circuits(pool).get("")), now)
    new = [row for row in held if (row.ticket.run, row.ticket.operation) not in before]
    return PoolLook(
        world.next_order(),
        lease.epoch,
        pool,
        tuple((row.ticket.run, row.ticket.operation) for row in held),
        tuple((row.ticket.operation, row.ticket.key) for row in new),
        tuple((row.ticket.operation, row.ticket.key) for row in rows if row.granted_at is None and row.engine),
        sum(row.probe for row in held),
        circuit.state,
    )
