"""Faults: what goes wrong, and at which effect point.

An *effect point* is a moment at which the engine touches the world: a verb of the store, an attempt of
a step.  Each has two sides, the request on its way out and the answer on its way back.  A `Fault` names a
point by its number (all points are counted) or by name and number, and what happens there.

    engine ── request ──> │ point │ ──> world          crash_before, error_before, hang_before
    engine <── answer ─── │ point │ <── world          crash_after, error_after, hang_after, duplicate

Owns the plan and the count of what fired; `sim_store` and `sim_runtime` carry it out.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random


class Kind(StrEnum):
    """What happens at an effect point."""

    CRASH_BEFORE = "crash_before"
    """The process dies before the request leaves."""
    CRASH_AFTER = "crash_after"
    """The request is carried out, then the process dies without learning of it."""
    ERROR_BEFORE = "error_before"
    """Nothing is done, and the engine is told so."""
    UNKNOWN_BEFORE = "unknown_before"
    """Nothing is done, and the engine is told that nobody knows; on PostgreSQL a write may yet arrive, later."""
    ERROR_AFTER = "error_after"
    """It is done, and the engine is told that it failed, or that nobody knows."""
    HANG_BEFORE = "hang_before"
    """The process stops before the request leaves, for longer than its lease, then goes on."""
    HANG_AFTER = "hang_after"
    """The same with the answer under way."""
    DUPLICATE = "duplicate"
    """The request is carried out twice, and answered once; on PostgreSQL writes come the second time later."""


ENUMERATED = tuple(kind for kind in Kind if kind not in (Kind.UNKNOWN_BEFORE, Kind.HANG_AFTER))
"""Six kinds that the exhaustive search tries at every point."""


@dataclass(frozen=True, slots=True)
class Fault:
    """`kind` at the `number`-th effect point (from 1), counting only those called `point` if that is given."""

    kind: Kind
    number: int
    point: str | None = None

    def __str__(self) -> str:
        return f"{self.kind}@{self.point or ''}{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """How a simulation draws its plan.

    `count` planned faults at most, among the first `points` effect points; besides, each commit is
    answered "unknown" or "busy" with probability `trouble`, and `crashes` processes at most die (or stop) at a
    random time within `within_s` virtual seconds.  `latency_s` is the longest way to the store and back, but with
    probability `slow` a way to the store or back takes longer, up to more than a lease.
    """

    count: int = 4
    points: int = 160
    trouble: float = 0.03
    slow: float = 0.05
    crashes: int = 1
    within_s: float = 12.0
    latency_s: float = 0.02


NO_FAULTS = Faults(count=0, trouble=0.0, slow=0.0, crashes=0, latency_s=0.0)


@dataclass(slots=True)
class Plan:
    """Faults to come, and a count of the points passed and of the faults fired."""

    faults: list[Fault] = field(default_factory=list)
    at_times: list[tuple[float, Kind]] = field(default_factory=list)
    trouble: float = 0.0
    slow: float = 0.0
    latency_s: float = 0.0
    passed: list[str] = field(default_factory=list)
    fired: list[str] = field(default_factory=list)
    active: bool = True
    _counts: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        timed = [f"{kind}@{at:.1f}s" for at, kind in self.at_times]
        told = ", ".join([*map(str, self.faults), *timed]) or "none"
        return f"{told}; trouble {self.trouble}; slow {self.slow}; latency {self.latency_s} s"

    def at(self, point: str) -> Kind | None:
        """Count a point; the fault that is due there, if any."""
        if not self.active:
            return None
        self.passed.append(point)
        self._counts[point] += 1
        for fault in self.faults:
            if fault.number == (len(self.passed) if fault.point is None else self._counts[point]) and fault.point in (
                None,
                point,
            ):
                self.fired.append(f"{fault.kind}@{point}#{self._counts[point]}")
                return fault.kind
        return None

    def note(self, what: str) -> None:
        """A fault that has no number fired."""
        self.fired.append(what)


def draw(faults: Faults, random: Random) -> Plan:
    """A plan; the points are spread evenly over the logarithm, since runs differ in length."""
    kinds: Sequence[Kind] = list(Kind)
    planned = [
        Fault(random.choice(kinds), int(faults.points ** random.random()) + random.randrange(20))
        for _ in range(random.randint(min(1, faults.count), faults.count))
    ]
    at_times = [
        (random.random() * faults.within_s, random.choice((Kind.CRASH_BEFORE, Kind.CRASH_BEFORE, Kind.HANG_BEFORE)))
        for _ in range(random.randint(0, faults.crashes))
    ]
    trouble = faults.trouble if random.random() < 0.5 else 0.0
    slow = faults.slow if random.random() < 0.5 else 0.0
    return Plan(planned, at_times, trouble, slow, faults.latency_s)
