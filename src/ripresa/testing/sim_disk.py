"""The simulated world's disk: what its processes write to, and what the checker looks at afterwards.

    process ── SimStore ── hold ──┐
    process ── SimStore ── hold ──┼──> disk <── looks ── notes, clients, evidence
                                  │
                          words to who listens

Two of them: `MemoryDisk` here, and a real PostgreSQL in `sim_postgres`.  Invariant: a verb of a hold changes the disk
in one stroke and takes no time of the simulation, and a look takes none and changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ripresa.contracts.status import TERMINAL
from ripresa.stores.memory import MemoryDatabase, MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ripresa.ports.rows import Attempt, HistoryEvent, Message, Run
    from ripresa.ports.store import Store


class Held(NamedTuple):
    """A run's row, as far as a note of a write tells it."""

    status: str
    owner: int | None


class Slot(NamedTuple):
    """A ticket of a pool: a step that holds a slot, or waits for one."""

    run: str
    operation: str
    key: str
    engine: int | None
    granted_at: int | None
    probe: bool


class PoolSeen(NamedTuple):
    """A pool with its tickets, first those that are first in line."""

    name: str
    circuit: str | None
    """Of the pool as a whole, as it is kept."""
    slots: list[Slot]


class Found(NamedTuple):
    """All that is on a disk at the end, by run."""

    runs: list[Run]
    history: dict[str, list[HistoryEvent]]
    attempts: dict[str, list[Attempt]]
    messages: dict[str, list[Message]]
    ready: set[str]
    tickets: list[tuple[str, str]]
    """Run and operation of each, but for those that no engine has and whose run has ended: the next look tidies up."""


class Disk(Protocol):
    """One world's; empty at its beginning."""

    shared: bool
    """As the store port has it."""
    repeats: bool
    """Whether a commit that comes twice, or too late, is told apart, so that something on the way may hold it up."""
    listeners: dict[object, Callable[[], None]]
    """Whom to tell of what may be for an engine, by the hold that listens."""

    def hold(self) -> Store:
        """A process's hold on it."""

    def cut(self, hold: Any) -> None:
        """Its process is dead."""

    def lose_answer(self, hold: Any) -> None:
        """The store of this hold does not hear what comes of its next verb; who asked will be told that it failed."""

    def living(self) -> set[int]:
        """Engines whose lease is not broken."""

    def held(self, runs: Iterable[str]) -> dict[str, Held]:
        """Those of these runs that there are, by id."""

    def run(self, ref: str) -> Run | None:
        """The run of this id or key."""

    def journal(self, run: str) -> list[HistoryEvent]:
        """The events of a run, in order."""

    def inbox(self, run: str) -> list[Message]:
        """What was sent to a run and is not taken."""

    def open_keys(self) -> list[str | None]:
        """The keys of all runs that have not ended."""

    def granted(self) -> set[tuple[str, str]]:
        """Run and operation of each ticket that holds a slot."""

    def needs(self) -> list[tuple[str, str]]:
        """Run and operation of what is noted to need another engine."""

    def pools(self) -> list[PoolSeen]:
        """All pools, by name."""

    def found(self) -> Found:
        """All there is."""


class MemoryDisk:
    """A memory database."""

    repeats = False

    def __init__(self, *, shared: bool) -> None:
        self.shared = shared
        self.database = MemoryDatabase()
        self.listeners = self.database.listeners

    def hold(self) -> Store:
        return MemoryStore(self.database, shared=self.shared)

    def cut(self, hold: Any) -> None:
        """There is nothing to cut."""

    def lose_answer(self, hold: Any) -> None:
        """There is no way on which it could be lost."""

    def living(self) -> set[int]:
        return {engine for engine, owner in self.database.owners.items() if owner.lease_until > 0}

    def held(self, runs: Iterable[str]) -> dict[str, Held]:
        known = self.database.runs
        return {run: Held(known[run].status, known[run].owner) for run in runs if run in known}

    def _is_open(self, run: str) -> bool:
        return self.database.runs[run].status not in TERMINAL

    def run(self, ref: str) -> Run | None:
        return self.database.runs.get(ref) or self.database.runs.get(self.database.keys.get(ref, ""))

    def journal(self, run: str) -> list[HistoryEvent]:
        return list(self.database.journal.get(run, ()))

    def inbox(self, run: str) -> list[Message]:
        return list(self.database.inbox.get(run, {}).values())

    def open_keys(self) -> list[str | None]:
        return [run.key for run in self.database.runs.values() if run.status not in TERMINAL]

    def granted(self) -> set[tuple[str, str]]:
        return {name for name, row in self.database.tickets.rows.items() if row.granted_at is not None}

    def needs(self) -> list[tuple[str, str]]:
        return [(run, operation) for run, needs in self.database.needs.items() for operation in needs]

    def pools(self) -> list[PoolSeen]:
        tickets = self.database.tickets
        rows = sorted(tickets.rows.values(), key=lambda row: row.place)
        return [
            PoolSeen(
                name,
                tickets.circuits(name).get(""),
                [
                    Slot(row.ticket.run, row.ticket.operation, row.ticket.key, row.engine, row.granted_at, row.probe)
                    for row in rows
                    if row.ticket.pool == name
                ],
            )
            for name in sorted(tickets.pools)
        ]

    def found(self) -> Found:
        database = self.database
        runs = list(database.runs.values())
        return Found(
            runs=runs,
            history={run.id: self.journal(run.id) for run in runs},
            attempts={run.id: list(database.attempts[run.id].values()) for run in runs},
            messages={run.id: self.inbox(run.id) for run in runs},
            ready={run.id for run in runs if run.id in database.ready},
            tickets=[name for name, row in database.tickets.rows.items() if row.engine or self._is_open(name[0])],
        )
