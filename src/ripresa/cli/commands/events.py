"""`ripresa events list`: what runs have published, and nobody has taken yet."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from ripresa.cli import completing
from ripresa.cli.exits import say
from ripresa.cli.options import FormatGiven, StoreOption
from ripresa.cli.output import emit
from ripresa.cli.settings import settings


def list_(
    *,
    run: Annotated[
        str | None,
        typer.Option("--run", metavar="RUN", help="Only those of this run.", autocompletion=completing.runs),
    ] = None,
    kind: Annotated[str | None, typer.Option("--type", metavar="TYPE", help="Only those of this type.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, metavar="N", help="How many, the oldest first.")] = 50,
    output: FormatGiven = None,
    store: StoreOption = None,
) -> None:
    """List the events that runs have published and nobody has taken yet, oldest first.

    That one was published stays in its run's journal: `ripresa runs history` tells of it for good.
    """
    from ripresa.cli import looking, tables

    found = asyncio.run(looking.outgoing(settings(store).store.value, run, kind, limit))
    shown = [one.model_dump(mode="json") for one in found]
    emit(shown, output, lambda: tables.outgoing(found) if found else say("no event waits to be taken"))
