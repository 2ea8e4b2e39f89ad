"""Submitting: a new run put into the store without executing it; the next engine takes it up."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ripresa.cli.exits import UsageProblem
from ripresa.contracts.errors import RunConflict
from ripresa.contracts.payload import dump
from ripresa.contracts.status import RunStatus
from ripresa.engine.rows import definition_row, run_key
from ripresa.engine.sources import SystemSources
from ripresa.kernel import history as h
from ripresa.ports.rows import HistoryEvent, NewRun

if TYPE_CHECKING:
    from ripresa.ports.rows import Definition, Run
    from ripresa.ports.store import Store


async def submitted(
    store: Store, workflow: Any, text: str, *, key: str | None, priority: int, tags: dict[str, str]
) -> Run:
    """The new run, on disk; or the one that the definition's own key says is the same.

    Raises RunConflict if its id was taken meanwhile.
    """
    if key is None and (derived := run_key(workflow, text, time.time_ns() // 1000)) is not None:
        known = await store.get_run(derived)
        if known is not None:
            return known
        key = derived
    priority = priority or getattr(workflow, "priority", 0)
    new = _new(workflow.name, workflow.version, text, key=key, priority=priority)
    return await _submit(store, new, _first(new, new.created_at), tags, definition_row(workflow, new.created_at))


async def forked(store: Store, run: Run, from_step: str, *, key: str | None) -> Run:
    """A new run that an engine gives `run`'s history up to before `from_step`.  Raises UsageProblem, RunConflict."""
    events = await store.history(run.id, after=run.base_seq)
    known = [event.operation for event in events if event.kind in {h.STEP_COMPLETED, h.STEP_FAILED}]
    if not any(event.operation == from_step and event.kind in h.OUTCOMES for event in events):
        have = ", ".join(str(operation) for operation in known) or "none"
        raise UsageProblem(f"--from-step {from_step}: run {run.key or run.id!r} has no outcome of it (it has: {have})")
    memo = {"forked_from": run.id, "from_step": from_step, "seed": _seed(run)}
    new = _new(run.definition, run.version, run.input or "{}", key=key, priority=run.priority)
    new = new._replace(memo=dump(memo), correlation_id=run.correlation_id)
    return await _submit(store, new, events[0]._replace(run=new.id, seq=1), {})


def _new(definition: str, version: str, text: str, *, key: str | None, priority: int) -> NewRun:
    run_id = SystemSources().new_id()
    now = time.time_ns() // 1000
    status = RunStatus.QUEUED.value
    return NewRun(run_id, key, definition, version, status, priority, text, None, None, run_id, None, now)


def _first(new: NewRun, at: int) -> HistoryEvent:
    return HistoryEvent(new.id, 1, h.RUN_STARTED, at, None, new.definition, None, None, None, None, None)


def _seed(run: Run) -> str:
    from ripresa.contracts.payload import load

    known = load(run.memo).get("seed") if run.memo else None
    return known or run.id


async def _submit(
    store: Store, new: NewRun, first: HistoryEvent, tags: dict[str, str], definition: Definition | None = None
) -> Run:
    if not await store.submit(new, first, tags, definition):
        raise RunConflict(new.key or new.id, f"a run with id {new.key!r} exists: choose another id")
    run = await store.get_run(new.id)
    assert run is not None  # noqa: S101 - it was just written
    return run
