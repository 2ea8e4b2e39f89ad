"""The store port: the rows that make up a run's life, and the verbs that keep them.

Owns the shapes that an engine hands to a store and gets back.  An adapter owns how they lie on
disk.  Invariant: a `Batch` is written wholly or not at all, and only while the writing engine's
lease is unbroken, so that whatever a reader sees was true at one moment.

Times are integers, microseconds since 1970 in UTC.  Payloads are JSON texts.  Ids are UUIDs
(version 7) as 36-character texts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ripresa.ports.pools import Freed, PoolStore
from ripresa.ports.retention import RetentionStore
from ripresa.ports.tasks import Task, TaskStore

if TYPE_CHECKING:
    from collections.abc import Callable

Micros = int


class NewRun(NamedTuple):
    """A run to create.  If `id` or `key` is taken the run is refused, with all else the batch holds for it."""

    id: str
    key: str | None
    """The id given at start; unique over the store."""
    definition: str
    version: str
    status: str
    priority: int
    input: str
    parent: str | None
    parent_operation: str | None
    correlation_id: str
    owner: int | None
    """Number of the engine that holds it in memory; none: it waits for `ready`."""
    created_at: Micros
    memo: str | None = None
    """JSON object: forked_from, trigger, and the like."""
    started_at: Micros | None = None
    """None: it has yet to be started."""


class RunChange(NamedTuple):
    """A run's new state.  Writes every field but those that are None, which stay as they are."""

    id: str
    status: str
    updated_at: Micros
    owner: int | None
    """Written even if None: the run was let go of."""
    output: str | None = None
    error: str | None = None
    started_at: Micros | None = None
    finished_at: Micros | None = None
    """-1 clears it (a retried run is open again), and clears `error` too."""
    base_seq: int | None = None
    """Replay starts after this event (continue-as-new)."""
    input: str | None = None
    version: str | None = None


class HistoryEvent(NamedTuple):
    """One row of the journal."""

    run: str
    seq: int
    kind: str
    """One of `ripresa.kernel.history.KINDS`."""
    at: Micros
    operation: str | None
    """Identity of the operation within the run, as `charge#2`."""
    name: str | None
    """What it ran: step, signal, patch or workflow."""
    fingerprint: int | None
    """64-bit signed hash of kind, name and arguments."""
    attempt: int | None
    """The attempt that decided it."""
    started_at: Micros | None
    data: str | None
    """JSON: the output, the signal's value, …"""
    error: str | None
    """JSON of a `Failure`."""


class Attempt(NamedTuple):
    """One try of a step; written when it starts (with no outcome), and again when it ends."""

    run: str
    operation: str
    number: int
    name: str
    engine: int
    started_at: Micros
    status: str
    """running | failed | lost | cancelled | succeeded | timeout"""
    finished_at: Micros | None = None
    error: str | None = None
    due: Micros | None = None
    """When the next try is due, if there is one."""
    generation: int = 0
    """The run's `base_seq` when it began: after continue-as-new an operation's name may come again."""


class Ready(NamedTuple):
    """The run needs an engine at `due`.

    If it has been told so already, the earlier time stays: a message from outside may have come while the engine put
    the run to sleep.
    """

    run: str
    due: Micros
    priority: int = 0


class Message(NamedTuple):
    """Something sent to a run, kept until the run's journal holds it; after that only its id is."""

    id: str
    """Unique: a message that was sent twice is kept once, even if the first was taken before the second came.

    So an id outlives its message: it is known as long as its run is there.
    """
    run: str
    kind: str
    """signal | update | cancel | pause | resume | retry | release | child"""
    name: str | None
    data: str | None
    at: Micros


class Outgoing(NamedTuple):
    """An event to publish."""

    id: str
    run: str
    type: str
    data: str
    at: Micros


class LogLine(NamedTuple):
    """A line that a step wrote."""

    run: str
    operation: str | None
    attempt: int | None
    at: Micros
    stream: str
    """stdout | stderr | log"""
    level: str | None
    text: str


