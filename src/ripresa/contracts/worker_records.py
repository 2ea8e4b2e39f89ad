"""Workers and their tasks as programs read them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self

from pydantic import Field

from ripresa.contracts.record_base import Record, maybe_moment, moment


class WorkerRecord(Record):
    """A process that carries out steps and jobs for engines."""

    name: str
    runtime: str
    host: str | None = None
    pid: int | None = None
    queues: list[str] = Field(default_factory=list)
    slots: int | None = None
    """How much it carries out at a time."""
    since: datetime
    beat_at: datetime
    """When it last gave a sign of life."""

    @classmethod
    def of(cls, row: Any, about: dict[str, Any]) -> Self:
        """From a store's `WorkerState` and what that tells of itself."""
        told = {name: about[name] for name in ("host", "pid", "queues", "slots") if name in about}
        return cls(name=row.name, runtime=row.runtime, since=moment(row.since), beat_at=moment(row.beat_at), **told)


class TaskRecord(Record):
    """An attempt of a step that a worker carries out, or is to."""

    id: str
    run: str
    """UUID of the run."""
    run_id: str | None = None
    step: str
    attempt: int
    queue: str
    state: str
    """waiting | running | reported"""
    worker: str | None = None
    at: datetime
    """When it was put out."""
    claimed_at: datetime | None = None
    beat_at: datetime | None = None

    @classmethod
    def of(cls, row: Any, *, run_id: str | None = None) -> Self:
        """From a store's `TaskState`."""
        state = "waiting" if row.worker is None else "running" if row.outcome is None else "reported"
        return cls(
            id=row.id,
            run=row.run,
            run_id=run_id,
            step=row.step,
            attempt=row.attempt,
            queue=row.queue,
            state=state,
            worker=row.worker,
            at=moment(row.at),
            claimed_at=maybe_moment(row.claimed_at),
            beat_at=maybe_moment(row.beat_at),
        )
