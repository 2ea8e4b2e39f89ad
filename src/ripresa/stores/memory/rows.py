"""Rows as they lie here, and how a change alters them."""

from __future__ import annotations

from typing import NamedTuple, TypeVar

from ripresa.ports.rows import Micros, Run, RunChange
from ripresa.ports.tasks import Task, TaskState

Value = TypeVar("Value")


def changed(run: Run, change: RunChange) -> Run:
    """The run as it stands after the change."""
    reopened = change.finished_at == -1
    return run._replace(
        status=change.status,
        updated_at=change.updated_at,
        owner=change.owner,
        output=_or(change.output, run.output),
        error=change.error if reopened else _or(change.error, run.error),
        started_at=_or(change.started_at, run.started_at),
        finished_at=None if reopened else _or(change.finished_at, run.finished_at),
        base_seq=_or(change.base_seq, run.base_seq),
        input=_or(change.input, run.input),
        version=_or(change.version, run.version),
    )


def _or(new: Value | None, old: Value) -> Value:
    return old if new is None else new


class TaskRow(NamedTuple):
    """A task as it lies here."""

    task: Task
    worker: str | None = None
    token: str | None = None
    claimed_at: Micros | None = None
    beat_at: Micros | None = None
    lease_until: Micros | None = None
    outcome: str | None = None

    @property
    def state(self) -> TaskState:
        one = self.task
        return TaskState(
            one.id,
            one.run,
            one.operation,
            one.attempt,
            one.step,
            one.runtime,
            one.queue,
            one.at,
            self.worker,
            self.claimed_at,
            self.beat_at,
            self.lease_until,
            self.outcome,
        )
