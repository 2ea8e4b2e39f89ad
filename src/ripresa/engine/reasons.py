"""Reasons: why runs, and steps of them, wait – in words, from what a store has of them.

For lists and pages, in this process and others; nothing depends on them.  Each is of the moment at which it was asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ripresa.contracts.payload import load
from ripresa.contracts.pool_records import WaitRecord
from ripresa.contracts.record_base import moment
from ripresa.contracts.status import TERMINAL, RunStatus
from ripresa.kernel.whereabouts import living, why_no_label, why_not_taken, why_orphaned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ripresa.kernel.whereabouts import Seen
    from ripresa.ports.needs import Need
    from ripresa.ports.rows import Micros, Run
    from ripresa.ports.store import Store

_STOPPED = {
    RunStatus.PAUSED: "it is paused: `ripresa runs resume {ref}` lets it go on",
    RunStatus.QUARANTINED: "it is set aside: `ripresa quarantine show {ref}` tells what may be done",
    RunStatus.BLOCKED: "its code does not fit its history: `ripresa runs resume {ref}` tries it again",
}


async def label_waits(store: Store, run: Run) -> list[WaitRecord]:
    """Steps of the run that need labels which its engine does not have, and why they wait; oldest first."""
    found = await store.needs([run.id])
    if not found or RunStatus(run.status) in TERMINAL:
        return []
    engines = living(await store.engines())
    return [
        WaitRecord(
            run=run.id,
            operation=need.operation,
            step=need.step,
            workflow=run.definition,
            labels=load(need.labels),
            priority=need.priority,
            since=moment(need.since),
            worker=run.owner,
            reason=_of_need(need, run, engines),
        )
        for need in found
    ]


async def why_runs_wait(store: Store, runs: Sequence[Run], now: Micros) -> dict[str, str]:
    """Why these runs wait, by id; those that go on, or wait for what their own code asked for, are left out."""
    open_ = [run for run in runs if RunStatus(run.status) not in TERMINAL]
    told = {run.id: _STOPPED[RunStatus(run.status)].format(ref=run.key or run.id) for run in open_ if _stopped(run)}
    told |= {run.id: why for run in open_ if (why := await _in_line(store, run)) is not None}
    rest = [run for run in open_ if run.id not in told]
    return told | (await _of_engines(store, rest, now) if rest else {})


async def _of_engines(store: Store, runs: Sequence[Run], now: Micros) -> dict[str, str]:
    ids = [run.id for run in runs]
    engines = living(await store.engines())
    needs: dict[str, Need] = {}
    for one in await store.needs(ids):
        needs.setdefault(one.run, one)
    dues = await store.dues([run.id for run in runs if run.owner is None])
    labels = {(row.name, row.version): row.label for row in await store.definitions()}
    told: dict[str, str | None] = {}
    for run in runs:
        why_not = why_not_taken(run.definition, labels.get((run.definition, run.version)), engines)
        if run.owner is not None:
            lives = any(one.number == run.owner for one in engines)
            told[run.id] = None if lives else why_orphaned(run.owner, why_not)
        elif (need := needs.get(run.id)) is not None:
            told[run.id] = f"{need.step}: {_of_need(need, run, engines)}"
        elif run.status == RunStatus.QUEUED or dues.get(run.id, now + 1) <= now:
            told[run.id] = why_not
    return {run: why for run, why in told.items() if why is not None}


def _stopped(run: Run) -> bool:
    return RunStatus(run.status) in _STOPPED


def _of_need(need: Need, run: Run, engines: Sequence[Seen]) -> str:
    return why_no_label(load(need.labels), run.definition, run.owner, engines)


async def _in_line(store: Store, run: Run) -> str | None:
    """Why a run is queued, if it waits for others of its kind."""
    if run.status != RunStatus.QUEUED:
        return None
    place = await store.place(run.id)
    if place is None or place.held:
        return None
    line = await store.line(place.line)
    goes = sum(one.held for one in line)
    before = next((number for number, one in enumerate(one for one in line if not one.held) if one.run == run.id), 0)
    ahead = f", {before} before it" if before else ""
    return f"{goes} of {place.places} of {place.line} go on{ahead}"
