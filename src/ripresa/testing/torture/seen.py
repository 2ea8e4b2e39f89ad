"""The evidence that checks look at, from three witnesses: the store, the effect ledger, and what the harness did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from ripresa.testing.torture.ledger import Line
from ripresa.testing.torture.witness import AttemptRow, Committed, Event, RunRow, by_run

NEVER = 2**63


@dataclass
class LifeTold:
    """What the harness knows of a life; times in nanoseconds of the monotonic clock."""

    disturbed_at: int = NEVER
    """When it was first killed, stopped, held or asked to end: from then on others may take its runs."""
    stale_from: int = NEVER
    """From when on it may not have known that its lease was over: it was stopped, cut off, or fenced in the end."""


@dataclass
class Tally:
    """How much each check has looked at."""

    counts: Counter[str] = field(default_factory=Counter)

    def count(self, name: str, number: int) -> None:
        self.counts[name] += number


class Evidence:
    """All that the checks look at."""

    def __init__(
        self,
        runs: list[RunRow],
        history: list[Event],
        lines: list[Line],
        committed: Committed,
        lives: dict[int, LifeTold],
        *,
        attempts: Iterable[AttemptRow] = (),
        books: Iterable[str] = (),
    ) -> None:
        self.runs = {run.id: run for run in runs}
        self.histories = by_run(history)
        self.lines = lines
        self.committed = committed
        self.lives = lives
        self.attempts = list(attempts)
        self.books = list(books)
        """Keys of the steps that have written a row of the user's, one for each row."""
        self.most_taken = 0
        """Slots of the pool at the same time."""
        self.tally = Tally()

    def life(self, number: int) -> LifeTold:
        return self.lives.get(number) or LifeTold()

    def well_until(self, number: int) -> int:
        """Until when nothing had happened to a life."""
        life = self.life(number)
        return min(life.disturbed_at, life.stale_from)

    def name(self, run: str) -> str:
        row = self.runs[run]
        return f"{row.definition} {row.key or row.id}"
