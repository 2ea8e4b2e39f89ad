"""`ripresa runs signal|cancel|pause|resume|retry|fork`: what people ask of runs, through the store."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer

from ripresa.cli.exits import say
from ripresa.cli.options import FormatGiven, RunArgument, StoreOption
from ripresa.cli.output import emit, write
from ripresa.cli.settings import settings


def signal(
    run: RunArgument,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The signal's name.", show_default=False)],
    value: Annotated[
        str, typer.Argument(metavar="[JSON]", help="Its value; - reads stdin.", show_default=False)
    ] = "null",
    *,
    output: FormatGiven = None,
    store: StoreOption = None,
) -> None:
    """Send a signal to a run."""
    import sys

    from ripresa.cli.inputs import json_value, require_name

    require_name(name, "NAME")
    data = json_value(sys.stdin.read() if value == "-" else value, f"signal {name}")
    _ask(run, "signal", output, store, name=name, data=data, said=f"signal {name!r} is sent")


def cancel(run: RunArgument, *, output: FormatGiven = None, store: StoreOption = None) -> None:
    """Ask a run to stop: it may still undo what it did.  A run that has ended stays as it is."""
    _ask(run, "cancel", output, store, said="cancel is sent")


def pause(run: RunArgument, *, output: FormatGiven = None, store: StoreOption = None) -> None:
    """Start nothing more of a run until it is resumed; what is under way ends and is recorded."""
    _ask(run, "pause", output, store, said="pause is sent")


def resume(run: RunArgument, *, output: FormatGiven = None, store: StoreOption = None) -> None:
    """Let a paused run go on, or try a blocked one again."""
    _ask(run, "resume", output, store, said="resume is sent")


def retry(run: RunArgument, *, output: FormatGiven = None, store: StoreOption = None) -> None:
    """Go on with a failed or cancelled run from what failed; what succeeded is not done again."""
    _ask(run, "retry", output, store, said="retry is sent")


def fork(
    run: RunArgument,
    *,
    from_step: Annotated[
        str,
        typer.Option("--from-step", metavar="STEP", help="First step to do anew, as `runs show` names it."),
    ],
    id: Annotated[str | None, typer.Option("--id", metavar="ID", help="The new run's id.")] = None,
    output: FormatGiven = None,
    store: StoreOption = None,
) -> None:
    """Start a new run with this one's history up to before a step; print the new run's id."""
    from ripresa.cli.asking import forked

    told, who = asyncio.run(forked(settings(store).store.value, run, from_step, id))
    say(f"run {told['id']} is queued: {who}")
    emit(told, output, lambda: write(str(told["id"])))


def _ask(run: str, kind: str, output: Any, store: str | None, *, said: str, **message: Any) -> None:
    from ripresa.cli.asking import asked

    told, who = asyncio.run(asked(settings(store).store.value, run, kind, **message))
    say(f"run {told['id']}: {said if told['sent'] else kind}; {who}")
    emit(told, output, lambda: None)
