"""Rows: small readings of what the store keeps, used by more than one part of the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ripresa.contracts.payload import load
from ripresa.kernel import history as h
from ripresa.kernel.recall import what_stands
from ripresa.ports.rows import Definition, HistoryEvent, NewRun, Run

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from ripresa.ports.store import Store

_FORKED = h.OUTCOMES | {
    h.RUN_STARTED,
    h.CONTINUED,
    h.SIGNAL_RECEIVED,
    h.UPDATE_RECEIVED,
    h.UPDATE_COMPLETED,
    h.PATCH_TAKEN,
    h.NODE_SETTLED,
    h.RETRIED,
}

_READ_AT_ONCE = 500


def seed_of(run: Run | NewRun) -> str | None:
    """What the run's random numbers are derived from, if not its own id (a fork has its origin's)."""
    return load(run.memo).get("seed") if run.memo else None


def generation_seed(run: Run) -> str:
    """What a run's dice and the ids of its children are derived from: another one each time it begins anew."""
    seed = seed_of(run) or run.id
    return f"{seed}.{run.base_seq}" if run.base_seq else seed


async def first_input(store: Store, run: Run) -> str | None:
    """What the run was started with; one that has continued as new has another input since."""
    seen = 1  # a fork may begin with its origin's event of that kind
    while run.base_seq and (events := await store.history(run.id, after=seen, limit=_READ_AT_ONCE)):
        for event in events:
            if event.kind == h.CONTINUED:
                return event.data
        seen = events[-1].seq
    return run.input


def forked_history(events: Sequence[HistoryEvent], from_step: str, run_id: str) -> list[HistoryEvent] | None:
    """What a fork of a run has learnt when it begins anew with `from_step`; None: that has no outcome in `events`."""
    if not any(e.operation == from_step and e.kind in h.OUTCOMES for e in events):
        return None
    stands = what_stands(events)
    cut = next((i for i, e in enumerate(stands) if e.operation == from_step and e.kind in h.OUTCOMES), len(stands))
    kept = [e for e in stands[:cut] if e.kind in _FORKED]
    retried = next((e for e in stands[cut:] if e.kind == h.RETRIED), None)
    if retried is not None:  # what is kept is remembered, as it was by the run itself
        kept.append(retried)
    return [e._replace(run=run_id, seq=seq) for seq, e in enumerate(kept, 1)]


def set_aside(history: Sequence[HistoryEvent]) -> dict[str, Any]:
    """Steps that wait in quarantine, with the event that put them there."""
    aside: dict[str, Any] = {}
    for event in history:
        if event.kind == h.QUARANTINED and event.operation is not None:
            aside[event.operation] = event
        elif event.kind in (h.RELEASED, h.RETRIED):
            aside.clear()
        elif event.operation in aside and event.kind in h.OUTCOMES:
            del aside[event.operation]
    return aside


def as_object(text: str) -> dict[str, Any]:
    """The JSON object of a text; what is no object is told as an error's message."""
    value = load(text)
    return value if isinstance(value, dict) else {"type": "Error", "message": str(value)}


def settle(future: asyncio.Future[Any], value: Any) -> None:
    """Resolve a future that its waiter may have given up."""
    if not future.done():
        future.set_result(value)


def definition_row(workflow: Any, at: int) -> Definition:
    """What a store keeps of a definition; `at` in microseconds."""
    schemas = _schemas(workflow)
    return Definition(workflow.name, workflow.version, workflow.label, workflow.kind, workflow.body, *schemas, at)


def _schemas(workflow: Any) -> tuple[str | None, str | None]:
    import json  # noqa: PLC0415 - once a definition

    try:
        return json.dumps(workflow.signature.input_schema()), json.dumps(workflow.signature.output_schema())
    except Exception:  # noqa: BLE001 - types without a schema are allowed; they check nothing
        return None, None


def run_key(workflow: Any, text: str, now_us: int) -> str | None:
    """The id that a definition gives a run of this input (`idempotency_key`); None: it gives none."""
    of = getattr(workflow, "run_key", None)
    key: str | None = None if of is None else of(text, now_us)
    return key
