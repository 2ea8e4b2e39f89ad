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
    commands: tuple[Command | Group, ...]
    within: str = ""
    """The words before its name."""


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
        Command("watch", "Follow a run that another process executes.", "runs_look", "watch"),
        Command("history", "Print a run's journal, event by event.", "runs_look", "history"),
        Command("logs", "Print what a run's steps wrote and logged.", "runs_logs", "logs"),
        Command("export", "Write a run with its whole journal as JSON.", "runs_look", "export"),
        Command("signal", "Send a signal to a run.", "runs_act", "signal"),
        Command("cancel", "Ask a run to stop.", "runs_act", "cancel"),
        Command("pause", "Start nothing more of a run.", "runs_act", "pause"),
        Command("resume", "Let a paused run go on, or try a blocked one again.", "runs_act", "resume"),
        Command("retry", "Go on with a failed run from what failed.", "runs_act", "retry"),
        Command("fork", "Start a new run that repeats this one from a step on.", "runs_act", "fork"),
    ),
)
QUARANTINE = Group(
    "quarantine",
    "Decide about runs that were set aside.",
    (
        Command("list", "List the runs that are set aside, and why.", "quarantine", "list_"),
        Command("show", "Show what was set aside, with every attempt at it.", "quarantine", "show"),
        Command("release", "Repeat the step that was set aside.", "quarantine", "release"),
        Command("override", "Go on with an output of yours in its place.", "quarantine", "override"),
        Command("discard", "Let the step fail.", "quarantine", "discard"),
    ),
)
DEFINITIONS = Group(
    "definitions",
    "Look at the workflows that a store has seen.",
    (
        Command("list", "List the workflows that were run, in all versions.", "definitions", "list_"),
        Command("show", "Show a version: its schemas, its runs, and its source.", "definitions", "show"),
        Command("diff", "Show what differs between two versions, or a file and the store.", "definitions", "diff"),
    ),
)
POOLS = Group(
    "pools",
    "Look at pools and their breakers, and change them.",
    (
        Command("list", "List the pools, what limits them, and how many wait.", "pools", "list_"),
        Command("show", "Show who holds a slot of a pool, and who waits and why.", "pools", "show"),
        Command("watch", "Follow pools as they fill and empty.", "pools", "watch"),
        Command("set", "Change what limits a pool, or make one.", "pools", "set_"),
        Command("remove", "Forget a pool: what waits for it starts.", "pools", "remove"),
        Command("trip", "Open a pool's breaker by hand.", "pools", "trip"),
        Command("reset", "Close a pool's breakers, and end its cooldowns.", "pools", "reset"),
    ),
)
ENGINE = Group(
    "engine",
    "Look at the engines of a store, and have one drain.",
    (
        Command("list", "List the engines that are at work, and what they can run.", "engine", "list_"),
        Command("show", "Show one engine.", "engine", "show"),
        Command("watch", "Follow engines as they come and go.", "engine", "watch"),
        Command("drain", "Have an engine pass its runs on and end.", "engine", "drain"),
    ),
)
QUALITY = Command("quality", "List what a workflow's steps measured of their data.", "quality", "quality")
DEAD = Group(
    "dead",
    "Decide about events that nobody could take.",
    (
        Command("list", "List the dead letters, and why they are that.", "events_dead", "list_"),
        Command("show", "Show one, with the event as it came or would have gone.", "events_dead", "show"),
        Command("retry", "Have them tried again.", "events_dead", "retry"),
        Command("discard", "Forget them for good.", "events_dead", "discard"),
    ),
    within="events",
)
EVENTS = Group(
    "events",
    "Publish events, and look at those that come and go.",
    (
        Command("list", "List the events that nobody has taken yet.", "events", "list_"),
        Command("publish", "Publish an event, as a workflow would.", "events", "publish"),
        Command("watch", "Follow events as they come and go.", "events", "watch"),
        DEAD,
    ),
)
DB = Group(
    "db",
    "Look after a store.",
    (
        Command("upgrade", "Bring a store to the schema of this ripresa.", "db", "upgrade"),
        Command("check", "Look for damage in a store.", "db", "check"),
        Command("prune", "Forget runs that ended long ago.", "db", "prune"),
        Command("archive", "Write runs that have ended to a file.", "db", "archive"),
        Command("copy", "Move a whole project to another database.", "db", "copy"),
    ),
)

SECTIONS = (
    Section(
        "Run workflows",
        (
            Command("run", "Run a workflow to its end and print its result.", "run", "run"),
            Command("worker", "Execute the runs of a store until told to stop.", "worker", "worker"),
        ),
    ),
    Section(
        "Look and act",
        (
            RUNS,
            Command("graph", "Draw a workflow's graph, and how a run of it stands.", "graph", "graph"),
            QUARANTINE,
            POOLS,
            ENGINE,
            DEFINITIONS,
            QUALITY,
            EVENTS,
            Command("workers", "List the workers of queues, and what they work on.", "workers", "workers"),
        ),
    ),
    Section(
        "Look after",
        (
            Command("check", "Check settings, store and code; or open runs against new code.", "check", "check"),
            Command("validate", "Check workflow and job files without running them.", "validate", "validate"),
            Command("explain", "Tell what a field means, or what a definition file comes to.", "explain", "explain"),
            Command("migrate", "Bring a file of an older contract up to date.", "migrate", "migrate"),
            Command("schema", "Print JSON Schemas of definition files, records and workflows.", "schema", "schema"),
            DB,
            Command("torture", "Try the engine under faults, on a database of yours.", "torture", "torture"),
        ),
    ),
)

ENTRIES: dict[str, Command | Group] = {entry.name: entry for section in SECTIONS for entry in section.entries}
GROUPS: dict[str, Group] = {name: entry for name, entry in ENTRIES.items() if isinstance(entry, Group)}
