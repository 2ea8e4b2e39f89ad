"""The part of the store port that keeps what steps need of the engine that carries them out.

    step, its engine lacks a label ─> need ─> the run is let go of ─> claimed by an engine that fits

A need is a note about a run, not a lock: who owns the run alone starts its steps.  Invariant: a run that was let go of
with needs is given to nobody for them who lacks the labels; for what is due, and for messages, it is anybody's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from ripresa.ports.lease import Lease
    from ripresa.ports.rows import Micros


class Need(NamedTuple):
    """A step that waits for an engine with some labels."""

    run: str
    operation: str
    step: str
    labels: str
    """JSON array of texts, in order."""
    priority: int
    """Higher first."""
    since: Micros


class NeedStore(Protocol):
    """Keeps needs; the errors are those of `Store`.  They come and go with batches, and go with their run."""

    async def claim_fitting(
        self, lease: Lease, *, labels: frozenset[str], limit: int, leave: frozenset[tuple[str, str]] = frozenset()
    ) -> list[str]:
        """Take up to `limit` runs that nobody owns and of which a step needs none but these labels.

        Of those that need the same, the highest priority first, then who has waited longest.  Runs that have ended, are
        paused, quarantined or blocked are let be.  Sets their owner to ours and removes their ready rows; no run goes
        to two engines.  Their needs stay until a batch removes them.  `leave` is as with `adopt`.
        """

    async def needs(self, runs: list[str]) -> list[Need]:
        """What steps of these runs need, oldest first; of a run that is owned, what its engine has noted so far."""

    async def dues(self, runs: list[str]) -> dict[str, Micros]:
        """When the ready row of each of these runs falls due; a run without one is left out."""
