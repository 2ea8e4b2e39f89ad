"""Where COMMIT runs: on the event loop while the disk is quick, on a thread while it is slow.

On a quick disk a thread costs more than the COMMIT itself; on a slow one the loop would stand still
for it.  The first slow COMMIT is met on the loop; nobody can foresee it.
"""

from __future__ import annotations

SLOW_S = 0.004

_WEIGHT = 0.1  # of the latest commit in the moving average
_AWAY_MAX = 64


class Pace:
    """A moving average of how long commits take."""

    def __init__(self) -> None:
        self.average_s = 0.0
        self._away = 0

    def is_quick(self) -> bool:
        """Whether to commit on the loop.

        A busy interpreter makes every commit on a thread seem slow, by the wait for Python's lock; so now and
        then one is tried on the loop.
        """
        if self.average_s < SLOW_S:
            return True
        self._away = (self._away + 1) % _AWAY_MAX
        return self._away == 0

    def took(self, seconds: float) -> None:
        """Take note of a commit."""
        self.average_s += (seconds - self.average_s) * _WEIGHT
