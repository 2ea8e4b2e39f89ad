"""`ripresa runs list|show|history`: what the store holds."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer

from ripresa.cli import tables
from ripresa.cli.exits import UsageProblem, say
from ripresa.cli.inputs import pairs
from ripresa.cli.options import FormatGiven, RunArgument, StoreOption
from ripresa.cli.output import emit
from ripresa.cli.reading import find, opened
from ripresa.cli.settings import settings
from ripresa.contracts.records import HistoryRecord, JobRun, steps_of


def list_(
    *,
    status: Annotated[
        list[str] | None, typer.Option("--status", metavar="STATUS", help="Only runs in this status; may be repeated.")
    ] = None,
    workflow: Annotated[
        str | None, typer.Option("--workflow", metavar="NAME", help="Only runs of this workflow.")
    ] = None,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", metavar="KEY=VALUE", help="Only runs with this tag; may be repeated.")
    ] = None,
    id_prefix: Annotated[
        str | None, typer.Option("--id-prefix", metavar="TEXT", help="Only runs whose id begins so.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", help="How many at the most.")] = 50,
    cursor: Annotated[
        str | None, typer.Option("--cursor", metavar="CURSOR", help="Go on after the page that ended with this.")
    ] = None,
    output: FormatGiven = None,
    store: StoreOption = None,
) -> None:
    """List runs, newest first."""
    from ripresa.engine.handles import run_filter

    try:
        where = run_filter(status=status, workflow=workflow, tags=pairs(tag or [], "--tag"), id_prefix=id_prefix)
    except ValueError as error:
        raise UsageProblem(f"--status: {error}") from None
    if limit < 1:
        raise UsageProblem(f"--limit {limit}: must be 1 or more")

    async def read() -> Any:
        async with opened(settings(store).store.value) as source:
            page = await source.list_runs(where, limit=limit, cursor=cursor)
            return [JobRun.of(row, tags=await source.tags(row.id)) for row in page.runs], page.cursor

    runs, following = asyncio.run(read())
    emit([run.model_dump(mode="json") for run in runs], output, lambda: tables.runs(runs))
    if following is not None:
        say(f"more: --cursor {following}")


def show(run: RunArgument, output: FormatGiven = None, store: StoreOption = None) -> None:
    """Show one run with its steps and their outputs."""

    async def read() -> Any:
        async with opened(settings(store).store.value) as source:
            row = await find(source, run)
            steps = steps_of(row, await source.history(row.id, after=row.base_seq), await source.attempts(row.id))
            children = [JobRun.of(child) for child in await source.children(row.id)]
            return JobRun.of(row, tags=await source.tags(row.id)), steps, children

    found, steps, children = asyncio.run(read())
    told = found.model_dump(mode="json")
    told["steps"] = [step.model_dump(mode="json") for step in steps]
    told["children"] = [{"id": c.id, "uuid": c.uuid, "definition": c.definition, "status": c.status} for c in children]
    emit(told, output, lambda: tables.run(found, steps, children))


def history(run: RunArgument, output: FormatGiven = None, store: StoreOption = None) -> None:
    """Print a run's journal, event by event."""

    async def read() -> Any:
        async with opened(settings(store).store.value) as source:
            row = await find(source, run)
            return [HistoryRecord.of(event) for event in await source.history(row.id)]

    events = asyncio.run(read())
    emit([event.model_dump(mode="json") for event in events], output, lambda: tables.history(events))
