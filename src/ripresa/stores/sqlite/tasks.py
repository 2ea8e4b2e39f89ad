"""Tasks and workers on SQLite: the rows, within a transaction that the caller has begun, and the port's verbs."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from ripresa.ports.lease import Lease
from ripresa.ports.rows import LogLine, Micros
from ripresa.ports.tasks import FORGOTTEN_US, Task, TaskState, WorkerState
from ripresa.stores.named_sql import NamedSql
from ripresa.stores.sqlite.batch import put
from ripresa.stores.sqlite.hold import Hold
from ripresa.stores.sqlite.owner import confirm
from ripresa.stores.texts import encodable_rows

SQL = NamedSql("ripresa.stores.sqlite", "tasks.sql")


def _lapse(connection: sqlite3.Connection, lease: Lease, task: str, now: Micros) -> bool:
    confirm(connection, lease)
    return connection.execute(SQL["lapse"], {"task": task, "now": now}).rowcount > 0


def _put_worker(connection: sqlite3.Connection, worker: WorkerState) -> None:
    connection.execute(SQL["put_worker"], worker._asdict())
    connection.execute(SQL["forget_silent_workers"], {"before": worker.beat_at - FORGOTTEN_US})


class TaskVerbs(Hold):
    """The verbs of `ports.tasks.TaskStore`, for the SQLite store."""

    async def claim_task(self, task: str, *, worker: str, token: str, now: Micros, lease_us: int) -> Task | None:
        params = {"task": task, "worker": worker, "token": token, "now": now, "until": now + lease_us}
        rows = await self._write(lambda connection: connection.execute(SQL["claim"], params).fetchall())
        return Task._make(rows[0]) if rows else None

    async def renew_task(
        self, task: str, token: str, *, now: Micros, lease_us: int, logs: Sequence[LogLine] = ()
    ) -> bool:
        return await self._told("renew", {"task": task, "token": token, "now": now, "until": now + lease_us}, logs)

    async def report_task(
        self, task: str, token: str, outcome: str, *, now: Micros, logs: Sequence[LogLine] = ()
    ) -> bool:
        return await self._told("report", {"task": task, "token": token, "now": now, "outcome": outcome}, logs)

    async def _told(self, query: str, params: dict[str, Any], logs: Sequence[LogLine]) -> bool:
        """Write it and the lines, if the token is the row's; a report that is repeated brings no lines."""
        lines = encodable_rows(logs)

        def work(connection: sqlite3.Connection) -> bool:
            known = query == "report" and connection.execute(SQL["was_reported"], params).fetchone() is not None
            kept = connection.execute(SQL[query], params).rowcount > 0
            if kept and lines and not known:
                put(connection, "add_logs", lines)
            return kept

        return await self._write(work)

    async def lapse_task(self, lease: Lease, task: str, *, now: Micros) -> bool:
        return await self._write(lambda connection: _lapse(connection, lease, task, now))

    async def task_outcomes(self, tasks: list[str]) -> dict[str, str]:
        params = {"tasks": json.dumps(tasks)}
        return dict(await self._look_up(lambda connection: connection.execute(SQL["outcomes"], params).fetchall()))

    async def tasks(self, ids: list[str] | None = None) -> list[TaskState]:
        query = "states" if ids is None else "states_of"
        params = {"tasks": json.dumps(ids)}
        rows = await self._read(lambda connection: connection.execute(SQL[query], params).fetchall())
        return [TaskState._make(row) for row in rows]

    async def put_worker(self, worker: WorkerState) -> None:
        await self._write(lambda connection: _put_worker(connection, worker))

    async def remove_worker(self, name: str) -> None:
        await self._write(lambda connection: connection.execute(SQL["remove_worker"], {"name": name}).rowcount)

    async def workers(self) -> list[WorkerState]:
        rows = await self._read(lambda connection: connection.execute(SQL["workers"]).fetchall())
        return [WorkerState._make(row) for row in rows]
