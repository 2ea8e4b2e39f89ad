"""Which attempts a run that is loaded still needs: those that its journal does not tell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ripresa.ports.rows import Attempt, HistoryEvent


def undecided(attempts: Iterable[Attempt], history: Sequence[HistoryEvent]) -> list[Attempt]:
    """Attempts of operations that are not done, by start; both of the run's present generation."""
    done = {event.operation for event in history}
    return sorted((attempt for attempt in attempts if attempt.operation not in done), key=by_start)


def by_start(attempt: Attempt) -> tuple[int, int, str, int]:
    """The order in which attempts began."""
    return attempt.started_at, attempt.generation, attempt.operation, attempt.number
