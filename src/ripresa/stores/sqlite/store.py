"""The store port on SQLite: its verbs, each one turn of the writer or one look of the reader."""

from __future__ import annotations

import asyncio
import inspect
import json
import secrets
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from ripresa.contracts.errors import NoTransactions, StoreUnavailable
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
from ripresa.stores.counting import by_version
from ripresa.stores.sqlite import batch as batches
from ripresa.stores.sqlite import effects, moving, outside, owner, places, retention
from ripresa.stores.sqlite.checks import check
from ripresa.stores.sqlite.file import path_of
from ripresa.stores.sqlite.heartbeat import Heartbeat
from ripresa.stores.sqlite.lists import list_runs
from ripresa.stores.sqlite.loading import SQL, Row, fetch, load_runs, rows_of, run_of
from ripresa.stores.sqlite.pools import PoolVerbs
from ripresa.stores.sqlite.reader import Reader
from ripresa.stores.sqlite.schema import prepare
from ripresa.stores.sqlite.tasks import TaskVerbs
from ripresa.stores.sqlite.writer import Writer, retry_while_busy
from ripresa.stores.texts import encodable

Result = TypeVar("Result")

# A load beyond these goes to the reading thread.
_RUNS_LOADED_HERE = 8
_EVENTS_LOADED_HERE = 1_000  # of one run


