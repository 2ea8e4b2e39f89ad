"""`ripresa quarantine list|show|release|override|discard`: runs that wait for a person's decision."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer

from ripresa.cli.exits import say
from ripresa.cli.options import FormatGiven, RunArgument, StoreOption
from ripresa.cli.output import emit, write
from ripresa.cli.settings import settings


def list_(
    *,
    limit: Annotated[int, typer.Option("--limit", metavar="N", help="How many at the most.")] = 50,
    output: FormatGiven = None,
    store: StoreOption = None,
) -> None:
    """List the runs that are set aside, and why."""
    from ripresa.cli import looking, tables

    where = looking.run_filter(["quarantined"], None, [], None)
    runs, following = asyncio.run(looking.page(settings(store).store.value, where, limit, None))

    def text() -> None:
        rows = [(one.id, one.definition, tables.at(one.updated_at), tables.why(one.error)) for one in runs]
        tables.columns(rows, head=("run", "workflow", "since", "why") if rows else ())

    emit([run.model_dump(mode="json") for run in runs], output, text)
    if not runs:
        say("no run is quarantined")
    elif following is not None:
        say(f"more: ripresa runs list --status quarantined --cursor {following}")


def show(run: RunArgument, *, output: FormatGiven = None, store: StoreOption = None) -> None:
    """Show what was set aside, with every attempt at it."""
    from ripresa.cli import looking, tables
    from ripresa.contracts.records import AttemptRecord

    export = asyncio.run(looking.export(settings(store).store.value, run))
    aside = [event for event in export.history if event.kind == "quarantined"]
    last = aside[-1] if export.run.status == "quarantined" and aside else None
    operation = None if last is None else last.operation
    since, attempts = export.base_seq, export.attempts
    tries: list[AttemptRecord] = [one for one in attempts if (one.generation, one.operation) == (since, operation)]
    told = {
        "run": export.run.model_dump(mode="json"),
        "operation": operation,
        "error": None if last is None or last.error is None else last.error.model_dump(mode="json"),
        "attempts": [one.model_dump(mode="json") for one in tries],
    }

    def text() -> None:
        tables.run(export.run, [], [])
        if tries:
            write("")
            tables.attempts(tries)
        trace = getattr(None if last is None else last.error, "traceback", None)
        if trace:
            write(f"\n{str(trace).rstrip()}")

    emit(told, output, text)
    if last is None:
        say(f"run {export.run.id} is {export.run.status}, not quarantined")
    else:
        ref = export.run.id
        say(f"repeat it:  ripresa quarantine release {ref}\nanswer for it:  ripresa quarantine override {ref} JSON")
        say(f"let it fail:  ripresa quarantine discard {ref}")


def release(run: RunArgument, *, output: FormatGiven = None, store: StoreOption = None) -> None:
    """Repeat the step that was set aside."""
    _decide(run, {}, output, store, "release is sent: the step is repeated")


def override(
    run: RunArgument,
    value: Annotated[str, typer.Argument(metavar="JSON", help="The output to go on with.", show_default=False)],
    *,
    output: FormatGiven = None,
    store: StoreOption = None,
) -> None:
    """Go on with this output in place of the step's own."""
    from ripresa.cli.inputs import json_value
    from ripresa.contracts.payload import dump

    data = {"output": dump(json_value(value, "override"))}
    _decide(run, data, output, store, "override is sent: the run goes on with that output")


def discard(run: RunArgument, *, output: FormatGiven = None, store: StoreOption = None) -> None:
    """Let the step that was set aside fail."""
    _decide(run, {"discard": True}, output, store, "discard is sent: the step fails")


def _decide(run: str, data: dict[str, Any], output: Any, store: str | None, said: str) -> None:
    from ripresa.cli.asking import asked

    told, who = asyncio.run(asked(settings(store).store.value, run, "release", data=data))
    say(f"run {told['id']}: {said}; {who}")
    emit(told, output, lambda: None)
