"""Tasks and workers on PostgreSQL: the port's verbs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ripresa.ports.lease import Lease
from ripresa.ports.rows import LogLine, Micros
from ripresa.ports.tasks import FORGOTTEN_US, Task, TaskState, WorkerState
from ripresa.stores.named_sql import NamedSql
from ripresa.stores.postgres.batch import packed
from ripresa.stores.postgres.hold import Hold, call
from ripresa.stores.postgres.texts import storable_value

SQL = NamedSql("ripresa.stores.postgres", "tasks.sql")

_RENEW = call("renew_task_1", 5)
_REPORT = call("report_task_1", 7)
_LAPSE = call("lapse_task_1", 3)


class TaskVerbs(Hold):
    """The verbs of `ports.tasks.TaskStore`, for the PostgreSQL store."""

    async def claim_task(self, task: str, *, worker: str, token: str, now: Micros, lease_us: int) -> Task | None:
        params = (task, worker, token, now, now + lease_us)
        row = await self._again(self._idlest(), lambda one: one.fetchrow(SQL["claim"], *params))
        return None if row is None else Task(*row)

    async def renew_task(
        self, task: str, token: str, *, now: Micros, lease_us: int, logs: Sequence[LogLine] = ()
    ) -> bool:
        params = (task, token, now, now + lease_us, packed(storable_value(list(logs))))
        kept: bool = await self._again(self._idlest(), lambda one: one.fetchval(_RENEW, *params))
        return kept

    async def report_task(
        self, task: str, token: str, outcome: str, *, now: Micros, logs: Sequence[LogLine] = ()
    ) -> bool:
        lines = packed(storable_value(list(logs)))
        params = (*self._signature(), task, token, now, storable_value(outcome), lines)
        kept: bool = await self._again(self._idlest(), lambda one: one.fetchval(_REPORT, *params))
        if kept:
            self._tell_all()
        return kept

    async def lapse_task(self, lease: Lease, task: str, *, now: Micros) -> bool:
        gone: bool = await self._as_owner(lease, lambda one: one.fetchval(_LAPSE, lease.engine, task, now))
        return gone

    async def task_outcomes(self, tasks: list[str]) -> dict[str, str]:
        return dict(await self._look(lambda one: one.fetch(SQL["outcomes"], tasks)))

    async def tasks(self, ids: list[str] | None = None) -> list[TaskState]:
        params = () if ids is None else (ids,)
        query = "states" if ids is None else "states_of"
        return [TaskState(*row) for row in await self._look(lambda one: one.fetch(SQL[query], *params))]

    async def put_worker(self, worker: WorkerState) -> None:
        async def put(connection: Any) -> None:
            await connection.execute(SQL["put_worker"], *worker)
            await connection.execute(SQL["forget_silent_workers"], worker.beat_at - FORGOTTEN_US)

        await self._again(self._idlest(), put)

    async def remove_worker(self, name: str) -> None:
        await self._again(self._idlest(), lambda one: one.execute(SQL["remove_worker"], name))

    async def workers(self) -> list[WorkerState]:
        return [WorkerState(*row) for row in await self._look(lambda one: one.fetch(SQL["workers"]))]
