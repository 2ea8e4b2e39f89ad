"""The memory store: every promise of the port but the one to outlive the process.

A `MemoryDatabase` stands for the disk and a `MemoryStore` for one process's hold on it, so that a
second store on the same database is another engine, or the same one after a crash.  Invariant: a
verb checks first and changes after, and never awaits between, so no batch is ever seen by half.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from heapq import heappop, heappush
from itertools import count
from operator import attrgetter
from typing import NamedTuple, TypeVar

from ripresa.contracts.errors import EngineFenced, RunFinished, RunNotFound, StoreError, StoreInUse
from ripresa.contracts.status import TERMINAL, RunStatus
from ripresa.ports.store import (
    Attempt,
    Batch,
    Definition,
    HistoryEvent,
    Lease,
    Loaded,
    LogLine,
    Message,
    Micros,
    NewRun,
    Outgoing,
    Page,
    Ready,
    Run,
    RunChange,
    RunFilter,
)
from ripresa.stores.paging import cursor_after, read_cursor
from ripresa.stores.refused import without
from ripresa.stores.undecided import by_start, undecided

Value = TypeVar("Value")


class ReadyRuns:
    """Runs that wait for an engine: for each priority in use, a heap by due time.

    A heap may hold entries that no longer hold true; `_current` tells which do.
    """

    def __init__(self) -> None:
        self._current: dict[str, tuple[Micros, int]] = {}  # run -> due, serial
        self._heaps: dict[int, list[tuple[Micros, str, int]]] = {}
        self._serials = count()

    def __contains__(self, run: str) -> bool:
        return run in self._current

    def put(self, ready: Ready) -> None:
        """The earlier time stays: a message from outside may have come while the engine put the run to sleep."""
        known = self._current.get(ready.run)
        due = ready.due if known is None else min(ready.due, known[0])
        serial = next(self._serials)
        self._current[ready.run] = due, serial
        heappush(self._heaps.setdefault(ready.priority, []), (due, ready.run, serial))

    def remove(self, run: str) -> None:
        self._current.pop(run, None)

    def next_due(self) -> Micros | None:
        first = [due for priority in list(self._heaps) if (due := self._first_due(priority)) is not None]
        return min(first, default=None)

    def due(self, now: Micros, limit: int, may_claim: Callable[[str], bool]) -> list[str]:
        """Up to `limit` runs that are due and may be claimed, in order; they stay."""
        found: list[str] = []
        for priority in sorted(self._heaps, reverse=True):
            seen: list[tuple[Micros, str, int]] = []
            while len(found) < limit and (due := self._first_due(priority)) is not None and due <= now:
                seen.append(heappop(self._heaps[priority]))
                if may_claim(seen[-1][1]):
                    found.append(seen[-1][1])
            for entry in seen:
                heappush(self._heaps.setdefault(priority, []), entry)
        return found

    def _first_due(self, priority: int) -> Micros | None:
        heap = self._heaps.get(priority, [])
        while heap:
            due, run, serial = heap[0]
            if self._current.get(run) == (due, serial):
                return due
            heappop(heap)
        self._heaps.pop(priority, None)
        return None


class Owner(NamedTuple):
    """The engine that owns the database, or did."""

    epoch: int
    who: str
    lease_until: Micros
    last_batch: int


class MemoryDatabase:
    """The rows, and the changes to them that more than one verb makes."""

    def __init__(self) -> None:
        self.runs: dict[str, Run] = {}
        self.ids: list[str] = []
        """Sorted: the order of time."""
        self.keys: dict[str, str] = {}
        self.journal: defaultdict[str, list[HistoryEvent]] = defaultdict(list)
        self.attempts: defaultdict[str, dict[tuple[str, int], Attempt]] = defaultdict(dict)
        self.ready = ReadyRuns()
        self.inbox: defaultdict[str, dict[str, Message]] = defaultdict(dict)
        self.receivers: dict[str, str] = {}
        """The run of each message that was ever sent, taken or not."""
        self.outbox: dict[str, Outgoing] = {}
        self.logs: defaultdict[str, list[tuple[int, LogLine]]] = defaultdict(list)
        self.lines = count(1)
        self.tags: defaultdict[str, dict[str, str]] = defaultdict(dict)
        self.definitions: dict[tuple[str, str], Definition] = {}
        self.owner: Owner | None = None
        self.now: Micros = 0
        """The latest time that a lease was judged by."""
        self.writes = 0

    def confirm(self, lease: Lease) -> Owner:
        """The owner's row, if the lease is its own and unbroken.  Raises EngineFenced."""
        if self.owner is None or self.owner.epoch != lease.epoch or self.owner.lease_until == 0:
            raise EngineFenced(f"engine {lease.engine} no longer owns the store: another took over, or it has let go")
        return self.owner

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
            self.attempts[attempt.run][attempt.operation, attempt.number] = attempt
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
            self.inbox[self.receivers.get(message_id, "")].pop(message_id, None)
        for outgoing in batch.outgoing:
            self.outbox.setdefault(outgoing.id, outgoing)
        for line in batch.logs:
            self.logs[line.run].append((next(self.lines), line))
        for run, name, value in batch.tags:
            self.tags[run][name] = value
        for definition in batch.definitions:
            self.definitions.setdefault((definition.name, definition.version), definition)

    def add_run(self, new: NewRun) -> None:
        self.runs[new.id] = created(new)
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
        if message.id in self.receivers:
            return False
        self.receivers[message.id] = message.run
        self.inbox[message.run][message.id] = message
        return True

    def orphans(self) -> Iterator[str]:
        """Runs that need a new owner, oldest first."""
        for run in map(self.runs.__getitem__, self.ids):
            if run.owner is not None:
                if run.status not in TERMINAL or any(sent.kind == "retry" for sent in self.inbox[run.id].values()):
                    yield run.id
            elif run.id not in self.ready and run.status not in TERMINAL:
                if run.status == RunStatus.QUEUED or self.inbox.get(run.id):
                    yield run.id

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


