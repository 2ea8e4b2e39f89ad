"""Recovery: how long after a fault the work goes on, seen from outside.

A watch is set when a fault has hit: the runs that it concerns, or all.  It ends with the first step that is recorded of
one of them afterwards.  One during which no other fault hit tells of that fault alone (`lone`).
"""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, field


@dataclass(eq=False)
class Watch:
    """Waits for the next recorded step."""

    kind: str
    runs: frozenset[str] | None
    """None: any run will do."""
    faults_before: int
    began: float = field(default_factory=time.monotonic)


class Recovery:
    """All watches, and what they have seen."""

    def __init__(self) -> None:
        self.faults = 0
        """Faults that have hit so far."""
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.seconds_lone: dict[str, list[float]] = defaultdict(list)
        self._open: set[Watch] = set()

    def hit(self, kind: str, runs: frozenset[str] | None = None) -> Watch:
        """A fault has hit these runs, or all."""
        self.faults += 1
        watch = Watch(kind, runs, self.faults)
        if runs is None or runs:
            self._open.add(watch)
        return watch

    def moved(self, runs: set[str], now: float) -> None:
        """These runs have got a step's outcome."""
        for watch in list(self._open):
            if runs and (watch.runs is None or watch.runs & runs):
                self._open.discard(watch)
                took = now - watch.began
                self.seconds[watch.kind].append(took)
                if watch.faults_before == self.faults:
                    self.seconds_lone[watch.kind].append(took)

    def is_over(self, watch: Watch) -> bool:
        """Whether the work went on."""
        return watch not in self._open

    def forget(self, watch: Watch) -> None:
        """None of its runs will get further: they had all ended, or wait for others."""
        self._open.discard(watch)


def percentiles(seconds: list[float]) -> dict[str, float | int]:
    """p50, p99 (nearest rank) and the longest."""
    if not seconds:
        return {"number": 0}
    ordered = sorted(seconds)

    def at(share: float) -> float:
        return round(ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))], 3)

    return {"number": len(ordered), "p50_s": at(0.5), "p99_s": at(0.99), "max_s": round(ordered[-1], 3)}