class Quality(NamedTuple):
    """What a step measured of its data, once: a row for each outcome that tells of it."""

    run: str
    seq: int
    """Number of the event that holds the outcome."""
    definition: str
    step: str
    operation: str
    at: Micros
    status: str
    """succeeded | failed | quarantined: what became of the step."""
    metrics: str
    """JSON of a `contracts.quality.QualityMetrics`."""


class Definition(NamedTuple):
    """A version of a definition, as first used."""

    name: str
    version: str
    """Content hash."""
    label: str | None
    kind: str
    body: str
    input_schema: str | None
    output_schema: str | None
    created_at: Micros


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


class Place(NamedTuple):
    """A run's place among those of which only so many go on at a time (`concurrency`)."""

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


@dataclass(slots=True)
class Batch:
    """All that one engine writes at once.

    Changes to one run take effect in order, after it is created; `unready` goes before `ready`, `messages` before
    `taken`.
    """

    number: int
    """Counts up by one per engine; answers whether a broken commit took effect."""
    at: Micros
    runs: list[NewRun] = field(default_factory=list)
    changes: list[RunChange] = field(default_factory=list)
    history: list[HistoryEvent] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    ready: list[Ready] = field(default_factory=list)
    unready: list[str] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)
    """Ids of messages that the journal now holds, and that are not kept any longer; unknown ones are passed over."""
    outgoing: list[Outgoing] = field(default_factory=list)
    logs: list[LogLine] = field(default_factory=list)
    tags: list[tuple[str, str, str]] = field(default_factory=list)
    """(run, name, value)"""
    definitions: list[Definition] = field(default_factory=list)
    quality: list[Quality] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    """Effects that have happened, with their output."""
    given_up: list[tuple[str, str]] = field(default_factory=list)
    """(effect, holder): who held it does not do it after all; nothing happens to one that has happened."""
    leaving: list[tuple[str, Micros]] = field(default_factory=list)
    """Runs that have ended and give up their place, and when; whoever is first in line then is made ready."""
    freed: list[Freed] = field(default_factory=list)
    """Slots of pools that are free again, and tickets that wait no more; unknown ones are passed over."""
    tasks: list[Task] = field(default_factory=list)
    """Attempts for workers elsewhere; one whose id is known begins anew, and who had it has lost it."""
    tasks_done: list[str] = field(default_factory=list)
    """Ids of tasks that are no more, after `tasks`; unknown ones are passed over."""


class Run(NamedTuple):
    """A run as it stands."""

    id: str
    key: str | None
    definition: str
    version: str
    status: str
    priority: int
    input: str | None
    output: str | None
    error: str | None
    parent: str | None
    parent_operation: str | None
    correlation_id: str
    owner: int | None
    base_seq: int
    created_at: Micros
    started_at: Micros | None
    finished_at: Micros | None
    updated_at: Micros
    memo: str | None


class Loaded(NamedTuple):
    """A run with all that an engine needs to go on with it."""

    run: Run
    history: list[HistoryEvent]
    """After `base_seq`, in order."""
    attempts: list[Attempt]
    """Of the present generation, of operations that the journal does not hold as done, by start."""
    messages: list[Message]
    """Not yet taken, in order of arrival."""
    last_seq: int


class Page(NamedTuple):
    """A page of runs, newest first; `cursor` asks for the next one, None: this was the last."""

    runs: list[Run]
    cursor: str | None


class RunFilter(NamedTuple):
    """Which runs to list; every field that is given must fit."""

    status: tuple[str, ...] = ()
    definition: str | None = None
    parent: str | None = None
    tags: tuple[tuple[str, str], ...] = ()
    key_prefix: str | None = None


class Lease(NamedTuple):
    """Proof of ownership, to be shown with each batch."""

    engine: int
    epoch: int
    last_batch: int = 0


