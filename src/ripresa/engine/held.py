"""Held runs: what an engine keeps in memory of a run that it owns.

A `Held` outlives the live code in it: the code is evicted when it waits, while attempts go on.
Invariant: `seq` is the number of the last event handed to the committer; `inbox` has only events that
are on disk and that the code has not seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ripresa.contracts.status import RunStatus
from ripresa.contracts.step_context import StepContext
from ripresa.ports.rows import LogLine

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Coroutine

    from ripresa.engine.engine import Engine
    from ripresa.engine.pools import Seat
    from ripresa.engine.timers import Due
    from ripresa.kernel.commands import ScheduleStep
    from ripresa.kernel.live import LiveRun
    from ripresa.ports.effects import Effect
    from ripresa.ports.needs import Need
    from ripresa.ports.rows import HistoryEvent, Run
    from ripresa.ports.runtime import Work


class Tally(NamedTuple):
    """What is known of the attempts of a step that is not under way."""

    number: int = 0
    """The last one's."""
    failures: int = 0
    losses: int = 0
    """In a row."""
    first_started: int | None = None
    due: int | None = None
    """When the next may start, after a failure."""
    cut_at: int | None = None
    """When the last one was started, if its engine ended under it."""


class Flight:
    """One step of one run on its way to an outcome, over all its attempts."""

    __slots__ = (
        "ask",
        "attempt",
        "careful",
        "decided",
        "due",
        "due_at",
        "effect",
        "elsewhere",
        "ended",
        "engine",
        "failures",
        "first_started",
        "gate",
        "given",
        "held",
        "launched",
        "losses",
        "member",
        "queue",
        "recorded",
        "resumed_at",
        "runtime",
        "seat",
        "started_at",
        "timed_out",
        "timeout",
    )

    def __init__(self, engine: Engine, held: Held, ask: ScheduleStep) -> None:
        self.engine = engine
        self.held = held
        self.ask = ask
        self.runtime: str = engine.pools.runtime_of(ask.step)
        self.attempt = 0
        self.careful = held.recovered
        """The attempt is recorded before it starts: the last one may have taken its process down."""
        self.failures = 0
        self.losses = 0
        self.first_started: int | None = None
        self.started_at = 0
        self.recorded = False
        """Whether the store has a row that says this attempt is running."""
        self.launched = False
        """The crew has it."""
        self.member: asyncio.Task[None] | None = None
        """The task that drives the attempt now."""
        self.timeout: asyncio.TimerHandle | None = None
        self.timed_out = False
        self.queue: asyncio.TimerHandle | None = None
        """Ends the wait for a slot."""
        self.gate: asyncio.Task[None] | None = None
        """Its wait, without a slot, until nobody else is at its effect."""
        self.seat: Seat | None = None
        """Its place at the step's pool, waited for or held."""
        self.resumed_at: int | None = None
        """When an earlier engine started this attempt, which goes on."""
        self.given: Work | None = None
        """What the runtime has of it, if that adopts."""
        self.elsewhere = False
        """It needs an engine with labels that this one does not have."""
        self.due: Due | None = None
        self.due_at: int | None = None
        """When the next attempt may start, after a failure."""
        self.effect: Effect | None = None
        """What it does on behalf of all runs, and has claimed."""
        self.decided = False
        """Its outcome is on its way to the journal."""
        self.ended = False
        """The outcome is on its way to the journal, or nobody wants it any more."""

    def work(self) -> Coroutine[Any, Any, None]:
        """The attempt, for the crew."""
        return self.engine.attempts.run(self)

    def log(self, stream: str, level: str | None, text: str, at: int | None = None, /) -> None:
        """Keep a line that the step wrote, at that time or now; callable from any thread."""
        at = self.engine.now() if at is None else at
        line = LogLine(self.held.id, self.ask.operation, self.attempt, at, stream, level, text)
        self.engine.loop.call_soon_threadsafe(self.engine.watching.log, line)

    def context(self) -> StepContext:
        """What the step sees of the run."""
        held = self.held
        return StepContext(
            run_id=held.key or held.id,
            run_uuid=held.id,
            workflow=held.definition,
            step=self.ask.step.name,
            operation=self.ask.operation,
            attempt=self.attempt,
            idempotency_key=held.idempotency_key(self.ask.operation),
            correlation_id=held.correlation_id,
        )


class Signal(NamedTuple):
    """What somebody tells a run, and waits for it to be in the journal."""

    name: str
    data: str
    taken: asyncio.Future[bool]
    """False: the run has ended or gone meanwhile."""


