"""Looking: records of a store, read for the commands that show them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from ripresa.cli.exits import UsageProblem
from ripresa.cli.inputs import pairs
from ripresa.cli.reading import find, opened
from ripresa.cli.result import HALTED
from ripresa.contracts.records import (
    DefinitionRecord,
    HistoryRecord,
    JobRun,
    LogRecord,
    QualityRecord,
    RunExport,
    StepRecord,
    steps_of,
)
from ripresa.contracts.status import RunStatus
from ripresa.ports.store import RunFilter

if TYPE_CHECKING:
    from ripresa.ports.store import Store

_POLL_S = 0.2


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


async def lines(url: str, ref: str, step: str | None) -> list[LogRecord]:
    """What a run's steps wrote."""
    async with opened(url) as store:
        return await _lines(store, (await find(store, ref)).id, step, 0)


async def follow(url: str, ref: str, step: str | None, tell: Callable[[LogRecord], None]) -> None:
    """Tell each line as it comes, until the run stops."""
    async with opened(url) as store:
        last = 0
        while True:
            row = await find(store, ref)  # before its lines: what it wrote last is not missed
            for line in await _lines(store, row.id, step, last):
                tell(line)
                last = line.number
            if row.status in HALTED:
                return
            await asyncio.sleep(_POLL_S)


async def _lines(store: Store, run: str, step: str | None, after: int) -> list[LogRecord]:
    found = [LogRecord.of(number, line) for number, line in await store.logs(run, after=after)]
    return [line for line in found if step is None or _is_of(line.operation or "", step)]


def _is_of(operation: str, step: str) -> bool:
    """`resize` means every call of it: `resize`, `resize#2`, `item[3]/resize`."""
    return operation == step or operation.rpartition("/")[2].partition("#")[0] == step


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


async def definitions(url: str) -> list[DefinitionRecord]:
    """All versions of all definitions."""
    async with opened(url) as store:
        return [DefinitionRecord.of(row) for row in await store.definitions()]
