"""Replay: a recorded run's code, driven again by its history, here and now, so that a debugger can follow.

    ripresa runs export order-7 --output order-7.json
    replay("order-7.json", fulfil)            # breakpoints in fulfil stop where they always do

Nothing is written and no step is called: outcomes come from the file.  The call is an ordinary one, on the caller's
own stack, with or without an event loop around it.
"""

from __future__ import annotations

import bdb
import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ripresa.contracts.errors import Diverged, RunNotFound, UnknownDefinition
from ripresa.contracts.exports import ExportedEvent, RunExport
from ripresa.contracts.failure import Failure
from ripresa.contracts.payload import dump
from ripresa.engine.rows import generation_seed
from ripresa.kernel import commands as c
from ripresa.kernel import guard
from ripresa.kernel import history as h
from ripresa.kernel.live import LiveRun
from ripresa.ports.rows import HistoryEvent, Run

if TYPE_CHECKING:
    from ripresa.engine.app import App
    from ripresa.ports.store import Store

_ALWAYS_WITH_DATA = (h.STEP_COMPLETED, h.SIGNAL_RECEIVED, h.UPDATE_RECEIVED)
"""A missing value of these is null; other kinds need not have one."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """Where the code stands after its history.

    `status`: `succeeded`, `failed`, `cancelled`, `quarantined` or `continued` if the code ended, else `waiting`.
    `output` is the decoded output of code that succeeded, `error` the failure of code that did not, `waits_for`
    the identities of what it waits for (steps, timers, children), in the order in which it asked.
    """

    status: str
    output: Any
    error: Failure | None
    waits_for: tuple[str, ...]


async def export_history(source: App | Store, run: Any) -> dict[str, Any]:
    """What `ripresa runs export` writes, as a value; `run` is a handle, the id given at start or the UUID.

    Raises RunNotFound.
    """
    store: Any = getattr(source, "store", None) or source
    ref = run if isinstance(run, str) else run.uuid
    row: Run | None = await store.get_run(ref)
    if row is None:
        raise RunNotFound(ref, f"no run {ref!r} in {store.url}")
    export = RunExport.of(
        row,
        history=await store.history(row.id),
        attempts=await store.attempts(row.id),
        children=await store.children(row.id),
        tags=await store.tags(row.id),
    )
    return export.model_dump(mode="json")


def replay(history: str | os.PathLike[str] | dict[str, Any], workflow: Any = None) -> Replayed:
    """Drive the workflow's code through a recorded history: a file of `ripresa runs export`, or its content.

    `workflow` may be left out if the module that defines it has been imported under its recorded name: give the
    function itself wherever you can.  Raises Diverged, naming the operation, the line of code that asked for
    something else and what history holds; UnknownDefinition if `workflow` is not the one that was recorded; ValueError
    if the file is not an exported history.
    """
    run, events = _read(history)
    workflow = _require_workflow(run, workflow)
    guard.install()
    live = LiveRun(
        run.id,
        workflow,
        run.input or "{}",
        correlation_id=run.correlation_id,
        name=run.key or run.id,
        tracing=True,
        seed=generation_seed(run),
    )
    try:
        live.replay(events)
        replayed = _state(live, workflow)
        _require_same_end(run, events, replayed)
    finally:
        live.discard()
    return replayed


def _read(history: str | os.PathLike[str] | dict[str, Any]) -> tuple[Run, list[HistoryEvent]]:
    try:
        data: Any = history if isinstance(history, dict) else json.loads(Path(history).read_text(encoding="utf-8"))
        export = RunExport.model_validate(data)
    except ValueError as error:  # json's and pydantic's own are among them
        what = "this value" if isinstance(history, dict) else os.fspath(history)
        why = _first(error) if isinstance(error, ValidationError) else error
        raise ValueError(f"{what} is not an exported history ({why}); `ripresa runs export` makes one") from None
    run = _row(export)
    events = [_event(run.id, event) for event in export.history if event.seq > run.base_seq]
    if not events:
        raise ValueError(f"the history of run {export.run.id!r} is empty: the run has not begun")
    return run, events


def _first(error: ValidationError) -> str:
    problem = error.errors(include_url=False)[0]
    return ".".join(map(str, problem["loc"])) + f" {problem['msg']}"


def _row(export: RunExport) -> Run:
    run = export.run
    return Run(
        id=run.uuid,
        key=None if run.id == run.uuid else run.id,
        definition=run.definition,
        version=run.version,
        status=str(run.status),
        priority=run.priority,
        input=None if run.input is None else dump(run.input),
        output=None,
        error=None,
        parent=run.parent,
        parent_operation=None,
        correlation_id=run.correlation_id or run.uuid,
        owner=None,
        base_seq=export.base_seq,
        created_at=_micros(run.created_at),
        started_at=None,
        finished_at=None,
        updated_at=_micros(run.updated_at),
        memo=None if export.seed is None else dump({"seed": export.seed}),
    )


def _event(run: str, event: ExportedEvent) -> HistoryEvent:
    has_data = event.output is not None or event.kind in _ALWAYS_WITH_DATA
    return HistoryEvent(
        run=run,
        seq=event.seq,
        kind=event.kind,
        at=_micros(event.at),
        operation=event.operation,
        name=event.step,
        fingerprint=event.fingerprint,
        attempt=event.attempt,
        started_at=None,
        data=dump(event.output) if has_data else None,
        error=None if event.error is None else dump(event.error.model_dump()),
    )


def _micros(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def _require_workflow(run: Run, workflow: Any) -> Any:
    if workflow is None:
        workflow = _loaded(run.definition)
    if getattr(workflow, "__ripresa__", None) != "workflow" or workflow.name != run.definition:
        name = getattr(workflow, "name", workflow)
        raise UnknownDefinition(
            f"the history is of workflow {run.definition!r}, not {name!r}: pass replay(…, workflow={run.definition})"
        )
    return workflow


def _loaded(name: str) -> Any:
    """A workflow of this name among the modules that are imported; the one defined last, if there are more."""
    import sys  # noqa: PLC0415 - only to look around

    found = None
    for module in list(sys.modules.values()):
        for value in list(getattr(module, "__dict__", {}).values()):
            if getattr(type(value), "__ripresa__", None) == "workflow" and value.name == name:
                found = value
    return found


def _state(live: LiveRun, workflow: Any) -> Replayed:
    end = live.finished
    if isinstance(end, c.Finish):
        output = workflow.decode(end.output) if end.output is not None and end.status == "succeeded" else None
        error = Failure.from_json(json.loads(end.error)) if end.error else None
        return Replayed(end.status, output, error, ())
    return Replayed("continued" if end is not None else "waiting", None, None, tuple(live.operations))


def _require_same_end(run: Run, events: list[HistoryEvent], replayed: Replayed) -> None:
    """The code must end where the history does; a person's verdict on a quarantined run ends it without the code."""
    finished = next((event for event in events if event.kind == h.FINISHED), None)
    if finished is None or any(event.kind in (h.RELEASED, h.RETRIED) for event in events):
        return
    if replayed.status == finished.name:
        return
    if replayed.error is not None and replayed.error.type.endswith("BdbQuit"):
        raise bdb.BdbQuit  # who debugs it has had enough
    does = f"waits for {', '.join(replayed.waits_for) or 'a message'}"
    if replayed.status != "waiting":
        does = f"ends as {replayed.status}" + (f": {replayed.error}" if replayed.error else "")
    message = f"run {run.key or run.id} no longer fits its code: history ends with {finished.name!r}, the code {does}"
    raise Diverged(message, operation=(*replayed.waits_for, "?")[0], line="", recorded=str(finished.name))