class Held:
    """A run that this engine owns."""

    __slots__ = (
        "anew",
        "asked",
        "at_bay",
        "at_hand",
        "base_seq",
        "cancel_seq",
        "children",
        "code_dropped",
        "correlation_id",
        "definition",
        "flights",
        "id",
        "idle_since",
        "in_line",
        "inbox",
        "input",
        "key",
        "line",
        "live",
        "loading",
        "loss_counts",
        "needs",
        "nodes_aside",
        "noted",
        "parent",
        "parent_operation",
        "priority",
        "quarantined",
        "ready_for_turn",
        "recovered",
        "redo",
        "restarting",
        "restarts",
        "retried",
        "seed",
        "seq",
        "shown",
        "signals",
        "status",
        "status_on_disk",
        "taken",
        "timers",
        "trying",
        "untold",
        "version",
        "visitors",
        "workflow",
    )

    def __init__(self, run: Run, workflow: Any, seq: int) -> None:  # noqa: PLR0915 - a field a line
        self.id = run.id
        self.key = run.key
        self.definition = run.definition
        self.version = run.version
        self.input = run.input or "{}"
        self.priority = run.priority
        self.parent = run.parent
        self.parent_operation = run.parent_operation
        self.correlation_id = run.correlation_id
        self.base_seq = run.base_seq
        self.status = RunStatus(run.status)
        self.status_on_disk = run.status
        self.workflow = workflow
        self.seq = seq
        self.seed: str | None = None
        self.live: LiveRun | None = None
        self.at_hand: list[HistoryEvent] | None = None
        """History to make the code from at the next turn."""
        self.anew: dict[str, str] = {}
        """Operations that were undone and are done anew, with what tells their idempotency keys apart."""
        self.redo: frozenset[str] = frozenset()
        """Children that a person wants tried again, by operation."""
        self.retried = 0
        """Number of the event of the last retry by a person."""
        self.asked: set[str] = set()
        """Signals and events being sent, whose outcome is not told yet."""
        self.line: str | None = None
        """The line that it stands in, if only so many of its kind go on at a time."""
        self.in_line = False
        """It waits for a place."""
        self.nodes_aside: set[str] = set()
        """Nodes of a graph that are set aside, of which its program was told."""
        self.noted: set[str] = set()
        """Nodes whose end is in the journal or on its way to it."""
        self.code_dropped = False
        self.trying = False
        """It is blocked, and the code on disk is tried again."""
        self.restarts = 0
        """How often its code was to be made anew by what is in its journal then; what was read before is too old."""
        self.restarting = 0
        """That is on its way to the disk: nothing is to be read of it until it is there."""
        self.untold = 0
        """Events and calls under way that the code will be told of."""
        self.taken: set[str] = set()
        """Messages that are in the journal or on their way to it."""
        self.shown = seq
        """Number of the last event that the code was shown; a load may be ahead of the telling."""
        self.cancel_seq = 0
        """Number of the last event that asks it to stop."""
        self.at_bay: list[Flight] = []
        """Attempts that were about to start while it held back."""
        self.inbox: list[HistoryEvent] = []
        self.flights: dict[str, Flight] = {}
        self.timers: dict[str, Due] = {}
        self.children: dict[str, str] | None = None
        """Operations whose child is known to exist, with its id; None: not looked up yet."""
        self.loss_counts: dict[str, Tally] = {}
        """By operation not under way."""
        self.needs: dict[str, Need] = {}
        """What the store has noted that its steps need of an engine, by operation."""
        self.recovered = False
        """Its last owner died: the attempts that its code asks for first are recorded before they start."""
        self.quarantined: dict[str, Any] = {}
        """Operations set aside, with the failure."""
        self.ready_for_turn = False
        self.loading = False
        self.visitors = 0
        """Callers who want to look at its code: it is not evicted before they have."""
        self.signals: list[Signal] = []
        """That callers hand in, and that wait for its code to be where its history ends."""
        self.idle_since = 0

    @property
    def holds_back(self) -> bool:
        """No attempt starts: that it is to go on is not on disk yet, or its code was not told that it is to stop."""
        return self.restarting > 0 or self.cancel_seq > self.shown

    def idempotency_key(self, operation: str) -> str:
        """The same in every attempt of this operation."""
        generation = f".{self.base_seq}" if self.base_seq else ""
        return f"{self.id}{generation}:{operation}{self.anew.get(operation, '')}"

    @property
    def ref(self) -> str:
        """How people call it."""
        return self.key or self.id

    @property
    def generation_seed(self) -> str:
        """What its dice and the ids of its children are derived from: another one each time it begins anew."""
        seed = self.seed or self.id
        return f"{seed}.{self.base_seq}" if self.base_seq else seed
