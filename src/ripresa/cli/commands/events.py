"""`ripresa events list|publish|watch`: events that wait, come and go."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from ripresa.cli import completing
from ripresa.cli.exits import say
from ripresa.cli.options import Format, FormatGiven, StoreOption
from ripresa.cli.output import chosen, emit, write
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


def publish(
    kind: Annotated[str, typer.Argument(metavar="TYPE", help="As order.placed.", show_default=False)],
    data: Annotated[
        str | None,
        typer.Argument(metavar="[JSON]", help="Its data; - reads stdin, @FILE a file.", show_default=False),
    ] = None,
    *,
    id: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="Its id; while one with it waits, it is published once.")
    ] = None,
    run: Annotated[
        str | None,
        typer.Option("--run", metavar="RUN", help="The run that it is of.", autocompletion=completing.runs),
    ] = None,
    output: FormatGiven = None,
    store: StoreOption = None,
) -> None:
    """Publish an event: it is in the outbox when this returns, and a worker hands it on.

    If a rule of [[events.consume]] has it start a workflow, its data must fit that workflow's input.
    """
    from ripresa.cli import eventing

    set_up = settings(store)
    value = eventing.data_of(data)
    fits = eventing.checked(set_up, kind, value)
    told = asyncio.run(eventing.published(set_up.store.value, kind, value, id=id, run=run))
    emit(told, output, lambda: write(told["id"]))
    say(f"event {told['id']} is in the outbox" + (f"; its data fits {', '.join(fits)}" if fits else ""))
    targets = () if set_up.events is None else set_up.events.publish
    if not any(target.wants(kind) for target in targets):
        say("no [[events.publish]] of ripresa.toml wants it: it waits for a worker whose settings do")


def watch(
    *,
    last: Annotated[int, typer.Option("--last", min=0, metavar="N", help="Begin with the last N.")] = 10,
    count: Annotated[
        int | None, typer.Option("--count", min=1, metavar="N", help="End after N.", show_default="go on until Ctrl-C")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object a line, as -o jsonl.")] = False,
    output: FormatGiven = None,
    store: StoreOption = None,
) -> None:
    """Follow events as they come and go: what waits, was handed on, started a run, or is a dead letter."""
    from ripresa.cli import eventing

    as_lines = as_json or chosen(output) is not Format.TEXT
    asyncio.run(eventing.watch(settings(store).store.value, last=last, count=count, as_lines=as_lines))
