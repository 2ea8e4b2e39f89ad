"""Lines: workflows of which only so many runs go on at a time, and what one more does."""

from __future__ import annotations

from typing import Literal, NamedTuple

LinePolicy = Literal["queue", "skip", "cancel_running", "fail"]


class Line(NamedTuple):
    """The line that a run stands in: its name, how many of it go on at a time, and what one more does."""

    name: str
    places: int
    policy: LinePolicy

    @property
    def shown(self) -> str:
        """For people: how many runs of what."""
        return f"{self.places} run{'s'[: self.places != 1]} of {self.name}"