class MemoryStore:
    """One process's hold on a database; a new database unless one is given."""

    url = "memory://"

    def __init__(self, database: MemoryDatabase | None = None) -> None:
        self.database = MemoryDatabase() if database is None else database
        self._own_writes = 0
        self._writes_seen = 0

    async def open(self) -> None:
        return

    async def close(self) -> None:
        return

    # -- owning -------------------------------------------------------------------------------------------------------

    async def acquire(self, *, now: Micros, lease_us: int, who: str) -> Lease:
        database = self.database
        owner = database.owner
        if owner is not None and owner.lease_until > now:
            left = (owner.lease_until - now) / 1e6
            raise StoreInUse(f"the store is in use by {owner.who}, with a lease for {left:.1f} s more: stop it first")
        epoch = 1 if owner is None else owner.epoch + 1
        database.owner = Owner(epoch, who, now + lease_us, 0)
        database.now = now
        self._wrote()
        return Lease(engine=epoch, epoch=epoch)

    async def renew(self, lease: Lease, *, now: Micros, lease_us: int) -> None:
        self._prolong(lease, now, lease_us, None)
        self._wrote()

    async def release(self, lease: Lease) -> None:
        owner = self.database.owner
        if owner is not None and owner.epoch == lease.epoch:
            self.database.owner = owner._replace(lease_until=0)
            self._wrote()

    async def commit(self, lease: Lease, batch: Batch, *, lease_us: int) -> frozenset[str]:
        database = self.database
        database.confirm(lease)
        refused = database.refused(batch.runs) if batch.runs else frozenset()
        batch = without(batch, refused)
        database.check_history(batch.history)
        self._prolong(lease, batch.at, lease_us, batch.number)
        database.write(batch)
        self._wrote()
        return refused

    async def last_batch(self, lease: Lease) -> int:
        return self.database.confirm(lease).last_batch

    async def adopt(self, lease: Lease, *, now: Micros) -> list[str]:
        database = self.database
        database.confirm(lease)
        runs = list(database.orphans())
        for run in runs:
            self._own(run, lease)
            for place, attempt in database.attempts.get(run, {}).items():
                if attempt.status == "running":
                    database.attempts[run][place] = attempt._replace(status="lost", finished_at=now)
        self._wrote()
        return runs

    async def claim_due(self, lease: Lease, *, now: Micros, limit: int) -> list[str]:
        self.database.confirm(lease)
        runs = self.database.ready.due(now, limit, lambda run: self._may_claim(run, lease))
        for run in runs:
            self._own(run, lease)
            self.database.ready.remove(run)
        if runs:
            self._wrote()
        return runs

    async def claim(self, lease: Lease, run: str) -> bool:
        self.database.confirm(lease)
        if not self._may_claim(run, lease) or self.database.runs[run].status in TERMINAL:
            return False
        self._own(run, lease)
        self.database.ready.remove(run)
        self._wrote()
        return True

    async def next_due(self) -> Micros | None:
        return self.database.ready.next_due()

    async def changed(self) -> bool:
        others = self.database.writes - self._own_writes
        changed = others != self._writes_seen
        self._writes_seen = others
        return changed

    async def engine(self) -> dict[str, object] | None:
        owner = self.database.owner
        if owner is None:
            return None
        return {
            "engine": owner.epoch,
            "epoch": owner.epoch,
            "who": owner.who,
            "lease_until": owner.lease_until,
            "host": None,
            "pid": None,
            "alive": owner.lease_until > self.database.now,
        }

    # -- reading ------------------------------------------------------------------------------------------------------

    async def load(self, runs: list[str]) -> list[Loaded]:
        return [self._load(run) for run in runs if run in self.database.runs]

    async def get_run(self, ref: str) -> Run | None:
        runs = self.database.runs
        return runs.get(ref) or runs.get(self.database.keys.get(ref, ""))

    async def list_runs(self, where: RunFilter, *, limit: int, cursor: str | None = None) -> Page:
        last = None if cursor is None else read_cursor(cursor, where)
        by_key = where.key_prefix is not None
        found = self.database.by_key(where, last) if by_key else self.database.newest_first(where, last)
        runs = [run for run, _ in zip(found, range(limit + 1), strict=False)]
        if len(runs) <= limit:
            return Page(runs, None)
        runs.pop()
        return Page(runs, cursor_after((runs[-1].key or "") if by_key else runs[-1].id, where))

    async def count_runs(self) -> dict[str, int]:
        return dict(Counter(run.status for run in self.database.runs.values()))

    async def history(self, run: str, *, after: int = 0, limit: int | None = None) -> list[HistoryEvent]:
        return _after(self.database.journal.get(run, []), after)[:limit]

    async def attempts(self, run: str) -> list[Attempt]:
        return sorted(self.database.attempts.get(run, {}).values(), key=by_start)

    async def logs(self, run: str, *, operation: str | None = None, after: int = 0) -> list[tuple[int, LogLine]]:
        return [
            (number, line)
            for number, line in self.database.logs.get(run, [])
            if number > after and operation in {None, line.operation}
        ]

    async def tags(self, run: str) -> dict[str, str]:
        return dict(sorted(self.database.tags.get(run, {}).items()))

    async def children(self, run: str) -> list[Run]:
        return [known for known in map(self.database.runs.__getitem__, self.database.ids) if known.parent == run]

    async def messages(self, run: str) -> list[Message]:
        return list(self.database.inbox.get(run, {}).values())

    async def outgoing(self, *, limit: int) -> list[Outgoing]:
        return list(self.database.outbox.values())[:limit]

    async def published(self, ids: list[str]) -> None:
        for published in ids:
            self.database.outbox.pop(published, None)
        self._wrote()

    async def definitions(self) -> list[Definition]:
        return sorted(self.database.definitions.values(), key=attrgetter("name", "created_at", "version"))

    async def check(self) -> list[str]:
        return []

    # -- from outside an engine ---------------------------------------------------------------------------------------

    async def send(self, message: Message) -> None:
        database = self.database
        run = database.runs.get(message.run)
        if run is None:
            raise RunNotFound(message.run, f"no run has the id {message.run!r}")
        if run.status in TERMINAL and message.kind != "retry":
            raise RunFinished(message.run, f"run {message.run!r} has {run.status} and takes no more messages")
        if database.add_message(message):
            database.ready.put(Ready(run.id, message.at, run.priority))
            self._wrote()

    async def submit(self, run: NewRun, first: HistoryEvent, tags: dict[str, str]) -> bool:
        if self.database.refused([run]):
            return False
        self.database.add_run(run)
        self.database.add_event(first)
        self.database.ready.put(Ready(run.id, run.created_at, run.priority))
        self.database.tags[run.id].update(tags)
        self._wrote()
        return True

    # -- what the verbs share -----------------------------------------------------------------------------------------

    def _wrote(self) -> None:
        self.database.writes += 1
        self._own_writes += 1

    def _prolong(self, lease: Lease, now: Micros, lease_us: int, batch: int | None) -> None:
        owner = self.database.confirm(lease)
        last = owner.last_batch if batch is None else batch
        self.database.owner = owner._replace(lease_until=now + lease_us, last_batch=last)
        self.database.now = now

    def _may_claim(self, run: str, lease: Lease) -> bool:
        known = self.database.runs.get(run)
        return known is not None and known.owner in {None, lease.engine}

    def _own(self, run: str, lease: Lease) -> None:
        self.database.runs[run] = self.database.runs[run]._replace(owner=lease.engine)

    def _load(self, id: str) -> Loaded:
        run = self.database.runs[id]
        journal = self.database.journal.get(id, [])
        history = _after(journal, run.base_seq)
        before = journal[: len(journal) - len(history)]
        attempts = undecided(self.database.attempts.get(id, {}).values(), history, before)
        messages = list(self.database.inbox.get(id, {}).values())
        return Loaded(run, history, attempts, messages, history[-1].seq if history else run.base_seq)


