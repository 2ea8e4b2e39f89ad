"""`ripresa engine list|show|watch|drain`: the engines of a store."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from ripresa.cli.exits import say
from ripresa.cli.options import FormatGiven, StoreOption
from ripresa.cli.output import emit
from ripresa.cli.settings import settings

NumberArgument = Annotated[
    int, typer.Argument(metavar="NUMBER", help="Number of the engine, as `list` tells it.", show_default=False)
]


def list_(
    *,
    every: Annotated[bool, typer.Option("--all", help="Also those that are gone, as long as they are known.")] = False,
    output: FormatGiven = None,
    store: StoreOption = None,
) -> None:
    """List the engines that are at work on the store: who they are, and what they can run."""
    from ripresa.cli import engines, tables

    found = asyncio.run(engines.engines(settings(store).store.value, every=every))
    emit(found, output, lambda: tables.columns(engines.rows(found), head=engines.HEAD if found else ()))
    if not found:
        say("no engine is at work: `ripresa worker TARGET` is one")


def show(number: NumberArgument, *, output: FormatGiven = None, store: StoreOption = None) -> None:
    """Show one engine: its process, its lease, and the versions of definitions that it has."""
    from ripresa.cli import engines, tables

    found = asyncio.run(engines.engine(settings(store).store.value, number))
    emit(found, output, lambda: tables.columns(engines.facts(found)))


def watch(*, store: StoreOption = None) -> None:
    """Follow the engines of a store until Ctrl-C.

    On a terminal they are drawn over themselves; in a pipe they are written again whenever they have changed.
    """
    from ripresa.cli import engines

    asyncio.run(engines.watch(settings(store).store.value))


def drain(number: NumberArgument, *, store: StoreOption = None) -> None:
    """Have an engine take nothing more, let its steps end, and pass its runs on to the others."""
    from ripresa.cli import engines

    say(asyncio.run(engines.drain(settings(store).store.value, number)))
