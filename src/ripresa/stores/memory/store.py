"""The store port in memory.

A `MemoryStore` is one process's hold on a database; if that is shared, several engines own runs of it
at once.  Invariant: a verb checks first and changes after, and never awaits between, so no batch is
ever seen by half.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from ripresa.contracts.errors import NoTransactions, RunFinished, RunNotFound, StoreInUse
from ripresa.contracts.status import TERMINAL
from ripresa.ports.batch import Batch
from ripresa.ports.effects import Effect
from ripresa.ports.lease import Lease
from ripresa.ports.lines import Place
from ripresa.ports.rows import (
    Definition,
    HistoryEvent,
    Message,
    Micros,
    NewRun,
    Ready,
)
from ripresa.stores.memory.database import Owner
from ripresa.stores.memory.events import EventVerbs
from ripresa.stores.memory.needs import NeedVerbs
from ripresa.stores.memory.pools import PoolVerbs
from ripresa.stores.memory.reading import ReadingVerbs
from ripresa.stores.memory.tasks import TaskVerbs
from ripresa.stores.refused import without

if TYPE_CHECKING:
    from collections.abc import Callable


class MemoryStore(ReadingVerbs, NeedVerbs, PoolVerbs, TaskVerbs, EventVerbs):
    """One process's hold on a database; a new database unless one is given.

    `shared`: several engines may own runs of it at once; all stores on one database say the same.
    """

    url = "memory://"
    poll_s: float | None = None  # whoever writes is in this process

    async def open(self) -> None:
        return

    async def close(self) -> None:
        self.watch(None)

    # -- owning -------------------------------------------------------------------------------------------------------

    async def acquire(self, *, now: Micros, lease_us: int, who: str, about: str | None = None) -> Lease:
        database = self.database
        if not self.shared:
            for owner in database.owners.values():
                if owner.lease_until > now:
                    left = (owner.lease_until - now) / 1e6
                    msg = f"the store is in use by {owner.who}, with a lease for {left:.1f} s more: stop it first"
                    raise StoreInUse(msg)
            database.end_leases()
        engine = max(database.owners, default=0) + 1
        database.owners[engine] = Owner(engine, who, now + lease_us, 0, now, about)
        database.now = now
        self._wrote()
        return Lease(engine=engine, epoch=engine)

    async def renew(self, lease: Lease, *, now: Micros, lease_us: int) -> bool:
        self._prolong(lease, now, lease_us, None)
        self._wrote()
        return self.database.owners[lease.engine].draining

    async def drain(self, engine: int) -> bool:
        owner = self.database.owners.get(engine)
        if not self.shared or owner is None or owner.lease_until == 0:
            return False
        self.database.owners[engine] = owner._replace(draining=True)
        return True

    async def release(self, lease: Lease) -> None:
        owner = self.database.owners.get(lease.engine)
        if owner is not None and owner.epoch == lease.epoch:
            self.database.owners[lease.engine] = owner._replace(lease_until=0)
            self._wrote()
            self._tell_others()

    async def commit(self, lease: Lease, batch: Batch, *, lease_us: int) -> frozenset[str]:
        database = self.database
        database.confirm(lease)
        refused = database.refused(batch.runs) if batch.runs else frozenset()
        batch = without(batch, refused)
        database.check_history(batch.history)
        self._prolong(lease, batch.at, lease_us, batch.number)
        database.write(batch)
        self._wrote()
        if batch.ready or batch.needs or batch.changes or batch.leaving or batch.freed:
            self._tell_others()
        return refused

    async def last_batch(self, lease: Lease) -> int:
        return self.database.confirm(lease).last_batch

    async def adopt(
        self,
        lease: Lease,
        *,
        now: Micros,
        limit: int | None = None,
        leave: frozenset[tuple[str, str]] = frozenset(),
    ) -> list[str]:
        database = self.database
        database.confirm(lease)
        if self.shared:
            database.end_leases(but=lease.engine, until=now)
        orphans = database.orphans(lease.engine, again=limit is not None)
        runs = list(islice((run for run in orphans if not self._is_of(run, leave)), limit))
        for run in runs:
            self._own(run, lease)
            for place, attempt in database.attempts.get(run, {}).items():
                if attempt.status == "running":
                    database.attempts[run][place] = attempt._replace(status="lost", finished_at=now)
        database.tickets.bereave(database.lives)
        self._wrote()
        return runs

    async def claim_due(
        self, lease: Lease, *, now: Micros, limit: int, leave: frozenset[tuple[str, str]] = frozenset()
    ) -> list[str]:
        self.database.confirm(lease)
        runs = self.database.ready.due(now, limit, lambda run: self._may_claim(run, lease, leave))
        for run in runs:
            self._own(run, lease)
            self.database.ready.remove(run)
        if runs:
            self._wrote()
        return runs

    async def owned(self, lease: Lease) -> list[str]:
        self.database.confirm(lease)
        return self.database.owned(lease.engine)

    async def claim(self, lease: Lease, run: str) -> bool:
        self.database.confirm(lease)
        if not self._may_claim(run, lease) or self.database.is_over(run):
            return False
        self._own(run, lease)
        self.database.ready.remove(run)
        self._wrote()
        return True

    async def next_due(self, *, after: Micros | None = None) -> Micros | None:
        return self.database.ready.next_due(-1 if after is None else after)

    async def time(self) -> Micros | None:
        return None

    async def engines(self) -> list[dict[str, object]]:
        newest_first = [*reversed(self.database.owners.values())]
        return [self._told(owner) for owner in (newest_first if self.shared else newest_first[:1])]

    def _told(self, owner: Owner) -> dict[str, object]:
        return {
            "engine": owner.epoch,
            "epoch": owner.epoch,
            "who": owner.who,
            "lease_until": owner.lease_until,
            "since": owner.since,
            "host": None,
            "pid": None,
            "alive": owner.lease_until > self.database.now,
            "about": owner.about,
            "draining": owner.draining,
        }

    async def published(self, ids: list[str]) -> None:
        for published in ids:
            self.database.outbox.pop(published, None)
        gone = set(ids)
        for key in [key for key in self.database.deliveries if key[0] in gone]:
            del self.database.deliveries[key]
        self._wrote()

    async def check(self) -> list[str]:
        return []

    # -- from outside an engine ---------------------------------------------------------------------------------------

    async def send(self, message: Message, *, connection: Any = None) -> None:
        if connection is not None:
            raise self._no_transactions()
        database = self.database
        run = database.runs.get(message.run)
        if run is None:
            raise RunNotFound(message.run, f"no run has the id {message.run!r}")
        if run.status in TERMINAL and message.kind != "retry":
            raise RunFinished(message.run, f"run {message.run!r} has {run.status} and takes no more messages")
        if database.add_message(message):
            database.ready.put(Ready(run.id, message.at, run.priority))
            self._wrote()
            self._tell_others()

    async def submit(
        self,
        run: NewRun,
        first: HistoryEvent,
        tags: dict[str, str],
        definition: Definition | None = None,
        *,
        connection: Any = None,
    ) -> bool:
        if connection is not None:
            raise self._no_transactions()
        if self.database.refused([run]):
            return False
        self.database.add_run(run)
        self.database.add_event(first)
        self.database.ready.put(Ready(run.id, run.created_at, run.priority))
        self.database.tags[run.id].update(tags)
        if definition is not None:
            self.database.definitions.setdefault((definition.name, definition.version), definition)
        self._wrote()
        self._tell_others()
        return True

    # -- lines --------------------------------------------------------------------------------------------------------

    async def admit(self, lease: Lease, wanted: Place, *, now: Micros, force: bool = False) -> bool:
        self.database.confirm(lease)
        self._wrote()
        self._tell_others()  # the next in line may be ready
        return self.database.places.admit(wanted, now, force=force)

    async def place(self, run: str) -> Place | None:
        return self.database.places.of_run.get(run)

    async def line(self, line: str) -> list[Place]:
        return self.database.places.line(line)

    # -- effects ------------------------------------------------------------------------------------------------------

    async def claim_effect(self, lease: Lease, wanted: Effect) -> Effect:
        database = self.database
        database.confirm(lease)
        known = database.effects.get(wanted.id)
        if known is None or (known.output is None and self._is_over(known.run)):
            database.effects[wanted.id] = known = wanted
            self._wrote()
        return known

    async def effect(self, effect: str) -> Effect | None:
        return self.database.effects.get(effect)

    async def transact(self, effect: Effect, work: Callable[[Any], Any]) -> str:
        raise self._no_transactions()

    # -- forgetting ---------------------------------------------------------------------------------------------------

    async def ended(
        self, *, before: Micros, statuses: tuple[str, ...], limit: int, after: str | None = None
    ) -> list[str]:
        runs = map(self.database.runs.__getitem__, self.database.ids)
        old = (
            run.id
            for run in runs
            if run.status in statuses and run.finished_at is not None and run.finished_at < before
        )
        return list(islice((run for run in old if (after is None or run > after) and self._may_go(run)), limit))

    async def remove(self, runs: list[str]) -> list[str]:
        going = sorted(run for run in set(runs) if self._may_go(run))
        for run in going:
            self.database.remove(run)
        self._wrote()
        return going

    def _may_go(self, id: str) -> bool:
        run = self.database.runs.get(id)
        if run is None or run.status not in TERMINAL or run.owner is not None:
            return False
        if any(message.kind == "retry" for message in self.database.inbox.get(id, {}).values()):
            return False
        above = run
        while above.parent is not None and above.parent in self.database.runs:
            above = self.database.runs[above.parent]
            if above.status not in TERMINAL:
                return False
        return True

    # -- what the verbs share -----------------------------------------------------------------------------------------

    def _prolong(self, lease: Lease, now: Micros, lease_us: int, batch: int | None) -> None:
        owner = self.database.confirm(lease)
        last = owner.last_batch if batch is None else batch
        self.database.owners[lease.engine] = owner._replace(lease_until=now + lease_us, last_batch=last)
        self.database.now = now

    def _may_claim(self, run: str, lease: Lease, leave: frozenset[tuple[str, str]] = frozenset()) -> bool:
        known = self.database.runs.get(run)
        if known is None:
            return False
        return known.owner == lease.engine or (known.owner is None and (known.definition, known.version) not in leave)

    def _is_of(self, run: str, definitions: frozenset[tuple[str, str]]) -> bool:
        known = self.database.runs[run]
        return (known.definition, known.version) in definitions

    def _no_transactions(self) -> NoTransactions:
        return NoTransactions(f"{self.url} has no transactions to join: use sqlite:///… or postgresql://…")

    def _is_over(self, run: str) -> bool:
        known = self.database.runs.get(run)
        return known is None or known.status in TERMINAL

    def _own(self, run: str, lease: Lease) -> None:
        self.database.runs[run] = self.database.runs[run]._replace(owner=lease.engine)