def created(new: NewRun) -> Run:
    """The run as it stands once it is created."""
    return Run(
        id=new.id,
        key=new.key,
        definition=new.definition,
        version=new.version,
        status=new.status,
        priority=new.priority,
        input=new.input,
        output=None,
        error=None,
        parent=new.parent,
        parent_operation=new.parent_operation,
        correlation_id=new.correlation_id,
        owner=new.owner,
        base_seq=0,
        created_at=new.created_at,
        started_at=new.started_at,
        finished_at=None,
        updated_at=new.created_at,
        memo=new.memo,
    )


def changed(run: Run, change: RunChange) -> Run:
    """The run as it stands after the change."""
    reopened = change.finished_at == -1
    return run._replace(
        status=change.status,
        updated_at=change.updated_at,
        owner=change.owner,
        output=_or(change.output, run.output),
        error=change.error if reopened else _or(change.error, run.error),
        started_at=_or(change.started_at, run.started_at),
        finished_at=None if reopened else _or(change.finished_at, run.finished_at),
        base_seq=_or(change.base_seq, run.base_seq),
        input=_or(change.input, run.input),
        version=_or(change.version, run.version),
    )


def _or(new: Value | None, old: Value) -> Value:
    return old if new is None else new


def _after(journal: list[HistoryEvent], seq: int) -> list[HistoryEvent]:
    """Events with a higher number."""
    return journal[bisect_left(journal, seq + 1, key=attrgetter("seq")) :]


def _holds(journal: list[HistoryEvent], seq: int) -> bool:
    place = bisect_left(journal, seq, key=attrgetter("seq"))
    return place < len(journal) and journal[place].seq == seq
