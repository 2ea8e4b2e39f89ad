"""`ripresa run`: start a workflow or attach to a run, show it, print its result."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from ripresa.cli.options import FormatGiven, StoreOption
from ripresa.cli.output import emit, write
from ripresa.cli.settings import settings

Target = Annotated[
    str,
    typer.Argument(
        metavar="TARGET",
        help="definition.yaml, file.py:workflow, module:workflow, a file.py with one workflow, or a registered name.",
        show_default=False,
    ),
]


def run(
    target: Target,
    *,
    param: Annotated[
        list[str] | None, typer.Option("-p", "--param", metavar="KEY=VALUE", help="A parameter; may be repeated.")
    ] = None,
    input: Annotated[
        str | None, typer.Option("--input", metavar="FILE", help="Parameters as a JSON file; - reads stdin.")
    ] = None,
    id: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="The run's id; the id of a run that exists attaches to it.")
    ] = None,
    date: Annotated[
        str | None,
        typer.Option("--date", metavar="DATE", help="The run's logical date: 2026-01-31, or with a time."),
    ] = None,
    runtime: Annotated[
        str | None,
        typer.Option(
            "--runtime", metavar="RUNTIME", help="Where the jobs of a definition file run: process, container …"
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done: order, commands, dates, environment.")
    ] = False,
    follow: Annotated[
        bool, typer.Option("--follow", help="Show what the steps write, line by line, instead of the tree.")
    ] = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="Only put the run into the store; an engine takes it up.")
    ] = False,
    priority: Annotated[int, typer.Option("--priority", metavar="N", help="Higher goes first.")] = 0,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", metavar="KEY=VALUE", help="A tag to search by; may be repeated.")
    ] = None,
    output: FormatGiven = None,
    store: StoreOption = None,
) -> None:
    """Run a workflow to its end and print its result.

    Progress goes to stderr, the result to stdout.  Ctrl-C detaches: the run stays in the store and goes on when it
    is attached to with --id, or when a worker runs.
    """
    from ripresa.cli.executing import Order, carry_out, leave
    from ripresa.cli.inputs import input_text, pairs, require_fit_to_start
    from ripresa.cli.result import write_result
    from ripresa.cli.target import workflow_of

    set_up = settings(store)
    found = workflow_of(target, set_up.workflows, runtime=runtime)
    params = [*(param or []), *([f"execution_date={date}"] if date is not None else [])]
    given = bool(params) or input is not None
    text = input_text(found.chosen, params, input) if given or id is None or dry_run else None
    tags = pairs(tag or [], "--tag")
    require_fit_to_start(id, priority, tags)
    order = Order(found, text, id, priority, tags, follow)
    if dry_run:
        from ripresa.cli.dry_running import planned, write_plan

        plan = planned(order)
        emit(plan, output, lambda: write_plan(plan))
        return
    if detach:
        left = asyncio.run(leave(order, set_up))
        emit(left.model_dump(mode="json"), output, lambda: write(left.id))
        return
    ended = asyncio.run(carry_out(order, set_up))
    emit(ended, output, lambda: write_result(ended))