class Store(PoolStore, RetentionStore, TaskStore, Protocol):
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
        `who` is what people are told of the owner, and `about` what engines tell one another of themselves: a JSON
        object, kept by a shared store.  Runs stay with the owner before until they are adopted.
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

    async def statuses(self, runs: list[str]) -> dict[str, str]:
        """Status by id of those of the runs that exist; cheap enough for those who wait for the ends of thousands."""

    async def load(self, runs: list[str]) -> list[Loaded]:
        """Those of the runs that exist, in the order asked for, as they were at one moment each."""

    async def get_run(self, ref: str) -> Run | None:
        """By id, else by the key given at start; None: neither is known."""

    async def list_runs(self, where: RunFilter, *, limit: int, cursor: str | None = None) -> Page:
        """Newest first (by id, which holds the time); each filter is served by an index.

        With `key_prefix`, in order of keys.  Raises ValueError if the cursor was altered or is another filter's.
        """

    async def count_runs(self) -> dict[str, int]:
        """Number of runs by status; a status that no run has is left out."""

    async def count_by_version(self, definition: str | None = None) -> dict[tuple[str, str], dict[str, int]]:
        """Number of runs by status for each name and version of a definition that has runs; of one name, if given."""

    async def history(self, run: str, *, after: int = 0, limit: int | None = None) -> list[HistoryEvent]:
        """Up to `limit` events of the journal with a number greater than `after`, in order.

        Empty if there is no such run.
        """

    async def attempts(self, run: str) -> list[Attempt]:
        """All recorded attempts, by start; after continue-as-new those before it too."""

    async def logs(self, run: str, *, operation: str | None = None, after: int = 0) -> list[tuple[int, LogLine]]:
        """Lines with a number greater than `after`, in order of writing; of one operation, if it is given."""

    async def tags(self, run: str) -> dict[str, str]:
        """Tags of the run, by name."""

    async def children(self, run: str) -> list[Run]:
        """Runs that this one started, oldest first."""

    async def messages(self, run: str) -> list[Message]:
        """Not yet taken, in order of arrival."""

    async def outgoing(self, *, limit: int) -> list[Outgoing]:
        """Up to `limit` events not yet published, oldest first."""

    async def published(self, ids: list[str]) -> None:
        """Forget these outgoing events; one that is not known is passed over."""

    async def definitions(self) -> list[Definition]:
        """All versions of all definitions, by name, then age."""

    async def quality(
        self, definition: str, step: str | None = None, *, limit: int, not_of: str | None = None
    ) -> list[Quality]:
        """What this step (any, if left out) of this definition measured, newest first; without that of run `not_of`.

        Served by an index, however many rows there are.
        """

    async def engines(self) -> list[dict[str, object]]:
        """A row for each owner, newest first: engine, epoch, who, lease_until, since, host, pid, alive (bool).

        Of a shared store also about (as given with `acquire`), and draining (bool): it was asked to.
        Alive: its lease holds, as far as the store knows the time, and its process is not seen to be gone.  A store
        that is not shared tells of the last one only; a shared one of those that live, and of others for a while.
        """

    async def send(self, message: Message, *, connection: Any = None) -> None:
        """Keep a message from outside an engine, and make its run ready at the message's time.

        A message that is known is let be, and wakes nobody.  With a `connection` to this database it is part of the
        transaction that is open there, and takes effect with it.  Raises RunNotFound; RunFinished if the run has ended
        and the kind is not `retry`; NoTransactions; TypeError or ValueError for a connection that cannot be meant.
        """

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

    async def submit(
        self,
        run: NewRun,
        first: HistoryEvent,
        tags: dict[str, str],
        definition: Definition | None = None,
        *,
        connection: Any = None,
    ) -> bool:
        """Create a run from outside an engine, ready at its time of creation, and keep its definition.

        False if its id or key exists; then nothing is written.  `connection` as for `send`.
        """

    async def check(self) -> list[str]:
        """What is wrong with the store's integrity or settings, a line each; empty: all is well."""
