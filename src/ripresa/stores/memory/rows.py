"""How a run's row comes to be, and how a change alters it."""

from __future__ import annotations

from typing import TypeVar

from ripresa.ports.rows import NewRun, Run, RunChange

Value = TypeVar("Value")


def created(new: NewRun) -> Run:
    """The run as it stands once it is created."""
    return Run(
        id=new.id,
        key=new.key,
        definition=new.definition,
        version=new.version,
        status=new.status,
        priority=new.priority,
        input=new.input,
        output=None,
        error=None,
        parent=new.parent,
        parent_operation=new.parent_operation,
        correlation_id=new.correlation_id,
        owner=new.owner,
        base_seq=0,
        created_at=new.created_at,
        started_at=new.started_at,
        finished_at=None,
        updated_at=new.created_at,
        memo=new.memo,
    )


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
