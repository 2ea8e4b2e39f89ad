"""`ripresa runs logs`: what a run's steps wrote and logged, also as it comes."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Annotated

import typer

from ripresa.cli import completing
from ripresa.cli.exits import UsageProblem, say
from ripresa.cli.options import Format, FormatGiven, RunArgument, StoreOption
from ripresa.cli.output import chosen, emit, write
from ripresa.cli.settings import settings


def logs(
    run: RunArgument,
    *,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on until the run stops.")] = False,
    job: Annotated[
        str | None, typer.Option("--job", "--step", metavar="NAME", help="Only lines of this job, step or operation.")
    ] = None,
    attempt: Annotated[
        int | None, typer.Option("--attempt", min=1, metavar="N", help="Only lines of this attempt.")
    ] = None,
    stream: Annotated[
        str | None,
        typer.Option(
            "--stream",
            metavar="STREAM",
            help="stdout, stderr, or log for what went through logging.",
            autocompletion=completing.streams,
        ),
    ] = None,
    children: Annotated[
        bool, typer.Option("--children", help="Also what the runs wrote that it started, and those that they started.")
    ] = False,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="SPAN|MOMENT", help="Only lines of the last 10m, or since a moment."),
    ] = None,
    output: FormatGiven = None,
    store: StoreOption = None,
) -> None:
    """Print what a run's steps wrote and logged.

    With --follow, lines are told as they come until the run stops.  Ctrl-C stops following, not the run.
    """
    from ripresa.cli import log_lines
    from ripresa.cli.nearest import did_you_mean

    if stream is not None and stream not in log_lines.STREAMS:
        raise UsageProblem(f"--stream {stream}: no such stream{did_you_mean(stream, log_lines.STREAMS)}")
    moment = log_lines.since_of(since, now=datetime.now(UTC))
    wanted = log_lines.Wanted(job=job, attempt=attempt, stream=stream, since=moment, children=children)
    url, printer = settings(store).store.value, log_lines.LinePrinter()
    if not follow:
        found = asyncio.run(log_lines.lines(url, run, wanted))
        emit([line.model_dump(mode="json") for line in found], output, lambda: printer.tell_all(found))
        if not found:
            say(asyncio.run(log_lines.why_none(url, run, wanted)))
        return
    if chosen(output) in {Format.JSON, Format.YAML}:
        raise UsageProblem("--follow has no end to close a list at: use -o text or -o jsonl")
    as_json = chosen(output) is Format.JSONL
    asyncio.run(
        log_lines.follow(url, run, wanted, (lambda line: write(line.model_dump_json())) if as_json else printer.tell)
    )
