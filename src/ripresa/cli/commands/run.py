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
        help="file.py:workflow, module:workflow, a file.py with one workflow, or a name registered in ripresa.toml.",
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
    from ripresa.cli.inputs import input_text, pairs
    from ripresa.cli.result import write_result
    from ripresa.cli.target import workflow_of

    set_up = settings(store)
    found = workflow_of(target, set_up.workflows)
    given = bool(param) or input is not None
    text = input_text(found.chosen, param or [], input) if given or id is None else None
    order = Order(found, text, id, priority, pairs(tag or [], "--tag"))
    if detach:
        left = asyncio.run(leave(order, set_up))
        emit(left.model_dump(mode="json"), output, lambda: write(left.id))
        return
    ended = asyncio.run(carry_out(order, set_up))
    emit(ended, output, lambda: write_result(ended))
