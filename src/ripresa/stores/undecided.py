"""Which attempts a run that is loaded still needs: those that its journal does not tell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ripresa.ports.store import Attempt, HistoryEvent


def undecided(
    attempts: Iterable[Attempt], history: Sequence[HistoryEvent], before: Sequence[HistoryEvent]
) -> list[Attempt]:
    """Attempts of operations that are not done, by start.

    `history` is what replay goes through; `before` ends with the event at its base.  After continue-as-new an
    operation's name may come again, so an attempt that began before the base, or that an event up to it decided,
    belongs to an earlier operation of that name.
    """
    done = {event.operation for event in history}
    base_at = before[-1].at if before else 0
    told: dict[str | None, int] = {}
    for event in before:
        if event.at >= base_at and event.attempt is not None:
            told[event.operation] = event.attempt
    return sorted(
        (
            attempt
            for attempt in attempts
            if attempt.operation not in done
            and attempt.started_at >= base_at
            and not (attempt.started_at == base_at and attempt.number <= told.get(attempt.operation, 0))
        ),
        key=by_start,
    )


def by_start(attempt: Attempt) -> tuple[int, str, int]:
    """The order in which attempts began."""
    return attempt.started_at, attempt.operation, attempt.number
