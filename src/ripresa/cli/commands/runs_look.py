"""`ripresa runs list|show|history|logs|watch|export`: what the store holds, whoever owns it."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer

from ripresa.cli.exits import UsageProblem, say
from ripresa.cli.options import Format, FormatGiven, RunArgument, StoreOption
from ripresa.cli.output import chosen, emit, write, write_lines
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


def logs(
    run: RunArgument,
    *,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on until the run stops.")] = False,
    step: Annotated[
        str | None, typer.Option("--step", metavar="STEP", help="Only lines of this step or operation.")
    ] = None,
    output: FormatGiven = None,
    store: StoreOption = None,
) -> None:
    """Print what a run's steps wrote and logged."""
    from ripresa.cli import looking

    def told(line: Any) -> str:
        return f"{line.at.astimezone():%H:%M:%S} {line.operation or ''} | {line.text}"

    url, one_a_line = settings(store).store.value, chosen(output) is Format.JSONL
    if not follow:
        lines = asyncio.run(looking.lines(url, run, step))
        emit([line.model_dump(mode="json") for line in lines], output, lambda: write_lines(told(one) for one in lines))
        return
    if chosen(output) in {Format.JSON, Format.YAML}:
        raise UsageProblem("--follow has no end to close a list at: use -o text or -o jsonl")
    asyncio.run(
        looking.follow(url, run, step, lambda line: write(line.model_dump_json() if one_a_line else told(line)))
    )


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
