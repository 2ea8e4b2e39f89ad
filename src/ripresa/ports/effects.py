"""The part of the store port that keeps effects: what is to happen once, over all runs.

Invariant: an effect has one holder at a time, and once it has an output it has happened, for good: no other is ever
written in its place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from ripresa.ports.lease import Lease
    from ripresa.ports.rows import Micros


class Effect(NamedTuple):
    """Something that is to happen once, over all runs of the store."""

    id: str
    """What it is called: the key that steps give it; for a transaction `tx:` and its step's idempotency key."""
    run: str
    """The run that does it, or did it."""
    holder: str
    """Idempotency key of the step that does it."""
    fingerprint: int
    """64-bit signed hash of what it is done with: another step of the same key must not want something else."""
    at: Micros
    output: str | None = None
    """JSON; None: it is under way."""


class EffectStore(Protocol):
    """Keeps effects; the errors are those of `Store`."""

    async def claim_effect(self, lease: Lease, wanted: Effect) -> Effect:
        """Make this effect its holder's to do, unless it has happened or is another's; return what stands then.

        One that is under way in a run that has ended is free.  Raises EngineFenced.
        """

    async def effect(self, effect: str) -> Effect | None:
        """The effect of this id, under way or done."""

    async def transact(self, effect: Effect, work: Callable[[Any], Any]) -> str:
        """Do the work and keep its output, JSON text, as the effect's, in one transaction; return the output.

        If the effect has happened, nothing is done, and its output is returned: so it happens once, however often and
        by whomever it is asked for.  `work` is given a connection of the store's own kind (see its page); it must not
        commit, and whatever it raises undoes what it did.  Cancelling undoes it too, unless it is too late: then the
        output is returned.  Raises NoTransactions, StoreUnavailable (nothing was done), CommitUnknown (ask again).
        """
