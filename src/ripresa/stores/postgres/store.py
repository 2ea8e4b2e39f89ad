"""The store port on PostgreSQL: its verbs, each one round trip where it can be.

    commits ─────────────> lane 1 ─┐
    claims, loads ───────> lane 2 ─┤
    lists, sends, looks ─> lanes 3–5, made as they are needed ─┼─> one schema
    heartbeat ───────────> a thread's own connection ──────────┤
    NOTIFY, LISTEN ──────> a connection each ──────────────────┘

**Lock order**, in every transaction: the engine's own row, rows of runs by id, lines by name and places, `ready` rows
by run, then the rest, which is only inserted or is nobody else's.  What several engines may want at once – claims,
adoptions – is taken with `SKIP LOCKED`.  Where two transactions still meet in two orders PostgreSQL ends one of them,
and it is done again (`tests/stores/test_postgres_locks.py`).

**Commits** carry a number for each engine, noted in the same transaction: one whose answer was lost is looked up, and
one that reaches the server late – a proxy may hold it for long – is refused if it was written meanwhile.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from heapq import merge
from itertools import count, islice
from time import monotonic
from typing import Any, TypeVar

from ripresa.contracts.errors import (
    CommitUnknown,
    EngineFenced,
    RunFinished,
    RunNotFound,
    StoreUnavailable,
)
from ripresa.contracts.status import TERMINAL
from ripresa.ports.batch import Batch
from ripresa.ports.effects import Effect
from ripresa.ports.lease import Lease
from ripresa.ports.lines import Place
from ripresa.ports.moving import Chunk
from ripresa.ports.reading import Loaded, Page, RunFilter
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
from ripresa.stores.ages import first_id_at
from ripresa.stores.counting import by_version
from ripresa.stores.payloads import check_in
from ripresa.stores.postgres import checks, faults, moving
from ripresa.stores.postgres.address import address_of
from ripresa.stores.postgres.batch import NO_PAIRS, columns, laid_out, packed
from ripresa.stores.postgres.connection import Lane, connect
from ripresa.stores.postgres.heartbeat import Heartbeat
from ripresa.stores.postgres.lending import Lending, within
from ripresa.stores.postgres.listening import Listener, Teller
from ripresa.stores.postgres.lists import list_runs
from ripresa.stores.postgres.loading import SQL, Row, load_runs, rows_of, run_of
from ripresa.stores.postgres.pools import PoolVerbs
from ripresa.stores.postgres.schema import prepare
from ripresa.stores.postgres.tasks import TaskVerbs
from ripresa.stores.postgres.texts import restored, storable, storable_value
from ripresa.stores.process import Process, is_gone, this_process
from ripresa.stores.refused import without

Result = TypeVar("Result")

_LANES = 3
_TRIES = 8  # of what was taken back for the sake of another transaction
_WAIT_S = 0.02
_FORGOTTEN_US = 24 * 3_600_000_000


def _call(function: str, params: int) -> str:
    return f"SELECT {function}({', '.join(f'${number}' for number in range(1, params + 1))})"


_WRITE_BATCH = _call("write_batch_1", 4 + 14 + 12 + 11 + 3 + 1 + 2 + 2 + 1)
_SUBMIT = _call("submit_1", 2 + 14 + 11 + 2 + 2)
_SEND = _call("send_1", 8)
_CLAIM_DUE = _call("claim_due_1", 6)
_CLAIM = _call("claim_1", 2)
_ADOPT = _call("adopt_1", 6)
_REMOVE = _call("remove_1", 1)
_CLAIM_EFFECT = _call("claim_effect_1", 7)
_ADMIT = _call("admit_1", 8)


class PostgresStore(PoolVerbs, TaskVerbs):
    """One schema of a PostgreSQL database: several engines own its runs, any process may read it or send to its runs.

    `url` is `postgresql://user@host/database`; `?schema=` names another schema than `ripresa`.  `lock_timeout` is how
    many seconds a statement waits for another transaction before StoreBusy is raised.
    """

    poll_s: float | None = 1.0
    """How often an engine is to ask `changed`, in case it was not told (`watch`)."""

    shared = True

    def __init__(self, url: str, *, lock_timeout: float = 10.0, heartbeat_thread: bool = True) -> None:
        self.address = address_of(url)
        self.url = self.address.shown
        self._lock_timeout = lock_timeout
        self._heartbeat_thread = heartbeat_thread
        self._instance = secrets.randbits(62)
        self._numbers = count(1)
        self._writers = {-self._instance}
        self._seen: dict[int, int] = {}
        self._engine: int | None = None
        self._opened = False
        self._committing = False
        self._taking = asyncio.Lock()
        self._takes = 1
        """Number of the next call that makes runs ours."""
        self._commits = self._lane("commit")
        self._work = self._lane("engine")
        self._others = [self._lane("look") for _ in range(_LANES)]
        self._teller: Teller | None = None
        self._listener: Listener | None = None
        self._lending = Lending(self.address, lock_timeout_s=lock_timeout, rest=_rest)
        self._closing: set[asyncio.Task[None]] = set()
        self._tell: Callable[[], None] | None = None
        self._heartbeat: Heartbeat | None = None
        self._now: tuple[Micros, float] | None = None
        """What time our engine last said it is, and when it did."""

    # -- opening and closing ------------------------------------------------------------------------------------------

    async def open(self) -> None:
        if self._opened:
            return
        for lane in (self._commits, self._work, *self._others):
            lane.reopen()
        self._teller = Teller(self.address, str(self._instance), lock_timeout_s=self._lock_timeout)

        async def begin(connection: Any) -> None:
            await prepare(connection, self.address)
            await checks.at_opening(connection, self.address)
            self._seen = dict(await connection.fetch(SQL["written"]))

        try:
            await self._work.do(begin)
        except BaseException:
            self._opened = True
            await self.close()
            raise
        self._opened = True

    async def close(self) -> None:
        if not self._opened:
            return
        self._opened = False
        await self._stop_heartbeat()
        self.watch(None)
        while self._closing:
            await asyncio.wait(self._closing)
        if self._teller is not None:
            await self._teller.close()
        await self._lending.close()
        for lane in (self._commits, self._work, *self._others):
            await lane.close()

    # -- owning -------------------------------------------------------------------------------------------------------

    async def acquire(self, *, now: Micros, lease_us: int, who: str, about: str | None = None) -> Lease:
        async def take(connection: Any) -> int:
            await connection.execute(SQL["forget_engines"], now - _FORGOTTEN_US)
            return int(await connection.fetchval(SQL["acquire"], now + lease_us, now, who, about, *this_process()))

        engine = await self._again(self._work, take)
        lease = Lease(engine=engine, epoch=engine)
        self._engine = engine
        self._now = now, monotonic()
        self._writers.add(engine)
        await self._stop_heartbeat()
        if self._heartbeat_thread:
            self._heartbeat = Heartbeat(self.address, lease, now=now, lease_us=lease_us)
            self._heartbeat.start()
        return lease

    async def renew(self, lease: Lease, *, now: Micros, lease_us: int) -> bool:
        draining: bool = self._held(
            lease, await self._again(self._work, lambda one: one.fetchval(SQL["renew"], now + lease_us, lease.engine))
        )
        self._prolonged(now, lease_us)
        return draining

    async def drain(self, engine: int) -> bool:
        return bool(await self._again(self._idlest(), lambda one: one.fetchval(SQL["drain"], engine)))

    async def release(self, lease: Lease) -> None:
        await self._stop_heartbeat()
        await self._again(self._work, lambda one: one.execute(SQL["release"], lease.engine))
        self._tell_others()

    async def commit(self, lease: Lease, batch: Batch, *, lease_us: int) -> frozenset[str]:
        assert not self._committing, "one commit at a time"  # noqa: S101 - the engine's promise to us
        if self._heartbeat is not None and self._heartbeat.fenced:
            raise _fenced(lease)
        if asyncio.current_task() is None:  # the driver's deadlines need one; who drives us makes one at the first wait
            await asyncio.sleep(0)
        self._committing = True
        try:
            refused = await self._commit(lease, batch, lease_us)
        finally:
            self._committing = False
        self._prolonged(batch.at, lease_us)
        if batch.ready or batch.leaving or batch.freed or any(change.status in TERMINAL for change in batch.changes):
            self._tell_others()
        return refused

    async def _commit(self, lease: Lease, batch: Batch, lease_us: int) -> frozenset[str]:
        refused: frozenset[str] = frozenset()
        tries = 0
        while True:
            params = (lease.engine, batch.number, batch.at, lease_us, *laid_out(batch))
            try:
                answer = await self._commits.raw(lambda one: one.fetchval(_WRITE_BATCH, *params))  # noqa: B023 - at once
            except faults.ERRORS as error:
                tries += 1
                if faults.state_of(error) == faults.RUNS_EXIST:
                    known = faults.existing_runs(error)
                    refused |= known
                    batch = without(batch, known)
                elif faults.is_unstorable_text(error) and tries == 1:
                    batch = storable(batch)
                elif faults.is_transient(error) and tries < _TRIES:
                    await _rest(tries)
                else:
                    raise faults.store_error(error, self.url, committing=True) from error
                continue
            if answer is None:
                raise _fenced(lease)
            if answer:
                raise CommitUnknown(f"batch {batch.number} of engine {lease.engine} was written before")
            return refused

    async def last_batch(self, lease: Lease) -> int:
        async def look(connection: Any) -> int | None:
            if await connection.fetchval(SQL["last_batch"], lease.engine) is None:
                return None
            return int(await connection.fetchval(SQL["last_written"], lease.engine))

        number: int = self._held(lease, await self._again(self._work, look))
        return number

    async def adopt(
        self,
        lease: Lease,
        *,
        now: Micros,
        limit: int | None = None,
        leave: frozenset[tuple[str, str]] = frozenset(),
    ) -> list[str]:
        return await self._take(_ADOPT, lease, now, limit, leave)

    async def claim_due(
        self, lease: Lease, *, now: Micros, limit: int, leave: frozenset[tuple[str, str]] = frozenset()
    ) -> list[str]:
        return await self._take(_CLAIM_DUE, lease, now, limit, leave)

    async def _take(
        self, call: str, lease: Lease, now: Micros, limit: int | None, leave: frozenset[tuple[str, str]]
    ) -> list[str]:
        """Make runs ours.  If the answer is lost the next call bears the same number, and is given the same runs."""
        async with self._taking:
            params = (lease.engine, now, limit, *_left(leave), self._takes)
            runs: list[str] = self._held(lease, await self._again(self._work, lambda one: one.fetchval(call, *params)))
            self._takes += 1
            return runs

    async def owned(self, lease: Lease) -> list[str]:
        async def look(connection: Any) -> list[str] | None:
            if await connection.fetchval(SQL["last_batch"], lease.engine) is None:
                return None
            return [run for (run,) in await connection.fetch(SQL["owned"], lease.engine)]

        runs: list[str] = self._held(lease, await self._again(self._work, look))
        return runs

    async def claim(self, lease: Lease, run: str) -> bool:
        ours: bool = self._held(
            lease, await self._again(self._work, lambda one: one.fetchval(_CLAIM, lease.engine, run))
        )
        return ours

    async def next_due(self, *, after: Micros | None = None) -> Micros | None:
        params = (self._engine, -1 if after is None else after)
        due: Micros | None = await self._work.do(lambda one: one.fetchval(SQL["next_due"], *params))
        return due

    async def changed(self) -> bool:
        found = dict(await self._look(lambda one: one.fetch(SQL["written"])))
        before, self._seen = self._seen, found
        return any(before.get(writer) != number for writer, number in found.items() if writer not in self._writers)

    def watch(self, tell: Callable[[], None] | None) -> None:
        self._tell = tell
        if self._listener is not None:
            task = asyncio.get_running_loop().create_task(self._listener.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
            self._listener = None
        if tell is not None:
            self._listener = Listener(self.address, str(self._instance), tell, lock_timeout_s=self._lock_timeout)

    async def time(self) -> Micros | None:
        now: Micros = await self._look(lambda one: one.fetchval(SQL["time"]))
        return now

    async def engines(self) -> list[dict[str, object]]:
        here = this_process()
        rows = await self._look(lambda one: one.fetch(SQL["engines"]))
        # Our engine's clock, if we have one, as leases go by that; else the server's.
        ours = None if self._now is None else self._now[0] + int((monotonic() - self._now[1]) * 1e6)
        return [
            {
                "engine": number,
                "epoch": number,
                "who": who,
                "lease_until": lease_until,
                "since": since,
                "host": process[0],
                "pid": process[3],
                "alive": lease_until > (now if ours is None else ours) and not is_gone(Process(*process), here=here),
                "about": about,
                "draining": draining,
            }
            for number, lease_until, since, who, about, draining, *process, now in rows
        ]

    # -- reading ------------------------------------------------------------------------------------------------------

    async def load(self, runs: list[str]) -> list[Loaded]:
        return await self._work.do(lambda one: load_runs(one, runs))

    async def statuses(self, runs: list[str]) -> dict[str, str]:
        return dict(await self._look(lambda one: one.fetch(SQL["statuses"], runs)))

    async def get_run(self, ref: str) -> Run | None:
        return await self._look(lambda one: run_of(one, storable_value(ref)))

    async def list_runs(self, where: RunFilter, *, limit: int, cursor: str | None = None) -> Page:
        return await self._look(lambda one: list_runs(one, where, limit=limit, cursor=cursor))

    async def count_runs(self) -> dict[str, int]:
        return dict(await self._look(lambda one: one.fetch(SQL["counts"])))

    async def count_by_version(self, definition: str | None = None) -> dict[tuple[str, str], dict[str, int]]:
        return by_version(await self._look(lambda one: one.fetch(SQL["counts_by_version"], definition)))

    async def history(self, run: str, *, after: int = 0, limit: int | None = None) -> list[HistoryEvent]:
        return await self._rows(HistoryEvent, "history", run, after, limit)

    async def attempts(self, run: str) -> list[Attempt]:
        return await self._rows(Attempt, "attempts", run)

    async def logs(self, run: str, *, operation: str | None = None, after: int = 0) -> list[tuple[int, LogLine]]:
        rows = await self._look(lambda one: one.fetch(SQL["logs"], run, after, operation))
        return [(number, LogLine._make([*line, restored(text)])) for number, *line, text in rows]

    async def tags(self, run: str) -> dict[str, str]:
        return dict(await self._look(lambda one: one.fetch(SQL["tags"], run)))

    async def children(self, run: str) -> list[Run]:
        return await self._rows(Run, "children", run)

    async def messages(self, run: str) -> list[Message]:
        return await self._work.do(lambda one: rows_of(one, Message, "messages", run))

    async def outgoing(self, *, limit: int) -> list[Outgoing]:
        return await self._rows(Outgoing, "outgoing", limit)

    async def published(self, ids: list[str]) -> None:
        if ids:
            await self._again(self._idlest(), lambda one: one.execute(SQL["published"], ids))

    async def definitions(self) -> list[Definition]:
        return await self._rows(Definition, "definitions")

    async def quality(
        self, definition: str, step: str | None = None, *, limit: int, not_of: str | None = None
    ) -> list[Quality]:
        if step is None:
            return await self._rows(Quality, "quality", definition, not_of, limit)
        return await self._rows(Quality, "quality_of_step", definition, not_of, limit, step)

    async def check(self) -> list[str]:
        return await self._look(checks.check)

    # -- lines --------------------------------------------------------------------------------------------------------

    async def admit(self, lease: Lease, wanted: Place, *, now: Micros, force: bool = False) -> bool:
        params = (lease.engine, wanted.run, wanted.line, wanted.places, wanted.priority, wanted.since, now, force)
        admitted: bool = self._held(lease, await self._again(self._work, lambda one: one.fetchval(_ADMIT, *params)))
        self._tell_others()  # the next in line may be ready
        return admitted

    async def place(self, run: str) -> Place | None:
        return next(iter(await self._places("place", run)), None)

    async def line(self, line: str) -> list[Place]:
        return await self._places("line", line)

    async def _places(self, query: str, about: str) -> list[Place]:
        return [Place(*row) for row in await self._look(lambda one: one.fetch(SQL[query], about))]

    # -- effects ------------------------------------------------------------------------------------------------------

    async def claim_effect(self, lease: Lease, wanted: Effect) -> Effect:
        self._held(lease, await self._again(self._work, lambda one: one.fetchval(_CLAIM_EFFECT, lease.engine, *wanted)))
        found = await self.effect(wanted.id)
        assert found is not None  # noqa: S101 - it was put there, or was there
        return found

    async def effect(self, effect: str) -> Effect | None:
        row = await self._work.do(lambda one: one.fetchrow(SQL["effect"], effect))
        return None if row is None else Effect(*row)

    async def transact(self, effect: Effect, work: Callable[[Any], Any]) -> str:
        if not self._opened:
            raise StoreUnavailable(f"{self.url} is not open: call open() first")
        return await self._lending.transact(effect, work)

    # -- from outside an engine ---------------------------------------------------------------------------------------

    async def send(self, message: Message, *, connection: Any = None) -> None:
        message = storable_value(message)
        params = (-self._instance, next(self._numbers), *message)
        if connection is not None:
            outcome = await within(connection, self.address, _SEND, *params)
        else:
            outcome = await self._again(self._idlest(), lambda one: one.fetchval(_SEND, *params))
        match outcome:
            case "missing":
                raise RunNotFound(message.run, f"no run has the id {message.run!r}")
            case "kept":
                if connection is None:
                    self._tell_all()
            case "known":
                pass
            case status:
                raise RunFinished(message.run, f"run {message.run!r} has {status} and takes no more messages")

    async def submit(
        self,
        run: NewRun,
        first: HistoryEvent,
        tags: dict[str, str],
        definition: Definition | None = None,
        *,
        connection: Any = None,
    ) -> bool:
        run, first, tags, definition = storable_value((run, first, tags, definition))
        blobs: dict[str, str] = {}
        params = (
            -self._instance,
            next(self._numbers),
            *columns(check_in([run], blobs)),
            *columns(check_in([first], blobs)),
            *(columns(list(blobs.items())) if blobs else NO_PAIRS),
            packed([(run.id, name, value) for name, value in tags.items()]),
            packed([] if definition is None else [definition]),
        )
        if connection is not None:
            joined: bool = await within(connection, self.address, _SUBMIT, *params)
            return joined
        created: bool = await self._again(self._idlest(), lambda one: one.fetchval(_SUBMIT, *params))
        if created:
            self._tell_all()
        return created

    # -- forgetting ---------------------------------------------------------------------------------------------------

    async def ended(
        self, *, before: Micros, statuses: tuple[str, ...], limit: int, after: str | None = None
    ) -> list[str]:
        async def find(connection: Any) -> list[str]:
            rest = (after or "", first_id_at(before), before, limit)
            found = [[run for (run,) in await connection.fetch(SQL["ended"], status, *rest)] for status in statuses]
            return list(islice(merge(*found), limit))

        return await self._look(find)

    async def remove(self, runs: list[str]) -> list[str]:
        gone: list[str] = await self._again(self._idlest(), lambda one: one.fetchval(_REMOVE, runs))
        return gone

    # -- moving -------------------------------------------------------------------------------------------------------

    async def counts(self) -> dict[str, int]:
        return await self._look(moving.counts)

    async def dump(self, *, size: int = 1_000) -> AsyncIterator[Chunk]:
        connection = await connect(self.address, {"search_path": f'"{self.address.schema}"'})
        try:
            async for chunk in moving.dump(connection, size):
                yield chunk
        finally:
            connection.terminate()

    async def restore(self, chunk: Chunk) -> None:
        await self._idlest().do(lambda one: moving.restore(one, chunk))

    async def settle(self, *, now: Micros) -> None:
        await self._idlest().do(lambda one: moving.settle(one, now))

    # -- what the verbs share -----------------------------------------------------------------------------------------

    def _lane(self, role: str) -> Lane:
        return Lane(self.address, role, lock_timeout_s=self._lock_timeout)

    def _idlest(self) -> Lane:
        """A connection of those for looks and sends; another one is made only while all others are in use."""
        return min(self._others, key=lambda lane: lane.busy)

    async def _look(self, work: Callable[[Any], Awaitable[Result]]) -> Result:
        return await self._idlest().do(work)

    async def _rows(self, kind: type[Row], query: str, *params: Any) -> list[Row]:
        return await self._look(lambda one: rows_of(one, kind, query, *params))

    async def _again(self, lane: Lane, work: Callable[[Any], Awaitable[Any]]) -> Any:
        """Do what may be taken back for the sake of another transaction, until it is not."""
        tries = 0
        while True:
            try:
                return await lane.raw(work)
            except faults.ERRORS as error:
                tries += 1
                if not faults.is_transient(error) or tries == _TRIES:
                    raise faults.store_error(error, self.url, committing=True) from error
            await _rest(tries)

    def _held(self, lease: Lease, answer: Any) -> Any:
        """What the server answered, unless it is that the lease is broken."""
        if answer is None:
            raise _fenced(lease)
        return answer

    def _tell_others(self) -> None:
        if self._teller is not None:
            self._teller.tell()

    def _tell_all(self) -> None:
        """Our own engine too: what was locked while it looked, it has passed over."""
        self._tell_others()
        if self._tell is not None:
            self._tell()

    def _prolonged(self, now: Micros, lease_us: int) -> None:
        self._now = now, monotonic()
        if self._heartbeat is not None:
            self._heartbeat.prolonged(now, lease_us)

    async def _stop_heartbeat(self) -> None:
        heartbeat, self._heartbeat = self._heartbeat, None
        if heartbeat is not None:
            await asyncio.to_thread(heartbeat.stop)


async def _rest(tries: int) -> None:
    """Wait a while that is nobody else's."""
    await asyncio.sleep(random.uniform(0, _WAIT_S * tries))  # noqa: S311 - to keep apart, not to keep secret


def _left(leave: frozenset[tuple[str, str]]) -> tuple[list[str] | None, list[str] | None]:
    """Names and versions of definitions, in one order."""
    if not leave:
        return None, None
    pairs = sorted(leave)
    return [name for name, _ in pairs], [version for _, version in pairs]


def _fenced(lease: Lease) -> EngineFenced:
    return EngineFenced(f"engine {lease.engine} lost its lease: another engine broke it, or it has let go")
