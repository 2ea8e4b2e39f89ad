"""Remembered: what a run's rows tell that its code does not know, read once when the run is brought into memory.

Pure: rows go in, values come out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ripresa.contracts.payload import load
from ripresa.contracts.status import FailureClass
from ripresa.engine.held import Tally
from ripresa.kernel import history as h
from ripresa.kernel.recall import undone

if TYPE_CHECKING:
    from ripresa.engine.held import Held
    from ripresa.ports.rows import Attempt, HistoryEvent


def count_attempts(held: Held, attempts: list[Attempt], history: list[HistoryEvent]) -> None:
    """What the store knows of steps without an outcome; a retry or release by a person starts the count anew."""
    since = max((event.at for event in history if event.kind in (h.RETRIED, h.RELEASED)), default=0)
    for attempt in attempts:
        known = held.loss_counts.get(attempt.operation, Tally())
        number = max(known.number, attempt.number)
        began = known.first_started if known.first_started is not None else attempt.started_at
        if attempt.started_at < since or attempt.status == "succeeded":
            tally = Tally(number)
        elif attempt.status == "cancelled":  # cut off when its engine stopped: neither a failure nor a loss
            tally = Tally(number, known.failures, known.losses, began)
        elif attempt.status in ("lost", "running"):
            cut_at = attempt.started_at if attempt.error is None else None
            tally = Tally(number, known.failures, known.losses + 1, began, None, cut_at)
        else:
            tally = Tally(number, known.failures + 1, 0, began, attempt.due)
        held.loss_counts[attempt.operation] = tally


def nodes_set_aside(history: list[HistoryEvent]) -> set[str]:
    """Nodes of a graph whose program was told that they are set aside, since the last retry."""
    aside: set[str] = set()
    for event in history:
        if event.kind == h.RETRIED:
            aside.clear()
        elif event.kind == h.STEP_FAILED and load(event.error or "{}").get("failure_class") == FailureClass.QUARANTINE:
            aside.add(event.operation or "")
    return aside


def failed_children(history: list[HistoryEvent]) -> frozenset[str]:
    """Operations whose child had failed before the last retry, and has given no outcome since."""
    failed: set[str] = set()
    redo: set[str] = set()
    for event in history:
        if event.kind == h.RETRIED:
            redo |= failed
            failed.clear()
        elif event.kind == h.CHILD_FINISHED and event.operation is not None:
            redo.discard(event.operation)
            if event.error is not None:
                failed.add(event.operation)
    return frozenset(redo)


def done_anew(history: list[HistoryEvent]) -> dict[str, str]:
    """Operations that were undone before a retry: what they do now is another effect than what was undone."""
    cuts = [event.seq for event in history if event.kind == h.RETRIED]
    anew: dict[str, str] = {}
    for cut in cuts:
        before = [event for event in history if event.seq < cut]
        anew.update(dict.fromkeys(undone(before), f"~{cut}"))
    return anew
