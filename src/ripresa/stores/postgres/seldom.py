"""Searches through all rows, dead ones too, are made the more seldom the longer they take.

While somebody holds an old snapshot, no dead row is cleared away, and such a search takes the longer the more has been
done since.  What is found by it waits for it at most so long.
"""

from __future__ import annotations

from collections.abc import Callable

_SHARE = 50
_LITTLE_S = 0.25


class Seldom:
    """When the next search is due: `rest_s` after the last, and if that took long fifty times as long."""

    def __init__(self, rest_s: float, monotonic: Callable[[], float]) -> None:
        self._rest_s = rest_s
        self._monotonic = monotonic
        self._due = float("-inf")

    def is_due(self) -> bool:
        """Whether to search now."""
        return self._monotonic() >= self._due

    def done(self, began: float) -> None:
        """A search has ended that began then, by the same clock."""
        now = self._monotonic()
        took = now - began
        self._due = now + max(self._rest_s, _SHARE * took if took > _LITTLE_S else 0.0)
