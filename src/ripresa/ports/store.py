"""The store port: the verbs by which an engine owns runs and writes them, and all other parts of the port together.

The rows are in `rows`, what is written at once in `batch`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ripresa.ports.effects import EffectStore
from ripresa.ports.events import EventStore
from ripresa.ports.lines import LineStore
from ripresa.ports.needs import NeedStore
from ripresa.ports.outside import OutsideStore
from ripresa.ports.pools import PoolStore
from ripresa.ports.reading import ReadingStore
from ripresa.ports.retention import RetentionStore
from ripresa.ports.tasks import TaskStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from ripresa.ports.batch import Batch
    from ripresa.ports.lease import Lease
    from ripresa.ports.rows import Micros


class Store(
    ReadingStore,
    OutsideStore,
    LineStore,
    NeedStore,
    EffectStore,
    PoolStore,
    TaskStore,
    EventStore,
    RetentionStore,
    Protocol,
):
    """Keeps runs.

    Every verb may raise `StoreUnavailable` (try again) or another `StoreError` (do not), and every verb that is shown
    a lease but `release` raises `EngineFenced` if that is broken, having changed nothing.  What a verb has returned
    is durable, and is seen by every store on the same database.
    """

    url: str
    """Its address, for people; never a password."""

    poll_s: float | None
    """How often, in seconds, an engine is to ask `changed`; None: never, as nobody else writes."""

    shared: bool
    """Whether several engines may hold leases at once, each of its own runs; else a store has one owner."""

    async def open(self) -> None:
        """Open or create; migrate if the schema is older; opening twice is fine.

        Raises StoreCorrupt, StoreTooNew, StoreBusy.
        """

    async def close(self) -> None:
        """Let go of the files once the verb under way has ended; closing twice, or before opening, is fine.

        A lease is not given up by it: it ends by itself, unless `release` came before.
        """

    async def acquire(self, *, now: Micros, lease_us: int, who: str, about: str | None = None) -> Lease:
        """Become an owner with a higher epoch than any before, for `lease_us`.

        A store that is not shared has one: StoreInUse is raised while a lease lives, one of this process too.  An owner
        on this machine whose process is gone does not count as alive.  On a shared store nobody loses anything by it.
        `who` is what people are told of the owner, and `about` what engines tell of themselves: a JSON object.
        Runs stay with the owner before until they are adopted.
        """

    async def renew(self, lease: Lease, *, now: Micros, lease_us: int) -> bool:
        """Prolong the lease to `now + lease_us`, even if it had run out and nobody took over.

        True: somebody has asked this engine to `drain`.
        Raises EngineFenced if it was released or broken: by a higher epoch, or on a shared store by who adopted after
        its end.
        """

    async def drain(self, engine: int) -> bool:
        """Ask an engine to take no more runs and to end; it hears of it by `renew`.

        False: its lease is broken, or the store is not shared: then its process is on this machine, and takes signals.
        """

    async def release(self, lease: Lease) -> None:
        """Give up ownership at once; runs keep their owner mark for the next engine to adopt.

        A lease that is broken already is let be.
        """

    async def commit(self, lease: Lease, batch: Batch, *, lease_us: int) -> frozenset[str]:
        """Write the batch in one transaction and prolong the lease; return the ids of refused new runs.

        A new run whose id or key exists is left out, with every other row of the batch for that run id, and its
        id returned.  A message or outgoing event whose id exists is left out silently, as is a definition whose name
        and version exist; an attempt or tag that exists is replaced; a change to a run that does not exist does
        nothing; a second event of one number is an error.  One commit at a time.  Durable when this returns.  Raises
        EngineFenced (nothing written), CommitUnknown (ask `last_batch`), StoreBusy, StoreFull (nothing written).
        """

    async def last_batch(self, lease: Lease) -> int:
        """Number of the last batch that was committed under this lease, 0 if none.  Raises EngineFenced."""

    async def adopt(
        self,
        lease: Lease,
        *,
        now: Micros,
        limit: int | None = None,
        leave: frozenset[tuple[str, str]] = frozenset(),
    ) -> list[str]:
        """Make every run ours that would otherwise be nobody's; return their ids, oldest first.

        On a shared store an engine whose lease has ended loses it for good first, so that it writes nothing more; runs
        of engines whose leases hold are left to them, and so are those that another engine is adopting.

        - open runs that some engine held whose lease has ended; without a `limit`, ours too;
        - queued runs without an owner that no `ready` row would wake;
        - open runs without an owner to which a message was sent that is not taken, and which no `ready` row would
          wake: they were claimed for it while they were being let go of;
        - runs that some engine held, ended ones too, to which a `retry` was sent that is not taken.

        Their attempts that have no outcome are marked lost, finished at `now`.  Their `ready` rows stay.  Evicted runs
        that something will wake are left as they are.  Done again, it returns the same runs.

        With a `limit` it takes no more than so many, and since a living engine asks again and again, none that are ours
        already, nor those without an owner that only wait for their turn: in a line that has no free place, or paused,
        quarantined or blocked, unless a cancel, pause, resume, retry or release was sent to them.

        Runs of the definitions and versions in `leave` are left to others; a store that is not shared need not look at
        that.

        Tickets of engines that are gone hold no slot any more, unless their work goes on (`keeps`); they keep their
        turn for who asks for them again.
        """

    async def claim_due(
        self, lease: Lease, *, now: Micros, limit: int, leave: frozenset[tuple[str, str]] = frozenset()
    ) -> list[str]:
        """Take up to `limit` runs whose `ready` row is due at `now`, highest priority first, then oldest due.

        Runs that another engine owns are passed over, alive or not: they are that engine's to claim, or to be adopted.
        Sets their owner to ours and removes the ready rows; no run goes to two engines.  A run that is ours already is
        given again if it was sent something, and so is one that has ended: for a `retry`, or for a message that came
        too late.  `leave` is as with `adopt`, but a run that is ours is given whatever it says.
        """

    async def owned(self, lease: Lease) -> list[str]:
        """Ids of the runs that are ours, oldest first: open ones, and ended ones with a `retry` that is not taken.

        For an engine that asked for runs, and was not told which it got.
        """

    async def claim(self, lease: Lease, run: str) -> bool:
        """Take this run whatever is due, and its ready row, if no other engine holds it and it has not ended.

        One that has ended is taken if a `retry` was sent to it that is not taken.  True also if it was ours already;
        False if it does not exist.
        """

    async def next_due(self, *, after: Micros | None = None) -> Micros | None:
        """When the next `ready` row falls due, which may have passed unless it must be `after` some time.

        None: nothing waits for a time.
        """

    async def changed(self) -> bool:
        """Whether somebody else may have written since the last call; cheap enough to ask 50 times a second.

        What was written through this store does not count.  True may be a false alarm; False may come a moment late.
        """

    def watch(self, tell: Callable[[], None] | None) -> None:
        """Call `tell` on the running loop soon after another store wrote what may be for an engine; None: no more.

        Many writes may be told of once, and a false alarm is fine.  A store that hears of nothing does nothing:
        `changed` finds out.
        """

    async def time(self) -> Micros | None:
        """What time it is for all who use the store; None: it goes by the clocks of those who do."""

    async def published(self, ids: list[str]) -> None:
        """Forget these outgoing events; one that is not known is passed over."""

    async def engines(self) -> list[dict[str, object]]:
        """A row for each owner, newest first: engine, epoch, who, about, lease_until, since, host, pid, alive (bool).

        Of a shared store also draining (bool): it was asked to.  `about` is as given with `acquire`, or None.
        Alive: its lease holds, as far as the store knows the time, and its process is not seen to be gone.  A store
        that is not shared tells of the last one only; a shared one of those that live, and of others for a while.
        """

    async def check(self) -> list[str]:
        """What is wrong with the store's integrity or settings, a line each; empty: all is well."""
