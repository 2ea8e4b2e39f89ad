"""The rows, and the changes to them that more than one verb makes.

A `MemoryDatabase` stands for the disk: a second store on it is another engine, or the same one after
a crash.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import count
from operator import attrgetter
from typing import NamedTuple

from ripresa.contracts.errors import EngineFenced, StoreError
from ripresa.contracts.status import TERMINAL, RunStatus
from ripresa.ports.batch import Batch
from ripresa.ports.effects import Effect
from ripresa.ports.events import DeadLetter, Delivery, NotedEvent
from ripresa.ports.lease import Lease
from ripresa.ports.needs import Need
from ripresa.ports.reading import RunFilter
from ripresa.ports.rows import (
    Attempt,
    Definition,
    HistoryEvent,
    LogLine,
    Message,
    Micros,
    NewRun,
    Outgoing,
    Quality,
    Run,
)
from ripresa.ports.tasks import WorkerState
from ripresa.stores.memory.places import Places
from ripresa.stores.memory.ready import ReadyRuns
from ripresa.stores.memory.rows import TaskRow, changed
from ripresa.stores.memory.tickets import Tickets

GOING = (RunStatus.RUNNING, RunStatus.WAITING)
STOPPED = (RunStatus.PAUSED, RunStatus.QUARANTINED, RunStatus.BLOCKED)
CONTROLS = ("cancel", "pause", "resume", "retry", "release")
"""Messages that a run takes though it has stopped."""


class Owner(NamedTuple):
    """An engine that owns runs of the database, or did."""

    epoch: int
    who: str
    lease_until: Micros
    """0: its lease is broken, and it writes nothing more."""
    last_batch: int
    since: Micros
    about: str | None
    draining: bool = False


class MemoryDatabase:
    """What a disk would hold; hand it to a `MemoryStore`."""

    def __init__(self) -> None:
        self.runs: dict[str, Run] = {}
        self.ids: list[str] = []
        """Sorted: the order of time."""
        self.keys: dict[str, str] = {}
        self.journal: defaultdict[str, list[HistoryEvent]] = defaultdict(list)
        self.attempts: defaultdict[str, dict[tuple[int, str, int], Attempt]] = defaultdict(dict)
        self.ready = ReadyRuns()
        self.places = Places(self.ready)
        self.tickets = Tickets(self.runs)
        self.inbox: defaultdict[str, dict[str, Message]] = defaultdict(dict)
        self.receivers: dict[str, str] = {}
        """The run of each message that is not taken."""
        self.seen: defaultdict[str, set[str]] = defaultdict(set)
        """Ids of the messages that were taken, by run: one that is sent again is still known."""
        self.outbox: dict[str, Outgoing] = {}
        self.dead: dict[str, DeadLetter] = {}
        self.deliveries: dict[tuple[str, str], Delivery] = {}
        self.noted: list[tuple[int, NotedEvent]] = []
        self.notes = count(1)
        self.logs: defaultdict[str, list[tuple[int, LogLine]]] = defaultdict(list)
        self.lines = count(1)
        self.tags: defaultdict[str, dict[str, str]] = defaultdict(dict)
        self.definitions: dict[tuple[str, str], Definition] = {}
        self.quality: defaultdict[str, list[Quality]] = defaultdict(list)
        """By definition, oldest first."""
        self.effects: dict[str, Effect] = {}
        self.needs: dict[str, dict[str, Need]] = {}
        """By run and operation."""
        self.tasks: dict[str, TaskRow] = {}
        self.workers: dict[str, WorkerState] = {}
        self.owners: dict[int, Owner] = {}
        """By number of the engine, in the order in which they came."""
        self.now: Micros = 0
        """The latest time that a lease was judged by."""
        self.writes = 0
        self.listeners: dict[object, Callable[[], None]] = {}
        """Whom to tell of what may be for an engine, by the store that listens."""

    def confirm(self, lease: Lease) -> Owner:
        """The owner's row, if the lease is its own and unbroken.  Raises EngineFenced."""
        owner = self.owners.get(lease.engine)
        if owner is None or owner.epoch != lease.epoch or owner.lease_until == 0:
            raise EngineFenced(f"engine {lease.engine} no longer owns the store: another took over, or it has let go")
        return owner

    def end_leases(self, but: int | None = None, until: Micros | None = None) -> None:
        """Break for good the leases of all engines but one, or of those whose lease has ended by a time."""
        for engine, owner in self.owners.items():
            if engine != but and (until is None or owner.lease_until <= until):
                self.owners[engine] = owner._replace(lease_until=0)

    def lives(self, engine: int) -> bool:
        """Whether its lease is unbroken."""
        return engine in self.owners and self.owners[engine].lease_until != 0

    def refused(self, runs: list[NewRun]) -> frozenset[str]:
        """Ids of new runs whose id or key exists, here or earlier in the list."""
        ids: set[str] = set()
        keys: set[str] = set()
        refused: set[str] = set()
        for run in runs:
            if (
                run.id in self.runs
                or run.id in ids
                or (run.key is not None and (run.key in self.keys or run.key in keys))
            ):
                refused.add(run.id)
                continue
            ids.add(run.id)
            if run.key is not None:
                keys.add(run.key)
        return frozenset(refused)

    def check_history(self, events: list[HistoryEvent]) -> None:
        """Raise StoreError if the journal holds one of these numbers, or the list holds it twice."""
        new: set[tuple[str, int]] = set()
        for event in events:
            journal = self.journal.get(event.run)
            place = event.run, event.seq
            taken = journal is not None and journal[-1].seq >= event.seq and _holds(journal, event.seq)
            if taken or place in new:
                raise StoreError(f"run {event.run} already has an event {event.seq}; nothing was written")
            new.add(place)

    def write(self, batch: Batch) -> None:
        """Write every row; nothing in here fails."""
        for new in batch.runs:
            self.add_run(new)
        for change in batch.changes:
            if change.id in self.runs:
                self.runs[change.id] = changed(self.runs[change.id], change)
        for event in batch.history:
            self.add_event(event)
        for attempt in batch.attempts:
            self.attempts[attempt.run][attempt.generation, attempt.operation, attempt.number] = attempt
        for run in batch.unready:
            self.ready.remove(run)
        for ready in batch.ready:
            self.ready.put(ready)
        self._write_others(batch)

    def _write_others(self, batch: Batch) -> None:
        """The rows that replay does not need."""
        for message in batch.messages:
            self.add_message(message)
        for message_id in batch.taken:
            self.take_message(message_id)
        for outgoing in batch.outgoing:
            self.outbox.setdefault(outgoing.id, outgoing)
        for line in batch.logs:
            self.logs[line.run].append((next(self.lines), line))
        for run, name, value in batch.tags:
            self.tags[run][name] = value
        for definition in batch.definitions:
            self.definitions.setdefault((definition.name, definition.version), definition)
        self._write_effects(batch)
        self._write_tasks(batch)
        self._write_needs(batch)
        for run, now in batch.leaving:
            self.places.leave(run, now)
        for freed in batch.freed:
            self.tickets.free(freed)
        for row in batch.quality:
            insort(self.quality[row.definition], row, key=attrgetter("at", "run", "seq"))

    def _write_effects(self, batch: Batch) -> None:
        for effect in batch.effects:
            self.effects[effect.id] = effect
        for name, holder in batch.given_up:
            known = self.effects.get(name)
            if known is not None and known.holder == holder and known.output is None:
                del self.effects[name]

    def _write_needs(self, batch: Batch) -> None:
        for run, operation in batch.needless:
            of_run = self.needs.get(run, {})
            of_run.pop(operation, None)
            if not of_run:
                self.needs.pop(run, None)
        for need in batch.needs:
            of_run = self.needs.setdefault(need.run, {})
            known = of_run.get(need.operation)
            of_run[need.operation] = need if known is None else need._replace(since=known.since)

    def _write_tasks(self, batch: Batch) -> None:
        for task in batch.tasks:
            self.tasks[task.id] = TaskRow(task)
        for task_id in batch.tasks_done:
            self.tasks.pop(task_id, None)

    def add_run(self, new: NewRun) -> None:
        self.runs[new.id] = new.as_run()
        if self.ids and self.ids[-1] < new.id:
            self.ids.append(new.id)
        else:
            insort(self.ids, new.id)
        if new.key is not None:
            self.keys[new.key] = new.id

    def add_event(self, event: HistoryEvent) -> None:
        journal = self.journal[event.run]
        if not journal or journal[-1].seq < event.seq:
            journal.append(event)
        else:
            insort(journal, event, key=attrgetter("seq"))

    def add_message(self, message: Message) -> bool:
        """Keep it; False: it was sent before."""
        if message.id in self.receivers or message.id in self.seen.get(message.run, ()):
            return False
        self.receivers[message.id] = message.run
        self.inbox[message.run][message.id] = message
        return True

    def take_message(self, message_id: str) -> None:
        """Let go of it but for its id; one that is not there is passed over."""
        run = self.receivers.pop(message_id, None)
        if run is not None:
            del self.inbox[run][message_id]
            self.seen[run].add(message_id)

    def is_over(self, run: str) -> bool:
        """Whether it has ended, and nobody wants it tried again."""
        retried = any(message.kind == "retry" for message in self.inbox.get(run, {}).values())
        return self.runs[run].status in TERMINAL and not retried

    def remove(self, id: str) -> None:
        """Forget a run that has ended, and all that is its."""
        run = self.runs.pop(id)
        self.ids.remove(id)
        if run.key is not None:
            del self.keys[run.key]
        for message in self.inbox.pop(id, {}):
            del self.receivers[message]
        self.journal.pop(id, None)
        self.attempts.pop(id, None)
        self.seen.pop(id, None)
        self.logs.pop(id, None)
        self.tags.pop(id, None)
        for definition, rows in self.quality.items():
            self.quality[definition] = [row for row in rows if row.run != id]
        self.effects = {name: effect for name, effect in self.effects.items() if effect.run != id}
        self.tasks = {name: row for name, row in self.tasks.items() if row.task.run != id}
        self.needs.pop(id, None)
        self.ready.remove(id)

    def orphans(self, engine: int, *, again: bool) -> Iterator[str]:
        """Runs that are for this engine to own, oldest first; one that asks `again` has what is its own.

        Who asks again is not given those either that only wait for their turn.
        """
        for run in map(self.runs.__getitem__, self.ids):
            sent = self.inbox.get(run.id, {}).values()
            ended = run.status in TERMINAL
            if run.owner is not None:
                kept = again if run.owner == engine else self._lives(run.owner)
                orphan = not kept and (not ended or any(message.kind == "retry" for message in sent))
            else:
                waits = run.status == RunStatus.QUEUED or (sent and not ended)
                orphan = bool(waits) and run.id not in self.ready and not (again and self._waits_its_turn(run))
            if orphan:
                yield run.id

    def owned(self, engine: int) -> list[str]:
        """Open runs of the engine, and ended ones that were sent a retry; oldest first."""
        held = (run for run in map(self.runs.__getitem__, self.ids) if run.owner == engine)
        return [
            run.id
            for run in held
            if run.status not in TERMINAL or any(sent.kind == "retry" for sent in self.inbox.get(run.id, {}).values())
        ]

    def _lives(self, engine: int) -> bool:
        owner = self.owners.get(engine)
        return owner is not None and owner.lease_until > 0

    def _waits_its_turn(self, run: Run) -> bool:
        """Whether its line has no place for it, or it has stopped; and nobody asked for anything that changes that."""
        if any(message.kind in CONTROLS for message in self.inbox.get(run.id, {}).values()):
            return False
        return run.status in STOPPED or self.places.is_full_for(run.id)

    def newest_first(self, where: RunFilter, before: str | None) -> Iterator[Run]:
        end = len(self.ids) if before is None else bisect_left(self.ids, before)
        for place in range(end - 1, -1, -1):
            if self.fits(run := self.runs[self.ids[place]], where):
                yield run

    def by_key(self, where: RunFilter, after: str | None) -> Iterator[Run]:
        prefix = where.key_prefix or ""
        for key in sorted(key for key in self.keys if key.startswith(prefix) and (after is None or key > after)):
            if self.fits(run := self.runs[self.keys[key]], where):
                yield run

    def fits(self, run: Run, where: RunFilter) -> bool:
        return (
            (not where.status or run.status in where.status)
            and (where.definition is None or run.definition == where.definition)
            and (where.parent is None or run.parent == where.parent)
            and all(self.tags.get(run.id, {}).get(name) == value for name, value in where.tags)
        )


def _holds(journal: list[HistoryEvent], seq: int) -> bool:
    place = bisect_left(journal, seq, key=attrgetter("seq"))
    return place < len(journal) and journal[place].seq == seq