class SqliteStore(PoolVerbs, TaskVerbs):
    """One SQLite file: one engine owns it, any process may read it or send to its runs.

    `url` is `sqlite:///shop.db`, `sqlite:////var/lib/shop.db` or a path.  `lock_timeout` is how many seconds a
    verb waits for another process's transaction before it raises StoreBusy.
    """

    poll_s: float | None = 0.02
    """How often an engine is to ask `changed`: nothing else tells it of another process's message."""

    shared = False

    def __init__(self, url: str | Path, *, lock_timeout: float = 10.0, heartbeat_thread: bool = True) -> None:
        self.path = path_of(str(url))
        self.url = f"sqlite:///{self.path}"
        self._lock_timeout = lock_timeout
        self._heartbeat_thread = heartbeat_thread
        self._instance = secrets.token_hex(8)
        self._writer: Writer | None = None
        self._reader: Reader | None = None
        self._committing = False
        self._version_seen: int | None = None
        self._heartbeat: Heartbeat | None = None

    # -- opening and closing ------------------------------------------------------------------------------------------

    async def open(self) -> None:
        if self._writer is not None:
            return
        await retry_while_busy(partial(prepare, self.path), self._lock_timeout, str(self.path))
        writer, self._reader = await retry_while_busy(self._connect, self._lock_timeout, str(self.path))
        self._version_seen = writer.version_seen()
        self._writer = writer

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
        take = partial(owner.take, path=str(self.path), now=now, lease_us=lease_us, who=who, instance=self._instance)
        lease = await self._write(take)
        await self._stop_heartbeat()
        if self._heartbeat_thread:
            self._heartbeat = Heartbeat(self.path, lease, now=now, lease_us=lease_us)
            self._heartbeat.start()
        return lease

    async def renew(self, lease: Lease, *, now: Micros, lease_us: int) -> bool:
        await self._write(lambda connection: owner.renew(connection, lease, now + lease_us))
        self._prolonged(now, lease_us)
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
        self._prolonged(batch.at, lease_us)
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

    # -- reading ------------------------------------------------------------------------------------------------------

    async def load(self, runs: list[str]) -> list[Loaded]:
        if len(runs) <= _RUNS_LOADED_HERE:
            loaded = await self._look_up(lambda connection: load_runs(connection, runs, _EVENTS_LOADED_HERE))
            if all(len(run.history) < _EVENTS_LOADED_HERE for run in loaded):
                return loaded
        return await self._read(lambda connection: load_runs(connection, runs))

    async def statuses(self, runs: list[str]) -> dict[str, str]:
        return dict(await self._fetch("statuses", ("id", "status"), {"runs": json.dumps(runs)}))

    async def get_run(self, ref: str) -> Run | None:
        return await self._look_up(lambda connection: run_of(connection, ref))

    async def list_runs(self, where: RunFilter, *, limit: int, cursor: str | None = None) -> Page:
        return await self._read(lambda connection: list_runs(connection, where, limit=limit, cursor=cursor))

    async def count_runs(self) -> dict[str, int]:
        return dict(await self._fetch("counts", ("status", "runs"), {}))

    async def count_by_version(self, definition: str | None = None) -> dict[tuple[str, str], dict[str, int]]:
        query = "counts_by_version" if definition is None else "counts_by_version_of"
        columns = ("definition", "version", "status", "runs")
        return by_version(await self._fetch(query, columns, {"definition": definition}))

    async def history(self, run: str, *, after: int = 0, limit: int | None = None) -> list[HistoryEvent]:
        params = {"run": run, "after": after, "limit": -1 if limit is None else limit}
        return await self._rows(HistoryEvent, "history", params)

    async def attempts(self, run: str) -> list[Attempt]:
        return await self._rows(Attempt, "attempts", {"run": run})

    async def logs(self, run: str, *, operation: str | None = None, after: int = 0) -> list[tuple[int, LogLine]]:
        params = {"run": run, "operation": operation, "after": after}
        rows = await self._fetch("logs", ("number", *LogLine._fields), params)
        return [(number, LogLine._make(line)) for number, *line in rows]

    async def tags(self, run: str) -> dict[str, str]:
        return dict(await self._look_up(lambda connection: connection.execute(SQL["tags"], (run,)).fetchall()))

    async def children(self, run: str) -> list[Run]:
        return await self._rows(Run, "children", {"run": run})

    async def messages(self, run: str) -> list[Message]:
        return await self._rows(Message, "messages", {"run": run})

    async def outgoing(self, *, limit: int) -> list[Outgoing]:
        return await self._rows(Outgoing, "outgoing", {"limit": limit})

    async def published(self, ids: list[str]) -> None:
        if ids:
            await self._write(lambda connection: batches.put(connection, "published", batches.singles(ids)))

    async def definitions(self) -> list[Definition]:
        return await self._rows(Definition, "definitions", {})

    async def quality(
        self, definition: str, step: str | None = None, *, limit: int, not_of: str | None = None
    ) -> list[Quality]:
        params = {"definition": definition, "step": step, "not_of": not_of, "limit": limit}
        return await self._rows(Quality, "quality" if step is None else "quality_of_step", params)

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

    async def restore(self, chunk: Chunk) -> None:
        await self._write(lambda connection: moving.restore(connection, chunk))

    async def settle(self, *, now: Micros) -> None:
        await self._write(lambda connection: moving.settle(connection, now))

    # -- turns and looks ----------------------------------------------------------------------------------------------

    async def _write(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        return await self._opened(self._writer).transaction(work)

    async def _look_up(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        return await self._opened(self._reader).look_up(work)

    async def _read(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        return await self._opened(self._reader).read(work)

    async def _rows(self, kind: type[Row], query: str, params: Mapping[str, Any]) -> list[Row]:
        return await self._read(lambda connection: rows_of(connection, kind, query, params))

    async def _fetch(self, query: str, columns: Sequence[str], params: Mapping[str, Any]) -> list[list[Any]]:
        return await self._read(lambda connection: fetch(connection, query, columns, params))

    def _opened(self, part: Result | None) -> Result:
        if part is None:
            raise StoreUnavailable(f"{self.path} is not open: call open() first")
        return part

    def _connect(self) -> tuple[Writer, Reader]:
        writer = Writer(self.path, lock_timeout=self._lock_timeout)
        return writer, Reader(self.path, lock_timeout=self._lock_timeout)

    def _prolonged(self, now: Micros, lease_us: int) -> None:
        if self._heartbeat is not None:
            self._heartbeat.prolonged(now, lease_us)

    async def _stop_heartbeat(self) -> None:
        heartbeat, self._heartbeat = self._heartbeat, None
        if heartbeat is not None:
            await asyncio.to_thread(heartbeat.stop)


def _let_be(done: asyncio.Future[str]) -> None:
    """Nobody waits for it any more, whatever came of it."""
    if not done.cancelled():
        done.exception()
