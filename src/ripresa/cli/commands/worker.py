"""`ripresa worker`: an engine that serves a store until it is told to stop."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from ripresa.cli.exits import UsageProblem
from ripresa.cli.options import FormatGiven, StoreOption
from ripresa.cli.settings import settings


def worker(
    target: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TARGET]...",
            help="Files, modules and names; all of ripresa.toml, if left out.",
            show_default=False,
        ),
    ] = None,
    *,
    output: FormatGiven = None,
    store: StoreOption = None,
) -> None:
    """Execute the runs of a store until SIGTERM or Ctrl-C: those that wait, and those that others put there.

    Log lines go to stderr; with -o jsonl they are JSON objects.
    """
    from ripresa.cli.serving import serve
    from ripresa.cli.target import all_of

    set_up = settings(store)
    targets = target or list(set_up.workflows)
    if not targets:
        raise UsageProblem("worker: name what to serve, as shop.py, or register workflows in ripresa.toml")
    asyncio.run(serve(set_up, all_of(targets, set_up.workflows), output))
