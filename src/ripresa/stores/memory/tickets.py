"""Tickets in memory: who waits for a slot of a pool, in which order, and who holds one."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, NamedTuple

from ripresa.contracts.status import TERMINAL
from ripresa.kernel.pooling import Closed, Outcome
from ripresa.ports.pools import Freed, PoolState, Standing, Ticket
from ripresa.stores.granting import InUse, Turns, Waiting, by_target, pool_of

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Mapping

    from ripresa.ports.rows import Micros, Run

Place = tuple[int, int, int, str, str]
"""Where a ticket stands in line: priority turned round, turn, age, run, operation."""


class Row(NamedTuple):
    """A ticket as it lies here."""

    ticket: Ticket
    engine: int | None
    turn: int
    granted_at: Micros | None = None
    probe: bool = False

    @property
    def place(self) -> Place:
        return -self.ticket.priority, self.turn, self.ticket.since, self.ticket.run, self.ticket.operation


class PoolRow(NamedTuple):
    """A pool as it lies here."""

    settings: str
    declared: str | None
    free_at: Micros = 0


class Tickets:
    """The rows of pools; `Rows` for who gives out slots."""

    def __init__(self, runs: Mapping[str, Run]) -> None:
        self._runs = runs
        self.pools: dict[str, PoolRow] = {}
        self.rows: dict[tuple[str, str], Row] = {}
        self.breakers: defaultdict[str, dict[str, str]] = defaultdict(dict)
        self.rests: defaultdict[str, dict[str, tuple[Micros, str]]] = defaultdict(dict)
        self._lines: defaultdict[str, list[Place]] = defaultdict(list)
        """Those that wait, by pool, in order."""
        self._lines_of_keys: defaultdict[tuple[str, int, str], list[Place]] = defaultdict(list)
        """The same, by pool, priority and key."""
        self._held: defaultdict[str, dict[tuple[str, str], None]] = defaultdict(dict)
        self._untold: defaultdict[int, dict[tuple[str, str], None]] = defaultdict(dict)
        """Those that hold a slot of which their engine does not know."""
        self._bereaved: dict[tuple[str, str], None] = {}
        """Those without an engine."""
        self._served: dict[tuple[str, int], dict[str, int]] = {}
        """By pool and priority: the turn of each key that was served last, as far as it still matters."""
        self._outcomes: defaultdict[str, list[Outcome]] = defaultdict(list)

    # -- changes that come with a batch -----------------------------------------------------------

    def free(self, freed: Freed) -> None:
        """Give the ticket back; one that is not there, or another engine's by now, is passed over."""
        row = self.rows.get((freed.run, freed.operation))
        if row is None or (freed.engine is not None and row.engine not in (None, freed.engine)):
            return
        pool, key = row.ticket.pool, row.ticket.key
        if freed.good is not None:
            self._outcomes[pool].append(Outcome(row.ticket.step, freed.at, freed.good, row.probe))
        if freed.rest_until is not None and freed.rest_until > self.rests[pool].get(key, (0, ""))[0]:
            self.rests[pool][key] = freed.rest_until, freed.why
        self._drop(row)

    def bereave(self, is_alive: Callable[[int], bool]) -> None:
        """Engines are gone: what their tickets held is free, unless it outlives them; nobody starts them for now."""
        for row in list(self.rows.values()):
            if row.engine is not None and not is_alive(row.engine):
                self._drop(row)
                keeps = row.ticket.keeps and row.granted_at is not None
                self._put(row._replace(engine=None, granted_at=row.granted_at if keeps else None, probe=False))

    # -- `Rows` -----------------------------------------------------------------------------------

    def settings(self, pool: str) -> tuple[str | None, Micros]:
        row = self.pools.get(pool)
        return (None, 0) if row is None else (row.settings, row.free_at)

    def retake(self, wanted: Ticket, engine: int) -> bool:
        row = self.rows.get((wanted.run, wanted.operation))
        if row is None:
            return False
        run = self._runs.get(wanted.run)
        if run is not None and row.engine not in (None, engine) and row.engine == run.owner:
            return True  # who asks had the run before, and asked when he still had it
        self._drop(row)
        if row.ticket.pool == wanted.pool:
            self._put(row._replace(engine=engine))
            return True
        return False

    def turns(self, wanted: Ticket) -> Turns:
        served = self._served.get((wanted.pool, wanted.priority), {})
        line = self._lines_of_keys.get((wanted.pool, wanted.priority, wanted.key))
        return Turns(max(served.values(), default=0), served.get(wanted.key), line[-1][1] if line else None)

    def join(self, wanted: Ticket, engine: int, turn: int) -> None:
        self._put(Row(wanted, engine, turn))

    def pools_of(self, engine: int) -> list[str]:
        return sorted(pool for pool, line in self._lines.items() if any(self._at(one).engine == engine for one in line))

    def tidy(self, now: Micros) -> None:
        for name in list(self._bereaved):
            run = self._runs.get(name[0])
            if run is None or run.status in TERMINAL:
                self._drop(self.rows[name])
        for pool, rests in self.rests.items():
            self.rests[pool] = {key: rest for key, rest in rests.items() if rest[0] > now}

    def outcomes(self, pool: str) -> list[Outcome]:
        return self._outcomes.pop(pool, [])

    def circuits(self, pool: str) -> dict[str, str]:
        return dict(self.breakers.get(pool, {}))

    def put_circuit(self, pool: str, target: str, circuit: str) -> None:
        self.breakers[pool][target] = circuit

    def cooling(self, pool: str) -> dict[str, Micros]:
        return {key: until for key, (until, _) in self.rests.get(pool, {}).items()}

    def in_use(self, pool: str) -> InUse:
        held = [self.rows[name] for name in self._held[pool]]
        return InUse(
            Counter(row.engine or 0 for row in held),
            Counter(row.ticket.workflow for row in held),
            Counter(row.ticket.step for row in held if row.probe),
        )

    def first(self, pool: str, closed: Closed, limit: int) -> list[Waiting]:
        found: list[Waiting] = []
        for one in self.waiting(pool):
            if len(found) == limit:
                break
            if (
                one.engine not in closed.engines
                and one.workflow not in closed.workflows
                and one.key not in closed.keys
                and one.step not in closed.steps
            ):
                found.append(one)
        return found

    def grant(self, one: Waiting, pool: str, now: Micros, *, probe: bool) -> None:
        row = self.rows[one.run, one.operation]
        self._drop(row)
        self._put(row._replace(granted_at=now, probe=probe))
        served = self._served.setdefault((pool, one.priority), {})
        served[one.key] = max(one.turn, served.get(one.key, 0))
        latest = max(served.values())
        self._served[pool, one.priority] = {key: turn for key, turn in served.items() if turn == latest}

    def put_free_at(self, pool: str, at: Micros) -> None:
        if pool in self.pools:
            self.pools[pool] = self.pools[pool]._replace(free_at=at)

    def waiting_of(self, pool: str, engine: int) -> list[Waiting]:
        return [one for one in self.waiting(pool) if one.engine == engine]

    def forget(self, run: str, operation: str) -> None:
        self._drop(self.rows[run, operation])

    def news(self, engine: int) -> list[tuple[str, str]]:
        return list(self._untold.pop(engine, ()))

    def others_have_news(self, engine: int) -> bool:
        """Whether another engine's ticket was granted of which it does not know."""
        return any(untold and other not in {0, engine} for other, untold in self._untold.items())

    # -- looking ----------------------------------------------------------------------------------

    def waiting(self, pool: str) -> Iterator[Waiting]:
        """Those that wait and have an engine, in order."""
        for row in map(self._at, self._lines[pool]):
            if row.engine is not None:
                run, operation, _, step, workflow, key, priority, *_ = row.ticket
                yield Waiting(run, operation, row.engine, workflow, key, step, priority, row.turn)

    def standing(self, pools: Container[str] | None, run: str | None, limit: int | None) -> list[Standing]:
        found: list[Standing] = []
        names = sorted({row.ticket.pool for row in self.rows.values()})
        for pool in [name for name in names if pools is None or name in pools]:
            held = sorted((self.rows[name] for name in self._held[pool]), key=lambda row: (row.granted_at, row.place))
            waiting = list(map(self._at, self._lines[pool]))
            rows = [(row, 0) for row in held] + [(row, ahead) for ahead, row in enumerate(waiting)]
            found += [
                Standing(row.ticket, row.engine, row.granted_at, row.probe, ahead)
                for row, ahead in rows
                if run in {None, row.ticket.run}
            ]
        return found[:limit]

    def state(self, pool: str) -> PoolState:
        row, in_use = self.pools[pool], self.in_use(pool)
        return PoolState(
            pool,
            row.settings,
            row.declared,
            row.free_at,
            len(self._lines[pool]),
            dict(in_use.engines),
            dict(in_use.workflows),
            dict(by_target(pool_of(pool, row.settings), in_use.probes)),
            self.circuits(pool),
            dict(self.rests.get(pool, {})),
        )

    # -- rows -------------------------------------------------------------------------------------

    def _at(self, place: Place) -> Row:
        return self.rows[place[3], place[4]]

    def _put(self, row: Row) -> None:
        name = row.ticket.run, row.ticket.operation
        self.rows[name] = row
        if row.engine is None:
            self._bereaved[name] = None
        elif row.granted_at is not None:
            self._untold[row.engine][name] = None
        if row.granted_at is None:
            for line in self._lines_with(row.ticket):
                insort(line, row.place)
        else:
            self._held[row.ticket.pool][name] = None

    def _drop(self, row: Row) -> None:
        name = row.ticket.run, row.ticket.operation
        del self.rows[name]
        self._bereaved.pop(name, None)
        self._untold[row.engine or 0].pop(name, None)
        if row.granted_at is None:
            for line in self._lines_with(row.ticket):
                del line[bisect_left(line, row.place)]
            if not self._lines_of_keys[row.ticket.pool, row.ticket.priority, row.ticket.key]:
                del self._lines_of_keys[row.ticket.pool, row.ticket.priority, row.ticket.key]
        else:
            del self._held[row.ticket.pool][name]

    def _lines_with(self, ticket: Ticket) -> tuple[list[Place], list[Place]]:
        """Where it stands while it waits."""
        return self._lines[ticket.pool], self._lines_of_keys[ticket.pool, ticket.priority, ticket.key]
