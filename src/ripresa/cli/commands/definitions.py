"""`ripresa definitions list|show`: the workflows that a store has seen, in all their versions."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from ripresa.cli.exits import UsageProblem, say
from ripresa.cli.options import FormatGiven, StoreOption
from ripresa.cli.output import emit, write
from ripresa.cli.settings import settings


def list_(*, output: FormatGiven = None, store: StoreOption = None) -> None:
    """List the workflows that were run, with every version of them."""
    from ripresa.cli import looking, tables

    found = asyncio.run(looking.definitions(settings(store).store.value))
    short = [one.model_dump(mode="json", exclude={"body", "input_schema", "output_schema"}) for one in found]
    emit(short, output, lambda: tables.definitions(found) if found else say("no workflow was run yet"))


def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The workflow's name.", show_default=False)],
    *,
    version: Annotated[
        str | None, typer.Option("--version", metavar="VERSION", help="Hash or label; the newest, if left out.")
    ] = None,
    output: FormatGiven = None,
    store: StoreOption = None,
) -> None:
    """Show a version of a workflow: its schemas and its source."""
    from ripresa.cli import looking, tables
    from ripresa.cli.nearest import did_you_mean

    known = asyncio.run(looking.definitions(settings(store).store.value))
    named = [one for one in known if one.name == name]
    found = [one for one in named if version in {None, one.version, one.label}]
    if not named:
        raise UsageProblem(f"no workflow {name!r} was run yet{did_you_mean(name, {one.name for one in known})}")
    if not found:
        raise UsageProblem(f"{name} has no version {version!r} (it has: {', '.join(one.version for one in named)})")
    one = found[-1]

    def text() -> None:
        facts = [("workflow", one.name), ("version", one.version), ("label", one.label or ""), ("kind", one.kind)]
        facts += [("input", tables.inline(one.input_schema)), ("output", tables.inline(one.output_schema))]
        tables.columns([(tables.Cell(what, "2"), told) for what, told in facts])
        write(f"\n{one.body.rstrip()}")

    emit(one.model_dump(mode="json"), output, text)
