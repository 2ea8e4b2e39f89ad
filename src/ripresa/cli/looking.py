"""Looking: records of a store, read for the commands that show them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ripresa.cli.exits import UsageProblem
from ripresa.cli.inputs import pairs
from ripresa.cli.process import now_us
from ripresa.cli.reading import find, opened
from ripresa.contracts.exports import RunExport
from ripresa.contracts.records import HistoryRecord, JobRun, OutgoingRecord, QualityRecord
from ripresa.contracts.status import RunStatus, StepStatus
from ripresa.contracts.step_records import StepRecord, steps_of
from ripresa.ports.reading import RunFilter

if TYPE_CHECKING:
    from ripresa.ports.rows import Attempt, HistoryEvent, Run
    from ripresa.ports.store import Store

_OUTGOING_MAX = 100_000
"""So many are looked through for those that are wanted."""


def run_filter(status: list[str], workflow: str | None, tag: list[str], id_prefix: str | None) -> RunFilter:
    """A store's filter from options.  Raises UsageProblem for a status that does not exist."""
    from ripresa.cli.nearest import did_you_mean

    known = [one.value for one in RunStatus]
    for one in status:
        if one not in known:
            raise UsageProblem(f"--status {one}: no such status{did_you_mean(one, known)}")
    tags = tuple(sorted(pairs(tag, "--tag").items()))
    return RunFilter(tuple(status), workflow, None, tags, id_prefix)


async def page(url: str, where: RunFilter, limit: int, cursor: str | None) -> tuple[list[JobRun], str | None]:
    """Runs, newest first, and the cursor of the next page."""
    async with opened(url) as store:
        try:
            found = await store.list_runs(where, limit=limit, cursor=cursor)
        except ValueError as error:
            raise UsageProblem(f"--cursor: {error}") from None
        why = await why_they_wait(store, found.runs)
        runs = [JobRun.of(row, tags=await store.tags(row.id), reason=why.get(row.id)) for row in found.runs]
        return runs, found.cursor


async def unknown(url: str, workflow: str) -> str | None:
    """What to tell of a workflow of which no run was found; None: it was run at some time."""
    from ripresa.cli.nearest import did_you_mean

    async with opened(url) as store:
        known = {row.name for row in await store.definitions()}
    return None if workflow in known else f"no workflow {workflow!r} was run yet{did_you_mean(workflow, known)}"


async def whole(url: str, ref: str) -> tuple[JobRun, list[StepRecord], list[JobRun]]:
    """A run, its steps and its children."""
    async with opened(url) as store:
        row = await find(store, ref)
        history, attempts = await store.history(row.id, after=row.base_seq), await store.attempts(row.id)
        children = [JobRun.of(child) for child in await store.children(row.id)]
        why = await why_they_wait(store, [row])
        run = JobRun.of(row, tags=await store.tags(row.id), reason=why.get(row.id))
        return run, await steps_standing(store, row, history, attempts), children


async def steps_standing(
    store: Store, row: Run, history: list[HistoryEvent], attempts: list[Attempt]
) -> list[StepRecord]:
    """The steps of a run; those that wait for a pool or another engine say why."""
    from ripresa.cli.pooling import waits_of
    from ripresa.engine.reasons import label_waits

    steps = {step.operation: step for step in steps_of(row, history, attempts)}
    if row.finished_at is not None:
        return list(steps.values())
    waits = [(name, wait.step, wait.reason) for name, wait in (await waits_of(store, row.id)).items()]
    waits += [(wait.operation, wait.step, wait.reason) for wait in await label_waits(store, row)]
    for operation, step, reason in waits:
        queued = StepRecord(operation=operation, step=step, status=StepStatus.QUEUED, attempts=0)
        said = {"status": queued.status, "reason": reason}
        steps[operation] = steps.get(operation, queued).model_copy(update=said)
    return list(steps.values())


async def why_they_wait(store: Store, rows: list[Run]) -> dict[str, str]:
    """Why these runs wait, by UUID."""
    from ripresa.engine.reasons import why_runs_wait

    return await why_runs_wait(store, rows, await store.time() or now_us())


async def journal(url: str, ref: str) -> list[HistoryRecord]:
    """A run's events."""
    async with opened(url) as store:
        row = await find(store, ref)
        return [HistoryRecord.of(event) for event in await store.history(row.id)]


async def export(url: str, ref: str) -> RunExport:
    """A run with all that is known of it."""
    async with opened(url) as store:
        return await exported(store, await find(store, ref))


async def exported(store: Store, row: Run) -> RunExport:
    """The same of a run that was found."""
    return RunExport.of(
        row,
        history=list(await store.history(row.id)),
        attempts=list(await store.attempts(row.id)),
        children=list(await store.children(row.id)),
        tags=await store.tags(row.id),
    )


async def quality(url: str, workflow: str, step: str | None, limit: int) -> list[QualityRecord]:
    """What a workflow's steps measured, newest first.  Raises UsageProblem for a workflow that was never run."""
    from ripresa.cli.nearest import did_you_mean

    async with opened(url) as store:
        known = {row.name for row in await store.definitions()}
        if workflow not in known:
            raise UsageProblem(f"no workflow {workflow!r} was run yet{did_you_mean(workflow, known)}")
        rows = await store.quality(workflow, step, limit=limit)
        ids = await _ids(store, {row.run for row in rows})
        return [QualityRecord.of(row, run_id=ids.get(row.run)) for row in rows]


async def outgoing(url: str, ref: str | None, kind: str | None, limit: int) -> list[OutgoingRecord]:
    """Events that runs (or this one) have published and nobody has taken, oldest first; of a type, if given.

    Raises RunNotFound.
    """
    async with opened(url) as store:
        run = None if ref is None else (await find(store, ref)).id
        everything = run is None and kind is None
        rows = [
            row
            for row in await store.outgoing(limit=limit if everything else _OUTGOING_MAX)
            if run in (None, row.run) and kind in (None, row.type)
        ][:limit]
        ids = await _ids(store, {row.run for row in rows})
        return [OutgoingRecord.of(row, run_id=ids.get(row.run)) for row in rows]


async def _ids(store: Store, uuids: set[str]) -> dict[str, str]:
    """The ids that these runs were given at start, by UUID."""
    found = [await store.get_run(uuid) for uuid in uuids]
    return {run.id: run.key or run.id for run in found if run is not None}
