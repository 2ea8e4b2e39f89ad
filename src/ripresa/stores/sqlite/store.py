"""The store port on SQLite: its verbs, each one turn of the writer or one look of the reader."""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from ripresa.contracts.errors import RunFinished, RunNotFound, StoreUnavailable
from ripresa.contracts.status import TERMINAL
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
    RunFilter,
)
from ripresa.stores.payloads import check_in
from ripresa.stores.sqlite import batch as batches
from ripresa.stores.sqlite import file, lists, loading, owner
from ripresa.stores.sqlite.reader import Reader
from ripresa.stores.sqlite.writer import Writer, retry_while_busy

Result = TypeVar("Result")

_LOADED_HERE_MAX = 8  # more runs than this are loaded on the reading thread


class SqliteStore:
    """One SQLite file: one engine owns it, any process may read it or send to its runs.

    `url` is `sqlite:///shop.db`, `sqlite:////var/lib/shop.db` or a path.  `lock_timeout` is how many seconds a
    verb waits for another process's transaction before it raises StoreBusy.
    """

    def __init__(self, url: str | Path, *, lock_timeout: float = 10.0, heartbeat_thread: bool = True) -> None:
        self.path = file.path_of(str(url))
        self.url = f"sqlite:///{self.path}"
        self._lock_timeout = lock_timeout
        self._heartbeat_thread = heartbeat_thread
        self._instance = secrets.token_hex(8)
        self._writer: Writer | None = None
        self._reader: Reader | None = None
        self._committing = False
        self._changes_seen: int | None = None

    # -- opening and closing ------------------------------------------------------------------------------------------

    async def open(self) -> None:
        if self._writer is not None:
            return
        await retry_while_busy(partial(file.prepare, self.path), self._lock_timeout, str(self.path))
        self._writer = await retry_while_busy(self._open_writer, self._lock_timeout, str(self.path))
        self._reader = Reader(self.path, lock_timeout=self._lock_timeout)
        self._changes_seen = self._writer.changes_seen()

    async def close(self) -> None:
        writer, reader = self._writer, self._reader
        self._writer = self._reader = None
        if reader is not None:
            await reader.close()
        if writer is not None:
            await writer.close()

    # -- owning -------------------------------------------------------------------------------------------------------

    async def acquire(self, *, now: Micros, lease_us: int, who: str) -> Lease:
        take = partial(owner.take, path=str(self.path), now=now, lease_us=lease_us, who=who, instance=self._instance)
        return await self._write(take)

    async def renew(self, lease: Lease, *, now: Micros, lease_us: int) -> None:
        def work(connection: sqlite3.Connection) -> None:
            if not connection.execute(owner.SQL["renew"], (now + lease_us, lease.epoch)).rowcount:
                raise owner.fenced(lease)

        await self._write(work)

    async def release(self, lease: Lease) -> None:
        await self._write(lambda connection: connection.execute(owner.SQL["release"], (lease.epoch,)))

    async def commit(self, lease: Lease, batch: Batch, *, lease_us: int) -> frozenset[str]:
        assert not self._committing, "one commit at a time"  # noqa: S101 - the engine's promise to us
        self._committing = True
        try:
            return await self._commit(lease, batch, lease_us)
        finally:
            self._committing = False

    async def _commit(self, lease: Lease, batch: Batch, lease_us: int) -> frozenset[str]:
        try:
            await self._write(partial(batches.write_batch, lease=lease, batch=batch, lease_us=lease_us))
        except batches.Refusal:
            return await self._write(partial(batches.write_accepted, lease=lease, batch=batch, lease_us=lease_us))
        return frozenset()

    async def last_batch(self, lease: Lease) -> int:
        return await self._look_up(lambda connection: owner.confirm(connection, lease))

    async def adopt(self, lease: Lease, *, now: Micros) -> list[str]:
        return await self._write(lambda connection: owner.adopt(connection, lease, now))

    async def claim_due(self, lease: Lease, *, now: Micros, limit: int) -> list[str]:
        if not await self._look_up(lambda connection: owner.due(connection, lease, now, 1)):
            await self.last_batch(lease)
            return []
        return await self._write(lambda connection: owner.claim_due(connection, lease, now, limit))

    async def claim(self, lease: Lease, run: str) -> bool:
        return await self._write(lambda connection: owner.claim(connection, lease, run))

    async def next_due(self) -> Micros | None:
        return await self._look_up(lambda connection: _value(connection, owner.SQL["next_due"]))

    async def changed(self) -> bool:
        seen = self._opened(self._writer).changes_seen()
        if seen is None or seen == self._changes_seen:
            return False
        self._changes_seen = seen
        return True

    async def engine(self) -> dict[str, object] | None:
        row = await self._look_up(owner.owner_of)
        if row is None:
            return None
        return {
            "engine": row.epoch,
            "epoch": row.epoch,
            "who": row.who,
            "lease_until": row.lease_until,
            "host": row.host,
            "pid": row.pid,
            "alive": row.is_alive(time.time_ns() // 1000),
        }

    # -- reading ------------------------------------------------------------------------------------------------------

    async def load(self, runs: list[str]) -> list[Loaded]:
        def work(connection: sqlite3.Connection) -> list[Loaded]:
            return [loaded for run in runs if (loaded := loading.load_run(connection, run)) is not None]

        return await (self._look_up(work) if len(runs) <= _LOADED_HERE_MAX else self._read(work))

    async def get_run(self, ref: str) -> Run | None:
        return await self._look_up(lambda connection: loading.run_of(connection, ref))

    async def list_runs(self, where: RunFilter, *, limit: int, cursor: str | None = None) -> Page:
        return await self._read(lambda connection: lists.list_runs(connection, where, limit=limit, cursor=cursor))

    async def count_runs(self) -> dict[str, int]:
        return dict(await self._read(lambda connection: connection.execute(loading.SQL["counts"]).fetchall()))

    async def history(self, run: str, *, after: int = 0, limit: int | None = None) -> list[HistoryEvent]:
        params = (run, after, -1 if limit is None else limit)
        return await self._read(
            lambda connection: loading.rows_of(connection, HistoryEvent, loading.SQL["history"], params)
        )

    async def attempts(self, run: str) -> list[Attempt]:
        rows = await self._read(lambda connection: connection.execute(loading.SQL["attempts"], (run,)).fetchall())
        return [Attempt._make(row) for row in rows]

    async def logs(self, run: str, *, operation: str | None = None, after: int = 0) -> list[tuple[int, LogLine]]:
        params = {"run": run, "operation": operation, "after": after}
        rows = await self._read(lambda connection: connection.execute(loading.SQL["logs"], params).fetchall())
        return [(number, LogLine._make(line)) for number, *line in rows]

    async def tags(self, run: str) -> dict[str, str]:
        return dict(await self._look_up(lambda connection: connection.execute(loading.SQL["tags"], (run,)).fetchall()))

    async def children(self, run: str) -> list[Run]:
        return await self._read(lambda connection: loading.rows_of(connection, Run, loading.SQL["children"], (run,)))

    async def messages(self, run: str) -> list[Message]:
        return await self._look_up(
            lambda connection: loading.rows_of(connection, Message, loading.SQL["messages"], (run,))
        )

    async def outgoing(self, *, limit: int) -> list[Outgoing]:
        rows = await self._look_up(lambda connection: connection.execute(loading.SQL["outgoing"], (limit,)).fetchall())
        return [Outgoing._make(row) for row in rows]

    async def published(self, ids: list[str]) -> None:
        if ids:
            await self._write(lambda connection: batches.put(connection, "published", batches.singles(ids)))

    async def definitions(self) -> list[Definition]:
        rows = await self._read(lambda connection: connection.execute(loading.SQL["definitions"]).fetchall())
        return [Definition._make(row) for row in rows]

    # -- from outside an engine ---------------------------------------------------------------------------------------

    async def send(self, message: Message) -> None:
        def work(connection: sqlite3.Connection) -> None:
            found = connection.execute(loading.SQL["receiver"], (message.run,)).fetchone()
            if found is None:
                raise RunNotFound(message.run, f"no run has the id {message.run!r}")
            status, priority = found
            if status in TERMINAL and message.kind != "retry":
                raise RunFinished(message.run, f"run {message.run!r} has {status} and takes no more messages")
            blobs: dict[str, str] = {}
            if batches.put(connection, "add_messages", check_in([message], blobs)):
                batches.put(connection, "put_ready", [Ready(message.run, message.at, priority)])
                batches.put_blobs(connection, blobs)

        await self._write(work)

    async def submit(self, run: NewRun, first: HistoryEvent, tags: dict[str, str]) -> bool:
        def work(connection: sqlite3.Connection) -> bool:
            blobs: dict[str, str] = {}
            if not batches.put(connection, "add_runs", check_in([run], blobs)):
                return False
            batches.put(connection, "add_history", check_in([first], blobs))
            batches.put(connection, "put_ready", [Ready(run.id, run.created_at, run.priority)])
            if tags:
                batches.put(connection, "put_tags", [(run.id, name, value) for name, value in tags.items()])
            batches.put_blobs(connection, blobs)
            return True

        return await self._write(work)

    async def check(self) -> list[str]:
        return []

    # -- turns and looks ----------------------------------------------------------------------------------------------

    async def _write(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        return await self._opened(self._writer).transaction(work)

    async def _look_up(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        return await self._opened(self._reader).look_up(work)

    async def _read(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        return await self._opened(self._reader).read(work)

    def _opened(self, part: Result | None) -> Result:
        if part is None:
            raise StoreUnavailable(f"{self.path} is not open: call open() first")
        return part

    def _open_writer(self) -> Writer:
        return Writer(self.path, lock_timeout=self._lock_timeout)


def _value(connection: sqlite3.Connection, query: str) -> int | None:
    """The only value that a query gives."""
    value: int | None = connection.execute(query).fetchone()[0]
    return value
