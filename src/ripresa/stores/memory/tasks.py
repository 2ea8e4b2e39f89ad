"""Tasks and workers in memory: the port's verbs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ripresa.ports.tasks import FORGOTTEN_US, Task, TaskState, WorkerState
from ripresa.stores.memory.hold import Hold
from ripresa.stores.memory.rows import TaskRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ripresa.ports.lease import Lease
    from ripresa.ports.rows import LogLine, Micros


class TaskVerbs(Hold):
    """The verbs of `ports.tasks.TaskStore`, for the memory store."""

    async def claim_task(self, task: str, *, worker: str, token: str, now: Micros, lease_us: int) -> Task | None:
        row = self.database.tasks.get(task)
        if row is None or row.outcome is not None or row.token not in {None, token}:
            return None
        claimed_at = now if row.claimed_at is None else row.claimed_at
        self.database.tasks[task] = TaskRow(row.task, worker, token, claimed_at, now, now + lease_us)
        self._wrote()
        return row.task

    async def renew_task(
        self, task: str, token: str, *, now: Micros, lease_us: int, logs: Sequence[LogLine] = ()
    ) -> bool:
        row = self.database.tasks.get(task)
        if row is None or row.token != token or row.outcome is not None:
            return False
        self.database.tasks[task] = row._replace(beat_at=now, lease_until=now + lease_us)
        self._keep_lines(logs)
        return True

    async def report_task(
        self, task: str, token: str, outcome: str, *, now: Micros, logs: Sequence[LogLine] = ()
    ) -> bool:
        row = self.database.tasks.get(task)
        if row is None or row.token != token:
            return False
        if row.outcome is None:
            self.database.tasks[task] = row._replace(beat_at=now, outcome=outcome)
            self._keep_lines(logs)
            self._tell_others()
        return True

    def _keep_lines(self, logs: Sequence[LogLine]) -> None:
        for line in logs:
            self.database.logs[line.run].append((next(self.database.lines), line))
        self._wrote()

    async def lapse_task(self, lease: Lease, task: str, *, now: Micros) -> bool:
        self.database.confirm(lease)
        row = self.database.tasks.get(task)
        if row is None or row.outcome is not None or row.lease_until is None or row.lease_until > now:
            return False
        del self.database.tasks[task]
        self._wrote()
        return True

    async def task_outcomes(self, tasks: list[str]) -> dict[str, str]:
        rows = ((task, self.database.tasks.get(task)) for task in tasks)
        return {task: row.outcome for task, row in rows if row is not None and row.outcome is not None}

    async def tasks(self, ids: list[str] | None = None) -> list[TaskState]:
        rows = [row for task, row in self.database.tasks.items() if ids is None or task in ids]
        return [row.state for row in sorted(rows, key=lambda row: (row.task.at, row.task.id))]

    async def put_worker(self, worker: WorkerState) -> None:
        workers = self.database.workers
        workers[worker.name] = worker
        for silent in [one.name for one in workers.values() if one.beat_at < worker.beat_at - FORGOTTEN_US]:
            del workers[silent]
        self._wrote()

    async def remove_worker(self, name: str) -> None:
        self.database.workers.pop(name, None)
        self._wrote()

    async def workers(self) -> list[WorkerState]:
        return [self.database.workers[name] for name in sorted(self.database.workers)]
