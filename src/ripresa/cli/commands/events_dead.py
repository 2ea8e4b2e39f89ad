"""`ripresa events dead list|show|retry|discard`: events that wait for a person's decision."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from ripresa.cli.exits import say
from ripresa.cli.options import FormatGiven, StoreOption
from ripresa.cli.output import emit
from ripresa.cli.settings import settings

PlaceOption = Annotated[
    str | None, typer.Option("--place", metavar="PLACE", help="Only those that came from there, or were to go there.")
]
CodeOption = Annotated[str | None, typer.Option("--reason", metavar="WORD", help="Only those for this reason.")]
IdsArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[ID]...", help="Of dead letters, as listed.", show_default=False)
]
AllOption = Annotated[bool, typer.Option("--all", help="All that --place and --reason leave.")]


def list_(
    *,
    place: PlaceOption = None,
    reason: CodeOption = None,
    limit: Annotated[int, typer.Option("--limit", min=1, metavar="N", help="How many, the last tried first.")] = 50,
    output: FormatGiven = None,
    store: StoreOption = None,
) -> None:
    """List the events that nobody could take, and why."""
    from ripresa.cli import eventing

    found = asyncio.run(eventing.dead(settings(store).store.value, place, reason, limit))
    shown = [one.model_dump(mode="json", exclude={"body", "encoding"}) for one in found]
    emit(shown, output, lambda: eventing.dead_table(found))
    if not found:
        say("there are no dead letters")


def show(
    id: Annotated[str, typer.Argument(metavar="ID", help="Of a dead letter, as listed.", show_default=False)],
    *,
    output: FormatGiven = None,
    store: StoreOption = None,
) -> None:
    """Show one, with the event as it came or would have gone."""
    from ripresa.cli import eventing

    found = asyncio.run(eventing.dead_one(settings(store).store.value, id))
    emit(found.model_dump(mode="json"), output, lambda: eventing.dead_page(found))
    say(f"try it again:  ripresa events dead retry {id}\nforget it:     ripresa events dead discard {id}")


def retry(
    ids: IdsArgument = None,
    *,
    every: AllOption = False,
    place: PlaceOption = None,
    reason: CodeOption = None,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="PLACE", help="Where they came from, or are to go, has this name by now."),
    ] = None,
    output: FormatGiven = None,
    store: StoreOption = None,
) -> None:
    """Have them tried again, by a worker that takes from there or publishes; what is taken then is gone from here."""
    done = _decided("retry", ids, place, reason, every=every, to=to, store=store)
    say(f"{_count(done)} will be tried again, as soon as a worker of that place runs")
    emit(done, output, lambda: None)


def discard(
    ids: IdsArgument = None,
    *,
    every: AllOption = False,
    place: PlaceOption = None,
    reason: CodeOption = None,
    output: FormatGiven = None,
    store: StoreOption = None,
) -> None:
    """Forget them for good."""
    done = _decided("discard", ids, place, reason, every=every, store=store)
    say(f"{_count(done)} discarded")
    emit(done, output, lambda: None)


def _decided(
    verb: str,
    ids: list[str] | None,
    place: str | None,
    reason: str | None,
    *,
    every: bool,
    store: str | None,
    to: str | None = None,
) -> list[str]:
    from ripresa.cli import eventing

    return asyncio.run(eventing.decide(settings(store), verb, ids or [], place, reason, every=every, to=to))


def _count(done: list[str]) -> str:
    return f"{len(done)} dead letter{'s'[: len(done) != 1]}"
