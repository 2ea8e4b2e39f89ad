"""Pooling: who may start next of those that wait for a pool.  Pure; a store keeps the rows and asks.

Fairness by key is start-time fair queueing (P. Goyal, H. Vin, H. Cheng, 1996) with steps of one size: who joins gets
a *turn*, one after the last turn of its own key, but none before the turn that was served last.  Served in order
of turns, keys that wait go round; a key that was quiet comes in where the others are, and pays for no idle time.

    key a: 1 2 3 4 5 6 …      served: a1 b1 a2 b2 a3 c3 …
    key b: 1 2                         (c came when turn 3 was served)
    key c:     3

Invariants: what is granted is within every limit at that moment; a limit that lasts for a time only is told of
(`again_at`), so that nobody waits for longer than it lasts.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeVar

from ripresa.kernel.circuit import Circuit, looked_at, told

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ripresa.contracts.pools import Pool

Name = TypeVar("Name", int, str)

MANY = 1_000_000_000


class Asked(NamedTuple):
    """What a desk needs to know of who waits."""

    engine: int
    workflow: str
    key: str
    step: str


class Outcome(NamedTuple):
    """How an attempt ended whose pool has a breaker."""

    step: str
    at: int
    good: bool
    probe: bool


class Closed(NamedTuple):
    """Who need not be looked at now: a limit of theirs is reached."""

    engines: frozenset[int]
    workflows: frozenset[str]
    keys: frozenset[str]
    steps: frozenset[str]


def turn_of(*, served: int, last_served: int | None, last_waiting: int | None) -> int:
    """The turn of who joins: after all of its key, and not before the turn that was served last (of any key)."""
    return max(served, -1 if last_served is None else last_served + 1, -1 if last_waiting is None else last_waiting + 1)


@dataclass(slots=True)
class Desk:
    """One pool at one moment: gives out what is free, one after another."""

    pool: Pool
    now: int
    free_at: int = 0
    """When the next start is due by the rate (theoretical arrival time of the generic cell rate algorithm)."""
    by_engine: Counter[int] = field(default_factory=Counter)
    """Slots in use."""
    by_workflow: Counter[str] = field(default_factory=Counter)
    probing: Counter[str] = field(default_factory=Counter)
    """Probes under way, by target."""
    circuits: dict[str, Circuit] = field(default_factory=dict)
    cooling: dict[str, int] = field(default_factory=dict)
    """Keys that rest, and until when."""
    again_at: int | None = None
    """When something may start that may not now, if nothing else happens."""

    def __post_init__(self) -> None:
        self.circuits = {target: looked_at(circuit, self.now) for target, circuit in self.circuits.items()}
        self.cooling = {key: until for key, until in self.cooling.items() if until > self.now}

    @property
    def held(self) -> int:
        """Slots in use, of all engines."""
        return self.by_engine.total()

    def target(self, step: str) -> str:
        """Whose circuit a step goes by: its own, or ("") the pool's."""
        return step if self.pool.breaker is not None and self.pool.breaker.per == "step" else ""

    def fold(self, outcomes: Iterable[Outcome]) -> set[str]:
        """Let the breakers see these outcomes, in order; returns the targets that they concern."""
        breaker, seen = self.pool.breaker, set[str]()
        for outcome in outcomes:
            if breaker is None:
                break
            target = self.target(outcome.step)
            circuit = told(
                self.circuits.get(target, Circuit()), breaker, at=outcome.at, good=outcome.good, probe=outcome.probe
            )
            self.circuits[target] = looked_at(circuit, self.now)
            seen.add(target)
        return seen

    def room(self) -> int:
        """How many may start now at the most, by what limits all of them."""
        slots = MANY if self.pool.slots is None else self.pool.slots - self.held
        return max(0, min(slots, self._by_circuit("") if self.target("?") == "" else MANY, self._by_rate()))

    def closed(self) -> Closed:
        """Who need not be looked at: each of these is at a limit of its own."""
        pool = self.pool
        for until in self.cooling.values():
            self._later(until)
        return Closed(
            frozenset(_full(self.by_engine, pool.slots_per_worker)),
            frozenset(_full(self.by_workflow, pool.slots_per_workflow)),
            frozenset(self.cooling),
            frozenset(target for target in self.circuits if target and self._by_circuit(target) <= 0),
        )

    def give(self, asked: Asked) -> Literal["slot", "probe"] | None:
        """Let it start, if it may now; None: it waits on."""
        pool, target = self.pool, self.target(asked.step)
        if (
            self.room() <= 0
            or _at_limit(self.by_engine[asked.engine], pool.slots_per_worker)
            or _at_limit(self.by_workflow[asked.workflow], pool.slots_per_workflow)
            or asked.key in self.cooling
            or self._by_circuit(target) <= 0
        ):
            return None
        self.by_engine[asked.engine] += 1
        self.by_workflow[asked.workflow] += 1
        if self.pool.interval_us:
            self.free_at = max(self.free_at, self.now) + self.pool.interval_us
        if target in self.circuits and self.circuits[target].state == "half_open":
            self.probing[target] += 1
            return "probe"
        return "slot"

    def refuses(self, step: str) -> str | None:
        """Why the step fails rather than waits: its circuit is open, and the breaker says so; None: it waits."""
        breaker, circuit = self.pool.breaker, self.circuits.get(self.target(step))
        if breaker is None or circuit is None or breaker.on_open != "fail" or circuit.state != "open":
            return None
        return circuit.why

    def _by_circuit(self, target: str) -> int:
        circuit = self.circuits.get(target)
        if circuit is None or circuit.state == "closed" or self.pool.breaker is None:
            return MANY
        if circuit.state == "half_open":
            return self.pool.breaker.probes - self.probing[target]
        if circuit.until is not None:
            self._later(circuit.until)
        return 0

    def _by_rate(self) -> int:
        interval = self.pool.interval_us
        if not interval:
            return MANY
        early = (self.pool.burst - 1) * interval - (max(self.free_at, self.now) - self.now)
        if early < 0:
            self._later(self.now - early)
            return 0
        return early // interval + 1

    def _later(self, at: int) -> None:
        self.again_at = at if self.again_at is None else min(self.again_at, at)


def _full(counts: Counter[Name], limit: int | None) -> list[Name]:
    return [one for one, count in counts.items() if _at_limit(count, limit)]


def _at_limit(count: int, limit: int | None) -> bool:
    return limit is not None and count >= limit
