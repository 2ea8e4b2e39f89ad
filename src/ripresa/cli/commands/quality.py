"""`ripresa quality`: what a workflow's steps measured of their data, run after run."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from ripresa.cli.exits import say
from ripresa.cli.options import FormatGiven, StoreOption
from ripresa.cli.output import emit
from ripresa.cli.settings import settings


def quality(
    workflow: Annotated[str, typer.Argument(metavar="WORKFLOW", help="The workflow's name.", show_default=False)],
    step: Annotated[
        str | None, typer.Argument(metavar="[STEP]", help="One of its steps; all, if left out.", show_default=False)
    ] = None,
    *,
    limit: Annotated[int, typer.Option("--limit", min=1, metavar="N", help="How many, the newest first.")] = 20,
    output: FormatGiven = None,
    store: StoreOption = None,
) -> None:
    """List what the steps of a workflow measured of their data, newest first."""
    from ripresa.cli import looking, tables

    found = asyncio.run(looking.quality(settings(store).store.value, workflow, step, limit))
    shown = [one.model_dump(mode="json") for one in found]
    emit(shown, output, lambda: tables.quality(found) if found else say("nothing was measured yet"))
