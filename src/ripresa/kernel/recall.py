"""Recall: what a retried run remembers.

A retry makes the code run again from the start.  What had succeeded is answered from memory, in the
order in which the code asks for it; what had failed or was undone is forgotten, and done anew.

    history   started  a ✓  b ✗  c ✓  finished ✗  retried      (a ∥ b ∥ c)
    remembered         a         c                              b is attempted again
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from ripresa.kernel import history as h
from ripresa.kernel.saga import UNDO

if TYPE_CHECKING:
    from collections.abc import Sequence

_KEPT = (h.SIGNAL_RECEIVED, h.UPDATE_RECEIVED, h.UPDATE_COMPLETED, h.PATCH_TAKEN)


def undone(events: list[Any]) -> set[str]:
    """Operations that were undone, and what undid them: neither stands any more."""
    undoings = [e.operation for e in events if e.kind == h.STEP_COMPLETED and e.operation.startswith(UNDO)]
    return {*undoings, *(operation.removeprefix(UNDO) for operation in undoings)}


def what_stands(events: Sequence[Any]) -> list[Any]:
    """The events without what retries have made void: failures, and what was undone with what undid it."""
    cut = next((i for i in range(len(events) - 1, -1, -1) if events[i].kind == h.RETRIED), 0)
    done: dict[str, Any] = {}
    for event in events[:cut]:
        if event.kind in h.OUTCOMES and event.error is None:
            if event.operation.startswith(UNDO):
                done.pop(event.operation.removeprefix(UNDO), None)
            else:
                done[event.operation] = event
    before = [e for e in events[:cut] if done.get(e.operation) is e or e.kind not in (*h.OUTCOMES, h.RETRIED)]
    return [*before, *events[cut:]]


class Recall:
    """Outcomes from before the last retry."""

    __slots__ = ("_outcomes", "ready")

    def __init__(self) -> None:
        self._outcomes: dict[str, Any] = {}
        self.ready: deque[Any] = deque()
        """Outcomes that the code has asked for again, to be applied in this order."""

    def __bool__(self) -> bool:
        return bool(self._outcomes or self.ready)

    def split(self, events: list[Any]) -> list[Any]:
        """Remember what came before the last retry; return the events that are still applied in order."""
        cut = next((i for i in range(len(events) - 1, -1, -1) if events[i].kind == h.RETRIED), None)
        if cut is None:
            return events
        first, *before = what_stands(events[: cut + 1])
        self._outcomes = {event.operation: event for event in before if event.kind in h.OUTCOMES}
        return [first, *(event for event in before if event.kind in _KEPT), *events[cut + 1 :]]

    def knows(self, operation: Any) -> bool:
        """Whether the outcome of what is asked for is remembered; if so it is made ready."""
        if not self._outcomes:
            return False
        event = self._outcomes.pop(operation.id, None)
        if event is None or event.fingerprint not in (None, operation.fingerprint):
            return False
        self.ready.append(event)
        return True
