"""`ripresa check`: settings, store, workflow code – and whether open runs fit the code on disk."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer

from ripresa.cli.exits import FAILED, USAGE, Ended, UsageProblem
from ripresa.cli.options import FormatGiven, StoreOption
from ripresa.cli.output import emit, write
from ripresa.cli.settings import settings


def check(
    target: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TARGET]...", help="Workflows to look at; all of ripresa.toml, if left out.", show_default=False
        ),
    ] = None,
    *,
    against: Annotated[
        str | None,
        typer.Option("--against", metavar="URL", help="Replay every open run of this store against the code on disk."),
    ] = None,
    output: FormatGiven = None,
    store: StoreOption = None,
) -> None:
    """Check settings, store and workflow code; with --against, whether the runs in flight fit the code.

    Ends with 1 if a store is damaged or a run does not fit, with 2 if workflow code does what a replay cannot repeat.
    """
    if against is not None:
        _against(against, target or [], output)
        return
    from ripresa.cli.checking import checked

    found = asyncio.run(checked(settings(store), target or []))
    emit(found, output, lambda: _write(found))
    if any(one["findings"] for one in found["workflows"]):
        raise Ended(USAGE)
    if found["store"]["problems"]:
        raise Ended(FAILED)


def _write(found: dict[str, Any]) -> None:
    from ripresa.cli.tables import Cell, columns

    rows = [(one["name"], str(one["value"]), Cell(one["origin"], "2")) for one in found["settings"]]
    columns(rows, head=("setting", "value", "from"))
    source = found["store"]
    said = "does not exist yet" if not source["exists"] else "nothing is wrong"
    write("")
    columns([(f"store {source['url']}", problem) for problem in source["problems"] or [said]])
    columns(
        [
            (f"workflow {one['workflow']}", Cell(finding, "31" if one["findings"] else ""))
            for one in found["workflows"]
            for finding in one["findings"] or ["nothing is wrong"]
        ]
    )


def _against(url: str, targets: list[str], output: Any) -> None:
    from ripresa.cli import tables
    from ripresa.cli.compatibility import verdicts
    from ripresa.cli.exits import say
    from ripresa.cli.target import all_of

    set_up = settings()
    targets = targets or list(set_up.workflows)
    if not targets:
        raise UsageProblem("check --against: name the code to check, as shop.py, or register workflows in ripresa.toml")
    found = asyncio.run(verdicts(url, all_of(targets, set_up.workflows)))

    def text() -> None:
        rows = [(one["run"], one["workflow"], tables.status_cell(one["verdict"]), one["why"] or "") for one in found]
        tables.columns(rows, head=("run", "workflow", "verdict", "why") if rows else ())

    emit(found, output, text)
    misfits = sum(one["verdict"] != "compatible" for one in found)
    say(f"{len(found)} open run{'s'[: len(found) != 1]}, {misfits} not compatible")
    if misfits:
        raise Ended(FAILED)
