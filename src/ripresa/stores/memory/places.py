"""Places in lines, as the SQLite store keeps them too (`stores.sqlite.places`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ripresa.ports.lines import Place
from ripresa.ports.rows import Micros, Ready

if TYPE_CHECKING:
    from ripresa.stores.memory.ready import ReadyRuns


class Places:
    """Runs of which only so many go on at a time."""

    def __init__(self, ready: ReadyRuns) -> None:
        self._ready = ready
        self.of_run: dict[str, Place] = {}
        self._lines: dict[str, dict[str, Place]] = {}

    def admit(self, wanted: Place, now: Micros, *, force: bool) -> bool:
        """Give the run its place if there is one for it, else let it wait."""
        known = self.of_run.get(wanted.run)
        if known is not None and known.held:
            return True
        wanted = wanted._replace(held=False) if known is None else known._replace(places=wanted.places)
        self._put(wanted)
        before = sum(one.held or _order(one) < _order(wanted) for one in self.line(wanted.line) if one is not wanted)
        if before >= wanted.places and not force:
            return False
        self._put(wanted._replace(held=True))
        self._wake_first(wanted.line, now)
        return True

    def leave(self, run: str, now: Micros) -> None:
        """The run has ended: its place goes to who is first in line."""
        known = self.of_run.pop(run, None)
        if known is not None:
            del self._lines[known.line][run]
            self._wake_first(known.line, now)

    def line(self, line: str) -> list[Place]:
        """Those that hold a place, longest first; then those that wait, in order."""
        found = self._lines.get(line, {}).values()
        return sorted(
            found, key=lambda one: (not one.held, *(_order(one) if not one.held else (0, one.since, one.run)))
        )

    def is_full_for(self, run: str) -> bool:
        """Whether the run waits in a line that has no free place."""
        place = self.of_run.get(run)
        if place is None or place.held:
            return False
        return sum(one.held for one in self._lines[place.line].values()) >= place.places

    def _put(self, place: Place) -> None:
        self.of_run[place.run] = place
        self._lines.setdefault(place.line, {})[place.run] = place

    def _wake_first(self, line: str, now: Micros) -> None:
        places = self.line(line)
        first = next((one for one in places if not one.held), None)
        if first is not None and sum(one.held for one in places) < first.places:
            self._ready.put(Ready(first.run, now, first.priority))


def _order(place: Place) -> tuple[int, Micros, str]:
    return -place.priority, place.since, place.run
