"""Working: the workers of a store's queues and their tasks, gathered and drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ripresa.cli.reading import opened
from ripresa.contracts.payload import load
from ripresa.contracts.worker_records import TaskRecord, WorkerRecord

if TYPE_CHECKING:
    from ripresa.cli.tables import Cell

_HEAD = ("worker", "runtime", "queues", "slots", "since", "last sign of life")
_TASK_HEAD = ("run", "step", "attempt", "queue", "worker", "state", "since")


async def workers(url: str) -> dict[str, list[Any]]:
    """All workers, and all tasks that are under way or wait for one."""
    async with opened(url) as store:
        found = [WorkerRecord.of(row, load(row.about)) for row in await store.workers()]
        tasks = []
        for state in await store.tasks():
            run = await store.get_run(state.run)
            tasks.append(TaskRecord.of(state, run_id=None if run is None else run.key or run.id))
        return {"workers": found, "tasks": tasks}


def tables(found: dict[str, list[Any]]) -> None:
    """A line a worker, then a line a task."""
    from ripresa.cli.tables import at, columns

    rows: list[list[Cell | str]] = [
        [one.name, one.runtime, ", ".join(one.queues), str(one.slots or ""), at(one.since), at(one.beat_at)]
        for one in found["workers"]
    ]
    if rows:
        columns(rows, head=_HEAD)
    tasks: list[list[Cell | str]] = [
        [
            one.run_id or one.run,
            one.step,
            str(one.attempt),
            one.queue,
            one.worker or "",
            one.state,
            at(one.claimed_at or one.at),
        ]
        for one in found["tasks"]
    ]
    if tasks:
        columns(tasks, head=_TASK_HEAD)
