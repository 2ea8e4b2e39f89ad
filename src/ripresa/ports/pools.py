"""The part of the store port that keeps pools: what limits them, who waits for a slot, and who holds one.

A *ticket* is a step that waits for a slot of its pool, or holds one.  Invariant: a slot is held by a ticket of a
living engine, or by one whose work outlives its engine; so whatever frees the ticket, or breaks the engine's lease,
frees the slot in the same transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from ripresa.ports.lease import Lease
    from ripresa.ports.rows import Micros


class Ticket(NamedTuple):
    """A step that wants to start; it is known by run and operation."""

    run: str
    operation: str
    pool: str
    step: str
    workflow: str
    key: str
    """Keys take turns; "": that of all who gave none."""
    priority: int
    """Higher first."""
    since: Micros
    keeps: bool = False
    """Its work outlives its engine, and then goes on holding the slot."""


class Freed(NamedTuple):
    """A ticket that is given back: what it held is free, or it waits no more."""

    run: str
    operation: str
    at: Micros
    good: bool | None = None
    """How the attempt ended, for the pool's breaker; None: that says nothing of the pool."""
    rest_until: Micros | None = None
    """Until when no step of its key starts."""
    why: str = ""
    """What made it rest."""
    engine: int | None = None
    """Whose it was: a ticket that another engine has meanwhile is passed over; None: whoever has it."""


class Granted(NamedTuple):
    """What a look at the desk gave an engine."""

    tickets: list[tuple[str, str]]
    """Run and operation of ours that hold a slot, and that we were not told of before."""
    refused: list[tuple[str, str, str]]
    """Run, operation and why: they wait no more, as their breaker is open and says so."""
    again_at: Micros | None
    """When to look again even if nothing happens; None: then nothing changes."""


class Standing(NamedTuple):
    """A ticket and where it stands."""

    ticket: Ticket
    engine: int | None
    """Who is to start it; None: its engine is gone, and nobody has taken it over yet."""
    granted_at: Micros | None
    """Since when it holds a slot; None: it waits."""
    probe: bool
    """It was let in to try whether the pool works again."""
    ahead: int
    """How many go before it, if it waits."""


class PoolState(NamedTuple):
    """A pool as it stands."""

    name: str
    settings: str
    """JSON of a `contracts.pools.Pool`."""
    declared: str | None
    """What a program declared last; None: none did."""
    free_at: Micros
    """When the next start is due by its rate."""
    waiting: int
    by_engine: dict[int, int]
    """Slots in use; 0: by work whose engine is gone."""
    by_workflow: dict[str, int]
    probing: dict[str, int]
    """Probes under way, by target."""
    circuits: dict[str, str]
    """Breakers that have something to tell, by target ("": the pool's): JSON of a `kernel.circuit.Circuit`."""
    cooling: dict[str, tuple[Micros, str]]
    """Keys that rest: until when, and why."""


class PoolStore(Protocol):
    """Keeps pools and tickets; the errors are those of `Store`."""

    async def tickets(self, lease: Lease, wanted: list[Ticket], *, now: Micros) -> Granted:
        """Put these in line and give out what is free, in order, whoever waits for it.

        Looks at the pools in which this engine waits.  Higher priorities go first; within one, keys take turns, each in
        order of age; who is at a limit of its own is passed over.  A ticket that is known keeps its turn and what it
        holds, whoever it was of; asked for again, it is told of again.  A pool that does not exist has no limits.
        Raises EngineFenced.
        """

    async def pools(self) -> list[PoolState]:
        """All pools, by name."""

    async def standing(
        self, *, pool: str | None = None, run: str | None = None, limit: int | None = None
    ) -> list[Standing]:
        """Tickets of a pool or a run, or all: pool by pool those that hold a slot, longest first, then those that wait.

        Those that wait come in the order in which they will be served if nobody joins.
        """

    async def put_pool(self, name: str, settings: str | None, *, declared: bool = False) -> None:
        """Let the pool be so from now on; None: remove it, and let go on who waits for it.

        `declared`: by a program that begins.  It has effect only if the last program declared something else, so that
        what a person has set since stays.
        """

    async def set_breaker(self, pool: str, target: str, circuit: str | None) -> None:
        """Let the breaker of this target stand so; None: as if nothing had failed."""

    async def set_cooldown(self, pool: str, key: str, until: Micros | None, why: str = "") -> None:
        """Let the steps of this key rest until then; None: no longer."""
