"""What a witness reads of a store, past the store's own code: the rows as they are."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, NamedTuple, Protocol

ENDED = ("succeeded", "failed", "cancelled")
STEP_KINDS = ("step_completed", "step_failed")


class RunRow(NamedTuple):
    """A run, as it stands."""

    id: str
    key: str | None
    definition: str
    status: str
    label: str | None
    """Of the version that it was started with."""
    input: str
    output: str | None
    error: str | None


class Event(NamedTuple):
    """One row of the journal."""

    run: str
    seq: int
    kind: str
    operation: str | None
    name: str | None
    data: str | None


class Mark(NamedTuple):
    """What an engine has written so far."""

    broken: bool
    """Its lease is, for good."""
    batch: int | None
    """Number of its last batch; None: the store does not keep it once the lease is broken."""
    owned: int
    """Open runs that bear its number."""


class AttemptRow(NamedTuple):
    """An attempt of a step, as far as it was worth a row."""

    run: str
    generation: int
    operation: str
    number: int
    status: str

    @property
    def key(self) -> str:
        """The idempotency key of its step."""
        return key_of(self.run, self.generation, self.operation)


class TaskRow(NamedTuple):
    """An attempt that a worker is to carry out."""

    id: str
    run: str
    runtime: str
    worker: str | None
    """Who has claimed it."""
    outcome: str | None


class Witness(Protocol):
    """Reads one store; each verb waits until the database answers."""

    async def new_events(self) -> list[Event]:
        """Events that were not there at the last look, those of a run in order."""

    async def runs(self) -> list[RunRow]:
        """All runs."""

    async def history(self) -> list[Event]:
        """All events, by run and number."""

    async def open_runs(self) -> list[tuple[str, str, str, int | None]]:
        """Id, definition, status and owner of the runs that have not ended."""

    async def attempts(self) -> list[AttemptRow]:
        """All attempts that have a row."""

    async def tasks(self) -> list[TaskRow]:
        """All tasks that are there."""

    async def books(self) -> list[str]:
        """Keys of the steps that have written a row of the user's, one for each row."""

    async def granted(self, pool: str) -> int:
        """How many slots of a pool are taken."""

    async def mark(self, engine: int) -> Mark:
        """How it stands with an engine."""

    async def unlocked(self) -> bool:
        """Whether nobody holds a lock that others would have to wait for."""

    async def close(self) -> None:
        """Let go."""


class Committed:
    """Step outcomes that were seen on disk, by idempotency key."""

    def __init__(self) -> None:
        self.seen_at: dict[str, int] = {}
        """Nanoseconds of the monotonic clock, not before which each was seen."""
        self.done: dict[str, str] = {}
        """Step names by key, of those that say that the step was done."""
        self._generations: dict[str, list[int]] = defaultdict(list)

    def add(self, events: list[Event], at: int) -> set[str]:
        """Take note of events that were there at `at`; return runs that have got a step's outcome."""
        moved = set()
        for event in events:
            if event.kind == "continued_as_new":
                self._generations[event.run].append(event.seq - 1)
            elif event.kind in STEP_KINDS:
                key = self._key(event)
                self.seen_at.setdefault(key, at)
                moved.add(event.run)
                if event.kind == "step_completed":
                    self.done[key] = event.name or ""
        return moved

    def _key(self, event: Event) -> str:
        generations = self._generations[event.run]
        return key_of(event.run, generations[-1] if generations else 0, event.operation or "")


def key_of(run: str, generation: int, operation: str) -> str:
    """The idempotency key of a step."""
    return f"{run}.{generation}:{operation}" if generation else f"{run}:{operation}"


def by_run(events: list[Event]) -> dict[str, list[Event]]:
    """The journals, by run."""
    rows: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        rows[event.run].append(event)
    return rows


def facts(settings: list[tuple[str, Any]]) -> dict[str, str]:
    """Settings of a database, as a report has them."""
    return {name: str(value) for name, value in settings}
