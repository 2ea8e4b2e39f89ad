"""Single-fault enumeration: every kind of fault at every effect point, one at a time.

    run the scenario without faults ──> its effect points, in order
    for each point, for each kind ──> run it again with that one fault there ──> check

A simulation draws; this leaves nothing out.  Up to its fault each run is the same as the first one, turn
for turn, so that the fault always finds its point.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ripresa.testing.faults import ENUMERATED, Fault, Faults, Kind, Plan
from ripresa.testing.simulation import Report, Scenario, Simulation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ripresa.testing.sim_postgres import SimPostgres

_STILL = Faults(count=0, trouble=0.0, slow=0.0, crashes=0)


@dataclass(slots=True)
class Enumeration:
    """What came of it."""

    scenario: str
    points: list[str]
    """Effect points of the run without faults, in order."""
    runs: int = 0
    fired: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How often each kind struck at each named point."""
    missed: list[Fault] = field(default_factory=list)
    """Faults that did not find their point; none, if the engine is deterministic."""
    failures: list[Report] = field(default_factory=list)

    @property
    def faults(self) -> int:
        """Faults that fired."""
        return sum(self.fired.values())

    def require(self) -> Enumeration:
        """Raise AssertionError unless every fault struck and every law held."""
        if self.missed or self.failures:
            raise AssertionError(str(self))
        return self

    def __str__(self) -> str:
        struck = f"{self.runs} runs, {self.faults} faults fired, {len(self.missed)} missed"
        lines = [
            f"{self.scenario}: {len(self.points)} points, {struck}, {len(self.failures)} with violations",
            *(f"missed: {fault}" for fault in self.missed[:5]),
            *(str(report) for report in self.failures[:3]),
        ]
        return "\n".join(lines)


def enumerate_faults(
    scenario: Scenario,
    kinds: Sequence[Kind] = ENUMERATED,
    *,
    seed: int = 0,
    points: range | None = None,
    on: SimPostgres | None = None,
) -> Enumeration:
    """Try `kinds` at every effect point of the scenario (or those in `points`, from 1); `on` as for `Simulation`."""
    scenario = replace(scenario, evict_after=scenario.evict_after[:1])
    still = Simulation(seed, _STILL, plan=Plan(), on=on).run(scenario).require()
    found = Enumeration(scenario.name, still.points)
    for fault in _faults(len(still.points), kinds, points):
        report = Simulation(seed, plan=Plan([fault]), on=on).run(scenario)
        found.runs += 1
        if not report.faults_fired:
            found.missed.append(fault)
        else:
            found.fired[str(fault.kind), still.points[fault.number - 1]] += 1
        if report.violations:
            found.failures.append(report)
    return found


def _faults(count: int, kinds: Sequence[Kind], points: range | None) -> Iterator[Fault]:
    for number in points or range(1, count + 1):
        for kind in kinds:
            yield Fault(kind, number)
