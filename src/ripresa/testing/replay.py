"""Replay: a recorded run's code, driven again by its history, here and now, so that a debugger can follow.

    await export_history(app, "order-7")      # or a store, and the run's UUID
    replay("order-7.json", fulfil)            # breakpoints in fulfil stop where they always do

Nothing is written and no step is called: outcomes come from the file.  The file is JSON: `run` has the
fields of the run's row, `history` its events since the run began (or last began anew), oldest first.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ripresa.contracts.errors import Diverged, RunNotFound, UnknownDefinition
from ripresa.contracts.failure import Failure
from ripresa.kernel import commands as c
from ripresa.kernel import guard
from ripresa.kernel import history as h
from ripresa.kernel.live import LiveRun
from ripresa.ports.store import HistoryEvent, Run

if TYPE_CHECKING:
    import os

    from ripresa.engine.app import App
    from ripresa.ports.store import Store

FORMAT = 1
_EVENT_FIELDS = tuple(field for field in HistoryEvent._fields if field != "run")


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
    """A run and its history as `replay` reads them; `run` is a handle, the id given at start or the UUID.

    Raises RunNotFound.
    """
    store: Any = getattr(source, "store", None) or source
    ref = run if isinstance(run, str) else run.uuid
    row: Run | None = await store.get_run(ref)
    if row is None:
        raise RunNotFound(ref, f"no run {ref!r} in {store.url}")
    events: list[HistoryEvent] = await store.history(row.id, after=row.base_seq)
    return {
        "format": FORMAT,
        "run": row._asdict(),
        "history": [{field: getattr(event, field) for field in _EVENT_FIELDS} for event in events],
    }


def replay(history: str | os.PathLike[str] | dict[str, Any], workflow: Any = None) -> Replayed:
    """Drive the workflow's code through a recorded history: a file that was exported, or its content.

    `workflow` may be left out if the module that defines it has been imported under its recorded name: give the
    function itself wherever you can.  Raises Diverged, naming the operation, the line of code that asked for
    something else and what history holds; UnknownDefinition if `workflow` is not the one that was recorded; ValueError
    if the file is not an exported history.
    """
    run, events = _read(history)
    workflow = _require_workflow(run, workflow)
    guard.install()
    seed = (json.loads(run.memo) if run.memo else {}).get("seed")
    live = LiveRun(
        run.id,
        workflow,
        run.input or "{}",
        correlation_id=run.correlation_id,
        name=run.key or run.id,
        tracing=True,
        seed=seed,
    )
    try:
        live.replay(events)
        replayed = _state(live, workflow)
        _require_same_end(run, events, replayed)
    finally:
        live.discard()
    return replayed


def _read(history: str | os.PathLike[str] | dict[str, Any]) -> tuple[Run, list[HistoryEvent]]:
    data: Any = history if isinstance(history, dict) else json.loads(Path(history).read_text(encoding="utf-8"))
    try:
        if data.get("format", FORMAT) > FORMAT:
            raise ValueError(
                f"format {data['format']} is newer than this ripresa, which reads {FORMAT}: upgrade ripresa"
            )
        row = {field: data["run"].get(field) for field in Run._fields}
        run = Run(**{**row, "base_seq": row["base_seq"] or 0})
        events = [
            HistoryEvent(run=run.id, **{field: event.get(field) for field in _EVENT_FIELDS})
            for event in data["history"]
        ]
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"this is not an exported history: {error!r}; make one with `ripresa runs export`") from None
    if not events:
        raise ValueError("the history is empty: the run has not begun")
    return run, events


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
    waits = f"and waits for {', '.join(replayed.waits_for)}" if replayed.waits_for else f"and is {replayed.status}"
    where = f"run {run.key or run.id} no longer fits its code"
    message = f"{where}: history ends with {finished.name!r}, the code goes on {waits}"
    raise Diverged(message, operation=(*replayed.waits_for, "?")[0], line="", recorded=str(finished.name))
