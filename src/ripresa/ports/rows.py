"""The rows that make up a run's life, as an engine hands them to a store and gets them back.

An adapter owns how they lie on disk.

Times are integers, microseconds since 1970 in UTC.  Payloads are JSON texts.  Ids are UUIDs
(version 7) as 36-character texts.
"""

from __future__ import annotations

from typing import NamedTuple

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

    def as_run(self) -> Run:
        """The run as it stands once it is created."""
        return Run(
            id=self.id,
            key=self.key,
            definition=self.definition,
            version=self.version,
            status=self.status,
            priority=self.priority,
            input=self.input,
            output=None,
            error=None,
            parent=self.parent,
            parent_operation=self.parent_operation,
            correlation_id=self.correlation_id,
            owner=self.owner,
            base_seq=0,
            created_at=self.created_at,
            started_at=self.started_at,
            finished_at=None,
            updated_at=self.created_at,
            memo=self.memo,
        )


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
