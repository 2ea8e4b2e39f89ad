"""`ripresa worker`: an engine that serves a store until it is told to stop."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Annotated

import typer

from ripresa.cli.exits import UsageProblem
from ripresa.cli.options import FormatGiven, StoreOption
from ripresa.cli.settings import Value, settings
from ripresa.contracts.durations import micros
from ripresa.contracts.labels import labels_of


def worker(
    target: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TARGET]...",
            help="Files, modules and names; all of ripresa.toml, if left out.",
            show_default=False,
        ),
    ] = None,
    *,
    label: Annotated[
        list[str] | None,
        typer.Option(
            "--label",
            metavar="NAME[=VALUE]",
            help="What this engine has that steps may need, as gpu or gpu=a100; may be repeated.",
        ),
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option("--concurrency", metavar="N", min=1, help="Attempts at a time on each runtime of this machine."),
    ] = None,
    lease: Annotated[
        str | None,
        typer.Option(
            "--lease", metavar="TIME", help="How long it may be silent before others take over its runs: 3s, 10s."
        ),
    ] = None,
    output: FormatGiven = None,
    store: StoreOption = None,
) -> None:
    """Execute the runs of a store until SIGTERM or Ctrl-C: those that wait, and those that others put there.

    Log lines go to stderr; with -o jsonl they are JSON objects.
    """
    from ripresa.cli.serving import serve
    from ripresa.cli.target import all_of

    set_up = settings(store)
    set_up = replace(set_up, engine={**set_up.engine, **_given(label, concurrency, lease)})
    targets = target or list(set_up.workflows)
    if not targets:
        raise UsageProblem("worker: name what to serve, as shop.py, or register workflows in ripresa.toml")
    asyncio.run(serve(set_up, all_of(targets, set_up.workflows), output))


_HERE = ("inline", "threads", "processes", "subprocesses", "containers")
"""How many attempts at a time are carried out on this machine, by runtime."""


def _given(label: list[str] | None, concurrency: int | None, lease: str | None) -> dict[str, Value]:
    """The settings of the engine that flags say.  Raises UsageProblem."""
    found: dict[str, Value] = {}
    try:
        if label:
            found["labels"] = Value(labels_of(label, where="--label"), "--label")
        if lease is not None:
            found["lease_s"] = Value(micros(lease, where="--lease") / 1e6, "--lease")
    except ValueError as error:
        raise UsageProblem(str(error)) from None
    if concurrency is not None:
        found |= dict.fromkeys(_HERE, Value(concurrency, "--concurrency"))
    return found
