"""`ripresa definitions list|show|diff`: the workflows that a store has seen, in all their versions."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated

import typer

from ripresa.cli import completing
from ripresa.cli.exits import FAILED, Ended, UsageProblem, say
from ripresa.cli.options import FormatGiven, StoreOption
from ripresa.cli.output import emit, write, write_lines
from ripresa.cli.settings import settings


def list_(*, output: FormatGiven = None, store: StoreOption = None) -> None:
    """List the workflows that were run, with every version of them and its runs by status."""
    from ripresa.cli import defining, tables

    found = asyncio.run(defining.known(settings(store).store.value))
    shown = [one.to_json() for one in found]
    emit(shown, output, lambda: tables.definitions(found) if found else say("no workflow was run yet"))


def show(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME[@VERSION]",
            help="The workflow; its newest version, or this.",
            show_default=False,
            autocompletion=completing.definitions,
        ),
    ],
    *,
    version: Annotated[
        str | None, typer.Option("--version", metavar="VERSION", help="Hash, its beginning, or label.")
    ] = None,
    body: Annotated[bool, typer.Option("--body", help="Print nothing but the body.")] = False,
    output: FormatGiven = None,
    store: StoreOption = None,
) -> None:
    """Show a version of a workflow: its schemas, its runs by status, and its body – YAML of a file, else its source."""
    from ripresa.cli import defining, tables

    name, _, wanted = name.partition("@")
    if wanted and version:
        raise UsageProblem(f"{name}@{wanted} and --version {version}: name one version")
    known = asyncio.run(defining.known(settings(store).store.value, name))
    found = defining.version_of(known, wanted or version)
    one = found.record

    def text() -> None:
        if not body:
            facts = [("workflow", one.name), ("version", one.version), ("label", one.label or ""), ("kind", one.kind)]
            facts += [("first used", tables.at(one.created_at)), ("runs", tables.counts(found.runs))]
            facts += [("input", tables.inline(one.input_schema)), ("output", tables.inline(one.output_schema))]
            tables.columns([(tables.Cell(what, "2"), told) for what, told in facts])
            write("")
        write(defining.body_text(one.kind, one.body).rstrip())

    emit(found.to_json(whole=True), output, text)


def diff(
    what: Annotated[
        str,
        typer.Argument(
            metavar="NAME|FILE",
            help="A workflow of the store, or a definition file.",
            show_default=False,
            autocompletion=completing.definitions,
        ),
    ],
    versions: Annotated[
        list[str] | None,
        typer.Argument(metavar="V1 V2", help="Hashes, their beginnings, or labels.", show_default=False),
    ] = None,
    *,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="End with 1 if anything differs.")] = False,
    output: FormatGiven = None,
    store: StoreOption = None,
) -> None:
    """Show what differs between two versions of a workflow, as a unified diff.

    Without versions, between the last two; with one, between that and the newest.  For a file (or file.py:workflow),
    between the store's newest version, or the one named, and the file.
    """
    from ripresa.cli import defining

    set_up = settings(store)
    compared = defining.compared(set_up.store.value, what, versions or [], set_up.workflows)
    name, older, newer = asyncio.run(compared)
    lines = defining.unified(older, newer)
    same = older.version == newer.version
    told = {"workflow": name, "from": older.version, "to": newer.version, "same": same, "diff": "\n".join(lines)}
    emit(told, output, lambda: write_lines(_coloured(lines)))
    if same:
        say(f"{older.what} and {newer.what} are the same")
    elif not lines:
        say(f"{older.what} and {newer.what} differ in what their text does not show, such as a label")
    if exit_code and not same:
        raise Ended(FAILED)


_COLOURS = {"+": "32", "-": "31", "@": "36"}


def _coloured(lines: list[str]) -> list[str]:
    from ripresa.cli.screen import wants_colour

    if not wants_colour(sys.stdout):
        return lines
    return [
        f"\033[{'1' if line.startswith(('---', '+++')) else _COLOURS[line[0]]}m{line}\033[0m"
        if line[:1] in _COLOURS
        else line
        for line in lines
    ]
