"""Notes of what a simulated store's verbs did, for the checker: who wrote what, and who owned it before and after."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ripresa.kernel import history as h
from ripresa.kernel.circuit import Circuit, looked_at
from ripresa.testing.evidence import PoolLook, Write

if TYPE_CHECKING:
    from ripresa.ports.lease import Lease
    from ripresa.ports.rows import HistoryEvent, Micros
    from ripresa.testing.sim_disk import Held, PoolSeen
    from ripresa.testing.world import World

_STEP_OVER = frozenset({h.STEP_COMPLETED, h.STEP_FAILED})


class Notes:
    """What is noted of a world's writes, in the order in which they take effect."""

    def __init__(self, world: World, process: str) -> None:
        self._world = world
        self._process = process
        """Whose writes they are."""

    def owners(self, verb: str, lease: Lease, runs: list[str], lived: set[int] | None = None) -> None:
        """Note who got which runs, and whose lease was broken of those who `lived`, if it is of any interest."""
        world = self._world
        held = world.disk.held(runs) if runs else {}
        given = tuple((run, held[run].owner) for run in runs)
        fenced = () if lived is None else tuple(sorted(lived - world.disk.living()))
        if given or fenced:
            order, now = world.next_order(), world.clock.now()
            write = Write(order, now, self._process, lease.epoch, verb, (), (), (), given, fenced)
            world.writes.append(write)
            world.trace("owners", verb, given, fenced)

    def batch(
        self,
        verb: str,
        lease: Lease | None,
        before: dict[str, str | None],
        events: list[HistoryEvent],
        after: dict[str, Held],
        *,
        owned: tuple[tuple[str, int | None], ...] = (),
        given: tuple[tuple[str, int | None], ...] = (),
    ) -> None:
        """Note what was written; `before`: the status that each run had which is in it."""
        world = self._world
        statuses = tuple((run, status, after[run].status) for run, status in before.items() if run in after)
        write = Write(
            world.next_order(),
            world.clock.now(),
            self._process,
            lease.epoch if lease else 0,
            verb,
            tuple(events),
            statuses,
            owned,
            given,
        )
        world.writes.append(write)
        if world.labels:
            needs = set(world.disk.needs())
            over = [(event.run, event.operation) for event in events if event.kind in _STEP_OVER and event.operation]
            world.needs_outlived += [one for one in over if one in needs]
        world.trace("wrote", *(f"{event.run}:{event.seq}:{event.kind}:{event.data}" for event in events), *statuses)

    def pools(self, before: set[tuple[str, str]], lease: Lease, now: Micros) -> None:
        """Note how each pool stands after slots were given out."""
        world = self._world
        world.pool_looks.extend(_look(world.next_order(), pool, before, lease, now) for pool in world.disk.pools())


def _look(order: int, pool: PoolSeen, before: set[tuple[str, str]], lease: Lease, now: Micros) -> PoolLook:
    """How a pool stands after slots of it were given out."""
    held = [slot for slot in pool.slots if slot.granted_at is not None]
    return PoolLook(
        order,
        lease.epoch,
        pool.name,
        tuple((slot.run, slot.operation) for slot in held),
        tuple((slot.operation, slot.key) for slot in held if (slot.run, slot.operation) not in before),
        tuple((slot.operation, slot.key) for slot in pool.slots if slot.granted_at is None and slot.engine),
        sum(slot.probe for slot in held),
        looked_at(Circuit.load(pool.circuit), now).state,
    )
