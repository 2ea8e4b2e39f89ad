"""The part of the store port that keeps lines: runs of which only so many go on at a time (`concurrency`).

Invariant: as many of a line hold a place as its runs allow, and who is first of those that wait is made ready in the
transaction that frees a place, so that nobody has to ask.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from ripresa.ports.lease import Lease
    from ripresa.ports.rows import Micros


class Place(NamedTuple):
    """A run's place among those of which only so many go on at a time ."""

    run: str
    line: str
    """Those that count together: the workflow's name and its rendered key."""
    places: int
    """How many of the line go on at a time, as this run's definition has it."""
    held: bool
    """It goes on; else it waits."""
    priority: int
    since: Micros
    """When the run was created."""


class LineStore(Protocol):
    """Keeps lines; the errors are those of `Store`."""

    async def admit(self, lease: Lease, wanted: Place, *, now: Micros, force: bool = False) -> bool:
        """Give the run a place in its line if fewer than `places` others hold one or wait before it, else let it wait.

        Those with a higher priority go first, then those that were created earlier.  With `force` it has a place
        whatever there is.  False: it waits, and is made ready when its turn comes.  A run that has a place keeps it.
        Raises EngineFenced.
        """

    async def place(self, run: str) -> Place | None:
        """The run's place in its line, held or waited for; None: it is in none."""

    async def line(self, line: str) -> list[Place]:
        """The runs of a line: those that hold a place, longest first, then those that wait, in order."""
