"""The store port on SQLite: its verbs, each one turn of the writer or one look of the reader."""

from __future__ import annotations

import asyncio
import inspect
import secrets
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from ripresa.contracts.errors import NoTransactions
from ripresa.ports.batch import Batch
from ripresa.ports.effects import Effect
from ripresa.ports.lease import Lease
from ripresa.ports.lines import Place
from ripresa.ports.moving import Chunk
from ripresa.ports.rows import (
    Definition,
    HistoryEvent,
    Message,
    Micros,
    NewRun,
)
from ripresa.stores.callers import of_driver
from ripresa.stores.sqlite import batch as batches
from ripresa.stores.sqlite import effects, moving, outside, owner, places, retention
from ripresa.stores.sqlite.checks import check
from ripresa.stores.sqlite.events import EventVerbs
from ripresa.stores.sqlite.faults import store_error
from ripresa.stores.sqlite.heartbeat import Heartbeat
from ripresa.stores.sqlite.needs import NeedVerbs
from ripresa.stores.sqlite.pools import PoolVerbs
from ripresa.stores.sqlite.reading import ReadingVerbs
from ripresa.stores.sqlite.tasks import TaskVerbs
from ripresa.stores.texts import encodable

Result = TypeVar("Result")


class SqliteStore(ReadingVerbs, NeedVerbs, PoolVerbs, TaskVerbs, EventVerbs):
    """One SQLite file: one engine owns it, any process may read it or send to its runs.

    `url` is `sqlite:///shop.db`, `sqlite:////var/lib/shop.db` or a path.  `lock_timeout` is how many seconds a
    verb waits for another process's transaction before it raises StoreBusy.
    """

    poll_s: float | None = 0.02
    """How often an engine is to ask `changed`: nothing else tells it of another process's message."""

    shared = False

    def __init__(self, url: str | Path, *, lock_timeout: float = 10.0, heartbeat_thread: bool = True) -> None:
        super().__init__(url, lock_timeout=lock_timeout)
        self._heartbeat_thread = heartbeat_thread
        self._instance = secrets.token_hex(8)
        self._committing = False
        self._version_seen: int | None = None
        self._heartbeat: Heartbeat | None = None

    # -- opening and closing ------------------------------------------------------------------------------------------

    async def open(self) -> None:
        if self._writer is not None:
            return
        await self._take_hold()
        self._version_seen = self._opened(self._writer).version_seen()

    async def close(self) -> None:
        writer, reader = self._writer, self._reader
        self._writer = self._reader = None
        await self._stop_heartbeat()
        if reader is not None:
            await reader.close()
        if writer is not None:
            await writer.close()

    # -- owning -------------------------------------------------------------------------------------------------------

    async def acquire(self, *, now: Micros, lease_us: int, who: str, about: str | None = None) -> Lease:
        take = partial(owner.take, path=str(self.path), now=now, lease_us=lease_us)
        lease = await self._write(partial(take, who=who, instance=self._instance, about=about))
        await self._stop_heartbeat()
        if self._heartbeat_thread:
            self._heartbeat = Heartbeat(self.path, lease, now=now, lease_us=lease_us)
            self._heartbeat.start()
        return lease

    async def renew(self, lease: Lease, *, now: Micros, lease_us: int) -> bool:
        read_at = time.monotonic()
        await self._write(lambda connection: owner.renew(connection, lease, now + lease_us))
        if self._heartbeat is not None:
            self._heartbeat.renewed(now, lease_us, read_at)
        return False

    async def drain(self, engine: int) -> bool:
        return False

    async def release(self, lease: Lease) -> None:
        await self._stop_heartbeat()
        await self._write(lambda connection: owner.release(connection, lease))

    async def commit(self, lease: Lease, batch: Batch, *, lease_us: int) -> frozenset[str]:
        assert not self._committing, "one commit at a time"  # noqa: S101 - the engine's promise to us
        if self._heartbeat is not None and self._heartbeat.fenced:
            raise owner.fenced(lease)
        self._committing = True
        try:
            refused = await self._commit(lease, batch, lease_us)
        finally:
            self._committing = False
        if self._heartbeat is not None:
            self._heartbeat.committed(batch.at)
        return refused

    async def _commit(self, lease: Lease, batch: Batch, lease_us: int) -> frozenset[str]:
        try:
            return await self._write(lambda connection: batches.write(connection, lease, batch, lease_us))
        except batches.Refusal:
            return await self._write(lambda connection: batches.write_accepted(connection, lease, batch, lease_us))
        except UnicodeEncodeError:
            return await self._commit(lease, encodable(batch), lease_us)

    async def last_batch(self, lease: Lease) -> int:
        return await self._look_up(lambda connection: owner.confirm(connection, lease))

    async def adopt(
        self,
        lease: Lease,
        *,
        now: Micros,
        limit: int | None = None,
        leave: frozenset[tuple[str, str]] = frozenset(),
    ) -> list[str]:
        return await self._write(lambda connection: owner.adopt(connection, lease, now, limit))

    async def claim_due(
        self, lease: Lease, *, now: Micros, limit: int, leave: frozenset[tuple[str, str]] = frozenset()
    ) -> list[str]:
        if not await self._look_up(lambda connection: owner.any_due(connection, lease, now)):
            return []
        return await self._write(lambda connection: owner.claim_due(connection, lease, now, limit))

    async def owned(self, lease: Lease) -> list[str]:
        return await self._look_up(lambda connection: owner.owned(connection, lease))

    async def claim(self, lease: Lease, run: str) -> bool:
        return await self._write(lambda connection: owner.claim(connection, lease, run))

    async def next_due(self, *, after: Micros | None = None) -> Micros | None:
        return await self._look_up(lambda connection: owner.next_due(connection, after))

    async def changed(self) -> bool:
        seen = self._opened(self._writer).version_seen()
        if seen is None or seen == self._version_seen:
            return False
        self._version_seen = seen
        return True

    async def engines(self) -> list[dict[str, object]]:
        row = await self._look_up(owner.owner_of)
        return [] if row is None else [row.as_told(time.time_ns() // 1000)]

    def watch(self, tell: Callable[[], None] | None) -> None:
        return

    async def time(self) -> Micros | None:
        return None

    async def published(self, ids: list[str]) -> None:
        def take_out(connection: sqlite3.Connection) -> None:
            batches.put(connection, "forget_deliveries", batches.singles(ids))
            batches.put(connection, "published", batches.singles(ids))

        if ids:
            await self._write(take_out)

    async def check(self) -> list[str]:
        return await self._read(check)

    # -- lines --------------------------------------------------------------------------------------------------------

    async def admit(self, lease: Lease, wanted: Place, *, now: Micros, force: bool = False) -> bool:
        return await self._write(lambda connection: places.admit(connection, lease, wanted, now, force=force))

    async def place(self, run: str) -> Place | None:
        return next(iter(await self._places("place", {"run": run})), None)

    async def line(self, line: str) -> list[Place]:
        return await self._places("line", {"line": line})

    async def _places(self, query: str, params: Mapping[str, Any]) -> list[Place]:
        rows = await self._read(lambda connection: connection.execute(places.SQL[query], params).fetchall())
        return [Place._make(row)._replace(held=bool(row[3])) for row in rows]

    # -- effects ------------------------------------------------------------------------------------------------------

    async def claim_effect(self, lease: Lease, wanted: Effect) -> Effect:
        return await self._write(lambda connection: effects.claim(connection, lease, wanted))

    async def effect(self, effect: str) -> Effect | None:
        return await self._look_up(lambda connection: effects.effect_of(connection, effect))

    async def transact(self, effect: Effect, work: Callable[[Any], Any]) -> str:
        self._opened(self._writer)
        if inspect.iscoroutinefunction(work):
            raise NoTransactions("SQLite's connection is for a def function: write `def` in place of `async def`")
        transaction = effects.Transaction(self.path, effect, work, lock_timeout=self._lock_timeout)
        doing = asyncio.ensure_future(asyncio.to_thread(transaction.run))
        while True:
            try:
                return await asyncio.shield(doing)
            except asyncio.CancelledError:
                if doing.done() or transaction.give_up():
                    doing.add_done_callback(_let_be)
                    raise

    # -- from outside an engine ---------------------------------------------------------------------------------------

    async def send(self, message: Message, *, connection: Any = None) -> None:
        await self._write_on(connection, lambda connection: outside.send(connection, message))

    async def submit(
        self,
        run: NewRun,
        first: HistoryEvent,
        tags: dict[str, str],
        definition: Definition | None = None,
        *,
        connection: Any = None,
    ) -> bool:
        submit = partial(outside.submit, run=run, first=first, tags=tags, definition=definition)
        return await self._write_on(connection, submit)

    async def _write_on(self, connection: Any, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Within the caller's own transaction, if it has one."""
        if connection is None:
            return await self._write(work)
        connection = await of_driver(connection)
        outside.require_transaction(connection, self.path)
        return work(connection)

    # -- forgetting ---------------------------------------------------------------------------------------------------

    async def ended(
        self, *, before: Micros, statuses: tuple[str, ...], limit: int, after: str | None = None
    ) -> list[str]:
        find = partial(retention.ended, before=before, statuses=statuses, limit=limit, after=after)
        return await self._read(find)

    async def remove(self, runs: list[str]) -> list[str]:
        return await self._write(lambda connection: retention.remove(connection, runs)) if runs else []

    # -- moving -------------------------------------------------------------------------------------------------------

    async def counts(self) -> dict[str, int]:
        return await self._read(moving.counts)

    def dump(self, *, size: int = 1_000) -> AsyncIterator[Chunk]:
        self._opened(self._reader)
        return moving.dump(self.path, size)

    async def restore(self, chunks: AsyncIterator[Chunk], *, now: Micros) -> None:
        self._opened(self._reader)
        try:
            await moving.restore(self.path, chunks, now)
        except sqlite3.Error as error:
            raise store_error(error, self.url) from error

    # -- our own lease ------------------------------------------------------------------------------------------------

    async def _stop_heartbeat(self) -> None:
        heartbeat, self._heartbeat = self._heartbeat, None
        if heartbeat is not None:
            await asyncio.to_thread(heartbeat.stop)


def _let_be(done: asyncio.Future[str]) -> None:
    """Nobody waits for it any more, whatever came of it."""
    if not done.cancelled():
        done.exception()
