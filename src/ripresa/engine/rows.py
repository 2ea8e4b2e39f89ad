"""Rows: small readings of what the store keeps, used by more than one part of the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ripresa.contracts.payload import load
from ripresa.ports.store import NewRun, Run

if TYPE_CHECKING:
    import asyncio


def seed_of(run: Run | NewRun) -> str | None:
    """What the run's random numbers are derived from, if not its own id (a fork has its origin's)."""
    return load(run.memo).get("seed") if run.memo else None


def as_run(new: NewRun) -> Run:
    """The row that a new run has once it is written."""
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
        started_at=new.created_at,
        finished_at=None,
        updated_at=new.created_at,
        memo=new.memo,
    )


def settle(future: asyncio.Future[Any], value: Any) -> None:
    """Resolve a future that its waiter may have given up."""
    if not future.done():
        future.set_result(value)
