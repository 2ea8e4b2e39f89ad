"""The store port on PostgreSQL: its verbs, each one round trip where it can be.

**Lock order**, in every transaction: the engine's own row, rows of runs by id, lines by name and places, `ready` rows
by run, then the rest, which is only inserted or is nobody else's.  What several engines may want at once – claims,
adoptions – is taken with `SKIP LOCKED`.  Where two transactions still meet in two orders PostgreSQL ends one of them,
and it is done again (`tests/stores/test_postgres_locks.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from heapq import merge
from itertools import islice
from time import monotonic as system_monotonic
from typing import Any

from ripresa.contracts.errors import StoreUnavailable
from ripresa.contracts.status import TERMINAL
from ripresa.ports.batch import Batch
from ripresa.ports.effects import Effect
from ripresa.ports.lease import Lease
from ripresa.ports.lines import Place
from ripresa.ports.moving import Chunk
from ripresa.ports.rows import Micros, Outgoing
from ripresa.stores.ages import first_id_at
from ripresa.stores.postgres import checks, committing, moving
from ripresa.stores.postgres.connection import LONG_S, connect
from ripresa.stores.postgres.events import EventVerbs
from ripresa.stores.postgres.faults import ERRORS, fenced, store_error
from ripresa.stores.postgres.heartbeat import Heartbeat
from ripresa.stores.postgres.hold import call, rest
from ripresa.stores.postgres.lending import Lending
from ripresa.stores.postgres.loading import SQL
from ripresa.stores.postgres.needs import CLAIM_FITTING, NeedVerbs
from ripresa.stores.postgres.outbox import Outbox
from ripresa.stores.postgres.outside import OutsideVerbs
from ripresa.stores.postgres.pools import PoolVerbs
from ripresa.stores.postgres.promoted import Promoted
from ripresa.stores.postgres.reading import ReadingVerbs
from ripresa.stores.postgres.schema import prepare
from ripresa.stores.postgres.seldom import Seldom
from ripresa.stores.postgres.tasks import TaskVerbs
from ripresa.stores.process import Process, is_gone, this_process

_CLAIM_REST_S = 2.0
_FORGOTTEN_US = 24 * 3_600_000_000

_CLAIM_DUE = call("claim_due_1", 8)
_CLAIM = call("claim_1", 2)
_ADOPT = call("adopt_1", 8)
_REMOVE = call("remove_1", 1)
_CLAIM_EFFECT = call("claim_effect_1", 7)
_ADMIT = call("admit_1", 8)


class PostgresStore(ReadingVerbs, OutsideVerbs, NeedVerbs, PoolVerbs, TaskVerbs, EventVerbs):
    """One schema of a PostgreSQL database: several engines own its runs, any process may read it or send to its runs.

    `url` is `postgresql://user@host/database`; `?schema=` names another schema than `ripresa`.  `lock_timeout` is how
    many seconds a statement waits for another transaction before StoreBusy is raised.  Without `create`, opening raises
    StoreMissing where there is no store yet, and changes nothing.
    """

    poll_s: float | None = 1.0
    """How often an engine is to ask `changed`, in case it was not told (`watch`)."""

    shared = True

    def __init__(
        self,
        url: str,
        *,
        lock_timeout: float = 10.0,
        create: bool = True,
        heartbeat_thread: bool = True,
        monotonic: Callable[[], float] = system_monotonic,
    ) -> None:
        super().__init__(url, lock_timeout=lock_timeout)
        self._create = create
        self._heartbeat_thread = heartbeat_thread
        self._monotonic = monotonic
        """What time passes by between two of our own calls."""
        self._writers = {-self._instance}
        """Under which names we write: what others wrote is news."""
        self._seen: dict[int, int] = {}
        self._engine: int | None = None
        self._opened = False
        self._committing = False
        self._taking = asyncio.Lock()
        self._takes = 1
        """Number of the next call that makes runs ours."""
        self._taken = 0
        """Number of the last one that did."""
        self._seldom = {
            _CLAIM_DUE: Seldom(_CLAIM_REST_S, monotonic),
            CLAIM_FITTING: Seldom(_CLAIM_REST_S, monotonic),
            _ADOPT: Seldom(0.0, monotonic),
        }
        self._lending = Lending(self.address, lock_timeout_s=lock_timeout, rest=rest)
        self._outbox = Outbox(monotonic)
        self._heartbeat: Heartbeat | None = None
        self._promoted = Promoted()
        self._now: tuple[Micros, float] | None = None
        """What time our engine last said it is, and when it did."""

    # -- opening and closing ------------------------------------------------------------------------------------------

    async def open(self) -> None:
        if self._opened:
            return
        self._take_hold()

        async def begin(connection: Any) -> None:
            await checks.at_opening(connection, self.address)
            await prepare(connection, self.address, create=self._create)
            self._seen = dict(await connection.fetch(SQL["written"]))

        try:
            await self._work.do(begin, limit_s=LONG_S)  # a migration may take its time
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
        await self._lending.close()
        await self._let_go()

    # -- owning -------------------------------------------------------------------------------------------------------

    async def acquire(self, *, now: Micros, lease_us: int, who: str, about: str | None = None) -> Lease:
        async def take(connection: Any) -> int:
            await self._promoted.begin(connection)
            await connection.execute(SQL["forget_engines"], now - _FORGOTTEN_US)
            return int(await connection.fetchval(SQL["acquire"], now + lease_us, now, who, about, *this_process()))

        engine = await self._again(self._work, take)
        lease = Lease(engine=engine, epoch=engine)
        self._engine = engine
        self._now = now, self._monotonic()
        self._writers.add(engine)
        await self._stop_heartbeat()
        if self._heartbeat_thread:
            self._heartbeat = Heartbeat(self.address, lease, now=now, lease_us=lease_us)
            self._heartbeat.start()
        return lease

    async def renew(self, lease: Lease, *, now: Micros, lease_us: int) -> bool:
        params = (now + lease_us, lease.engine)
        self._now = now, self._monotonic()
        read_at = system_monotonic()
        draining: bool = await self._as_owner(lease, lambda one: one.fetchval(SQL["renew"], *params))
        if self._heartbeat is not None:
            self._heartbeat.renewed(now, lease_us, read_at)
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
            raise fenced(lease)
        if asyncio.current_task() is None:  # the driver's deadlines need one; who drives us makes one at the first wait
            await asyncio.sleep(0)
        self._committing = True
        try:
            refused = await committing.write(
                self._commits, lease, batch, lease_us=lease_us, where=self.url, promoted=self._promoted
            )
        finally:
            self._committing = False
        if self._heartbeat is not None:
            self._heartbeat.committed(batch.at)
        if batch.at > (self._clock() or 0):  # it may be much older than its commit
            self._now = batch.at, self._monotonic()
        if (
            batch.ready
            or batch.needs
            or batch.leaving
            or batch.freed
            or any(change.status in TERMINAL for change in batch.changes)
        ):
            self._tell_others()
        return refused

    async def last_batch(self, lease: Lease) -> int:
        async def look(connection: Any) -> int | None:
            if await connection.fetchval(SQL["last_batch"], lease.engine) is None:
                return None
            return int(await connection.fetchval(SQL["last_written"], lease.engine))

        number: int = await self._as_owner(lease, look)
        return number

    async def adopt(
        self,
        lease: Lease,
        *,
        now: Micros,
        limit: int | None = None,
        leave: frozenset[tuple[str, str]] = frozenset(),
    ) -> list[str]:
        return await self._take(_ADOPT, lease, now, limit, leave=leave)

    async def claim_due(
        self, lease: Lease, *, now: Micros, limit: int, leave: frozenset[tuple[str, str]] = frozenset()
    ) -> list[str]:
        return await self._take(_CLAIM_DUE, lease, now, limit, leave=leave)

    async def _take(self, query: str, lease: Lease, *about: Any, leave: frozenset[tuple[str, str]]) -> list[str]:
        """Make runs ours.  If the answer is lost the next call bears the same number, and is given the same runs."""
        async with self._taking:
            seldom, began = self._seldom.get(query), self._monotonic()
            through_all = seldom is not None and seldom.is_due()
            params = [lease.engine, *about, *_left(leave), self._takes, self._taken]
            if seldom is not None:
                params.append(through_all)
            runs: list[str] = await self._as_owner(lease, lambda one: one.fetchval(query, *params))
            if seldom is not None and through_all:
                seldom.done(began)
            if runs:
                self._taken = self._takes
            self._takes += 1
            return runs

    async def owned(self, lease: Lease) -> list[str]:
        async def look(connection: Any) -> list[str] | None:
            if await connection.fetchval(SQL["last_batch"], lease.engine) is None:
                return None
            return [run for (run,) in await connection.fetch(SQL["owned"], lease.engine)]

        runs: list[str] = await self._as_owner(lease, look)
        return runs

    async def claim(self, lease: Lease, run: str) -> bool:
        ours: bool = await self._as_owner(lease, lambda one: one.fetchval(_CLAIM, lease.engine, run))
        return ours

    async def next_due(self, *, after: Micros | None = None) -> Micros | None:
        params = (self._engine, -1 if after is None else after)
        due: Micros | None = await self._work.do(lambda one: one.fetchval(SQL["next_due"], *params))
        return due

    async def changed(self) -> bool:
        found = dict(await self._look(lambda one: one.fetch(SQL["written"])))
        before, self._seen = self._seen, found
        return any(before.get(writer) != number for writer, number in found.items() if writer not in self._writers)

    async def time(self) -> Micros | None:
        now: Micros = await self._look(lambda one: one.fetchval(SQL["time"]))
        return now

    async def engines(self) -> list[dict[str, object]]:
        here = this_process()
        rows = await self._look(lambda one: one.fetch(SQL["engines"]))
        # Our engine's clock, if we have one, as leases go by that; else the server's.
        ours = self._clock()
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

    async def outgoing(self, *, limit: int) -> list[Outgoing]:
        return await self._look(lambda one: self._outbox.read(one, limit))

    async def published(self, ids: list[str]) -> None:
        if ids:
            await self._again(self._idlest(), lambda one: one.execute(SQL["published"], ids))

    async def check(self) -> list[str]:
        return await self._idlest().do(checks.check, limit_s=LONG_S)

    # -- lines --------------------------------------------------------------------------------------------------------

    async def admit(self, lease: Lease, wanted: Place, *, now: Micros, force: bool = False) -> bool:
        params = (lease.engine, wanted.run, wanted.line, wanted.places, wanted.priority, wanted.since, now, force)
        admitted: bool = await self._as_owner(lease, lambda one: one.fetchval(_ADMIT, *params))
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
        while True:
            await self._as_owner(lease, lambda one: one.fetchval(_CLAIM_EFFECT, lease.engine, *wanted))
            found = await self.effect(wanted.id)
            if found is not None:
                return found  # else it was there, and was given up before it was read

    async def effect(self, effect: str) -> Effect | None:
        row = await self._work.do(lambda one: one.fetchrow(SQL["effect"], effect))
        return None if row is None else Effect(*row)

    async def transact(self, effect: Effect, work: Callable[[Any], Any]) -> str:
        if not self._opened:
            raise StoreUnavailable(f"{self.url} is not open: call open() first")
        return await self._lending.transact(effect, work)

    # -- forgetting ---------------------------------------------------------------------------------------------------

    async def ended(
        self, *, before: Micros, statuses: tuple[str, ...], limit: int, after: str | None = None
    ) -> list[str]:
        async def find(connection: Any) -> list[str]:
            params = (after or "", first_id_at(before), before, limit)
            found = [[run for (run,) in await connection.fetch(SQL["ended"], status, *params)] for status in statuses]
            return list(islice(merge(*found), limit))

        return await self._look(find)

    async def remove(self, runs: list[str]) -> list[str]:
        gone: list[str] = await self._again(self._idlest(), lambda one: one.fetchval(_REMOVE, runs))
        return gone

    # -- moving -------------------------------------------------------------------------------------------------------

    async def counts(self) -> dict[str, int]:
        return await self._idlest().do(moving.counts, limit_s=LONG_S)

    async def dump(self, *, size: int = 1_000) -> AsyncIterator[Chunk]:
        connection = await connect(self.address, {"search_path": f'"{self.address.schema}"'})
        try:
            async for chunk in moving.dump(connection, size):
                yield chunk
        finally:
            connection.terminate()

    async def restore(self, chunks: AsyncIterator[Chunk], *, now: Micros) -> None:
        try:
            connection = await connect(self.address, {"search_path": f'"{self.address.schema}"'})
            try:
                await moving.restore(connection, chunks, now)
            finally:
                connection.terminate()
        except ERRORS as error:
            raise store_error(error, self.url) from error

    async def put_aside(self) -> str:
        """Call the schema something else, so that no engine goes on there; its name now.  Raises StoreError."""
        return await self._look(lambda one: moving.put_aside(one, self.address.schema))

    # -- our own lease ------------------------------------------------------------------------------------------------

    def _clock(self) -> Micros | None:
        return None if self._now is None else self._now[0] + int((self._monotonic() - self._now[1]) * 1e6)

    async def _stop_heartbeat(self) -> None:
        heartbeat, self._heartbeat = self._heartbeat, None
        if heartbeat is not None:
            await asyncio.to_thread(heartbeat.stop)


def _left(leave: frozenset[tuple[str, str]]) -> tuple[list[str] | None, list[str] | None]:
    """Names and versions of definitions, in one order."""
    if not leave:
        return None, None
    pairs = sorted(leave)
    return [name for name, _ in pairs], [version for _, version in pairs]
