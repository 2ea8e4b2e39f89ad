"""The catalogue: which commands there are, what each does in a line, and where its code is.

It is data, so that help and completion cost nothing: no command is imported to be listed.
"""

from __future__ import annotations

from typing import NamedTuple


class Command(NamedTuple):
    """One command; its function lives in `ripresa.cli.commands.<module>`."""

    name: str
    does: str
    module: str
    function: str


class Group(NamedTuple):
    """Commands behind one word."""

    name: str
    does: str
    commands: tuple[Command, ...]


class Section(NamedTuple):
    """A part of the help page."""

    title: str
    entries: tuple[Command | Group, ...]


RUNS = Group(
    "runs",
    "Look at runs and act on them.",
    (
        Command("list", "List runs, newest first.", "runs_look", "list_"),
        Command("show", "Show one run with its steps and their outputs.", "runs_look", "show"),
        Command("history", "Print a run's journal, event by event.", "runs_look", "history"),
    ),
)

SECTIONS = (
    Section("Run workflows", (Command("run", "Run a workflow to its end and print its result.", "run", "run"),)),
    Section("Look and act", (RUNS,)),
)

ENTRIES: dict[str, Command | Group] = {entry.name: entry for section in SECTIONS for entry in section.entries}
GROUPS: dict[str, Group] = {name: entry for name, entry in ENTRIES.items() if isinstance(entry, Group)}
