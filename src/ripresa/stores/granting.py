"""Granting: how a store gives out slots, whatever its rows lie in.

    outcomes ──> breakers ┐
    wanted ──> in line ───┴─> the first that may start hold a slot ──> the engine is told

`Rows` is what a store has to find and change; everything happens in one transaction of its own.  Who may start is
decided by `kernel.pooling.Desk`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ripresa.contracts.pools import Pool
from ripresa.kernel.circuit import Circuit
from ripresa.kernel.pooling import Asked, Closed, Desk, Outcome, turn_of
from ripresa.ports.pools import Granted

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable

    from ripresa.ports.pools import Ticket
    from ripresa.ports.rows import Micros

_LOOKED_AT = 64


class Waiting(NamedTuple):
    """Who waits, as a desk is shown it."""

    run: str
    operation: str
    engine: int
    workflow: str
    key: str
    step: str
    priority: int
    turn: int

    @property
    def asked(self) -> Asked:
        """What the desk needs of it."""
        return Asked(self.engine, self.workflow, self.key, self.step)


class InUse(NamedTuple):
    """Slots in use, counted."""

    engines: Counter[int]
    workflows: Counter[str]
    probes: Counter[str]
    """Probes under way, by step."""


class Turns(NamedTuple):
    """What decides the turn of who joins: the turn served last of its priority, and the last of its key."""

    served: int
    last_served: int | None
    last_waiting: int | None


class Rows(Protocol):
    """A store's rows of pools, in an open transaction."""

    def settings(self, pool: str) -> tuple[str | None, Micros]:
        """The pool's settings, and when its next start is due; None and 0: there is no such pool."""

    def retake(self, wanted: Ticket, engine: int) -> bool:
        """If the ticket is known and of the same pool, let it be the engine's, to be told of again; else forget it.

        One of another engine that has the run is let be: who asks had the run before.
        """

    def turns(self, wanted: Ticket) -> Turns:
        """Where its key stands."""

    def join(self, wanted: Ticket, engine: int, turn: int) -> None:
        """Put it in line."""

    def pools_of(self, engine: int) -> list[str]:
        """Pools in which the engine waits."""

    def tidy(self, now: Micros) -> None:
        """Forget tickets without an engine whose run has ended, and cooldowns that are over."""

    def outcomes(self, pool: str) -> list[Outcome]:
        """How attempts ended since the last call, in order."""

    def circuits(self, pool: str) -> dict[str, str]:
        """The breakers, by target."""

    def put_circuit(self, pool: str, target: str, circuit: str) -> None:
        """Keep it."""

    def cooling(self, pool: str) -> dict[str, Micros]:
        """Keys that rest."""

    def in_use(self, pool: str) -> InUse:
        """Slots in use."""

    def first(self, pool: str, closed: Closed, limit: int) -> list[Waiting]:
        """The first in line who are not closed off and have an engine."""

    def grant(self, one: Waiting, pool: str, now: Micros, *, probe: bool) -> None:
        """It holds a slot now, and its key's turn was served."""

    def put_free_at(self, pool: str, at: Micros) -> None:
        """Keep when the next start is due."""

    def waiting_of(self, pool: str, engine: int) -> list[Waiting]:
        """All of the engine that wait."""

    def forget(self, run: str, operation: str) -> None:
        """It waits no more."""

    def news(self, engine: int) -> list[tuple[str, str]]:
        """Run and operation of the engine's tickets that hold a slot and were not told of; from now on they were."""


def hand_out(rows: Rows, engine: int, wanted: Iterable[Ticket], now: Micros) -> Granted:
    """What the port's `tickets` promises."""
    for ticket in wanted:
        if not rows.retake(ticket, engine):
            where = rows.turns(ticket)
            rows.join(ticket, engine, turn_of(**where._asdict()))
    rows.tidy(now)
    again: list[Micros] = []
    refused: list[tuple[str, str, str]] = []
    for pool in rows.pools_of(engine):
        desk = _desk(rows, pool, now)
        _fill(rows, desk)
        refused += _refused(rows, desk, engine)
        if desk.again_at is not None:
            again.append(desk.again_at)
    return Granted(rows.news(engine), refused, min(again, default=None))


def pool_of(name: str, settings: str | None) -> Pool:
    """The pool that these settings make; one that does not exist has no limits."""
    return Pool(name) if settings is None else Pool.of(name, json.loads(settings))


def by_target(pool: Pool, probes: Counter[str]) -> Counter[str]:
    """Probes by target, from those by step."""
    if pool.breaker is not None and pool.breaker.per == "step":
        return probes
    return type(probes)({"": probes.total()})


def _desk(rows: Rows, name: str, now: Micros) -> Desk:
    settings, free_at = rows.settings(name)
    pool = pool_of(name, settings)
    in_use = rows.in_use(name)
    circuits = {target: Circuit.load(text) for target, text in rows.circuits(name).items()} if pool.breaker else {}
    desk = Desk(
        pool,
        now,
        free_at,
        in_use.engines,
        in_use.workflows,
        by_target(pool, in_use.probes),
        circuits,
        rows.cooling(name),
    )
    if pool.breaker is not None:
        for target in desk.fold(rows.outcomes(name)):
            rows.put_circuit(name, target, desk.circuits[target].dump())
    return desk


def _fill(rows: Rows, desk: Desk) -> None:
    """Give out slots until there are none, or nobody may start who waits."""
    name, free_at = desk.pool.name, desk.free_at
    while (room := desk.room()) > 0:
        first = rows.first(name, desk.closed(), min(room, _LOOKED_AT))
        given = [(one, what) for one in first if (what := desk.give(one.asked)) is not None]
        if not given:
            break
        for one, what in given:
            rows.grant(one, name, desk.now, probe=what == "probe")
    if desk.free_at != free_at:
        rows.put_free_at(name, desk.free_at)


def _refused(rows: Rows, desk: Desk, engine: int) -> list[tuple[str, str, str]]:
    breaker = desk.pool.breaker
    if breaker is None or breaker.on_open != "fail":
        return []
    found = [(one, desk.refuses(one.step)) for one in rows.waiting_of(desk.pool.name, engine)]
    for one, why in found:
        if why is not None:
            rows.forget(one.run, one.operation)
    return [(one.run, one.operation, why) for one, why in found if why is not None]
