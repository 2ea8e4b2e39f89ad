"""Looking: records of a store, read for the commands that show them."""

from __future__ import annotations

from ripresa.cli.exits import UsageProblem
from ripresa.cli.inputs import pairs
from ripresa.cli.reading import find, opened
from ripresa.contracts.records import (
    HistoryRecord,
    JobRun,
    QualityRecord,
    RunExport,
    StepRecord,
    steps_of,
)
from ripresa.contracts.status import RunStatus
from ripresa.ports.store import RunFilter


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
        return [JobRun.of(row, tags=await store.tags(row.id)) for row in found.runs], found.cursor


async def whole(url: str, ref: str) -> tuple[JobRun, list[StepRecord], list[JobRun]]:
    """A run, its steps and its children."""
    async with opened(url) as store:
        row = await find(store, ref)
        history, attempts = await store.history(row.id, after=row.base_seq), await store.attempts(row.id)
        children = [JobRun.of(child) for child in await store.children(row.id)]
        return JobRun.of(row, tags=await store.tags(row.id)), steps_of(row, history, attempts), children


async def journal(url: str, ref: str) -> list[HistoryRecord]:
    """A run's events."""
    async with opened(url) as store:
        row = await find(store, ref)
        return [HistoryRecord.of(event) for event in await store.history(row.id)]


async def export(url: str, ref: str) -> RunExport:
    """A run with all that is known of it."""
    async with opened(url) as store:
        row = await find(store, ref)
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
        return [QualityRecord.of(row) for row in await store.quality(workflow, step, limit=limit)]
