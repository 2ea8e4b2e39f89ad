"""`ripresa runs list|show|history|watch|export`: what the store holds, whoever owns it."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from ripresa.cli.exits import UsageProblem, say
from ripresa.cli.options import FormatGiven, RunArgument, StoreOption
from ripresa.cli.output import emit, write
from ripresa.cli.settings import settings


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
        str | None, typer.Option("--id-prefix", metavar="TEXT", help="Only runs whose id begins with this.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", help="How many at the most.")] = 50,
    cursor: Annotated[
        str | None, typer.Option("--cursor", metavar="CURSOR", help="Go on behind the page that named this.")
    ] = None,
    output: FormatGiven = None,
    store: StoreOption = None,
) -> None:
    """List runs, newest first.

    When there are more than --limit, the cursor of the next page is told on stderr.
    """
    from ripresa.cli import looking, tables

    where = looking.run_filter(status or [], workflow, tag or [], id_prefix)
    if limit < 1:
        raise UsageProblem(f"--limit {limit}: must be 1 or more")
    runs, following = asyncio.run(looking.page(settings(store).store.value, where, limit, cursor))
    emit([run.model_dump(mode="json") for run in runs], output, lambda: tables.runs(runs))
    if (
        not runs
        and workflow is not None
        and (hint := asyncio.run(looking.unknown(settings(store).store.value, workflow)))
    ):
        say(hint)
    if following is not None:
        say(f"more: --cursor {following}")


def show(run: RunArgument, output: FormatGiven = None, store: StoreOption = None) -> None:
    """Show one run with its steps and their outputs."""
    from ripresa.cli import looking, tables

    found, steps, children = asyncio.run(looking.whole(settings(store).store.value, run))
    told = found.model_dump(mode="json")
    told["steps"] = [step.model_dump(mode="json") for step in steps]
    told["children"] = [{"id": c.id, "uuid": c.uuid, "definition": c.definition, "status": c.status} for c in children]
    emit(told, output, lambda: tables.run(found, steps, children))


def history(run: RunArgument, output: FormatGiven = None, store: StoreOption = None) -> None:
    """Print a run's journal, event by event."""
    from ripresa.cli import looking, tables

    events = asyncio.run(looking.journal(settings(store).store.value, run))
    emit([event.model_dump(mode="json") for event in events], output, lambda: tables.history(events))


def watch(run: RunArgument, output: FormatGiven = None, store: StoreOption = None) -> None:
    """Follow a run that another process executes, then print its result.

    Ends with the code that the run itself would have ended with.  Ctrl-C stops watching, not the run.
    """
    from ripresa.cli.result import outcome, write_result
    from ripresa.cli.watching import watched

    ended = outcome(asyncio.run(watched(settings(store).store.value, run)))
    emit(ended, output, lambda: write_result(ended))


def export(
    run: RunArgument,
    *,
    file: Annotated[
        str | None, typer.Option("--output", metavar="FILE", help="Write to this file instead of stdout.")
    ] = None,
    output: FormatGiven = None,
    store: StoreOption = None,
) -> None:
    """Write a run with its whole journal as JSON: to keep it, to send it, to replay it in a test."""
    from pathlib import Path

    from ripresa.cli import looking

    text = asyncio.run(looking.export(settings(store).store.value, run)).model_dump_json(indent=2)
    if file is None:
        import json

        emit(json.loads(text), output, lambda: write(text))
        return
    try:
        Path(file).write_text(f"{text}\n", "utf-8")
    except OSError as error:
        raise UsageProblem(f"--output {file}: {error.strerror or error}") from None
    say(f"run {run} is written to {file}")
