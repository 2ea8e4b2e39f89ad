"""What may be written without a lease: messages to runs, and new runs for an engine to take up.

Every function works within a transaction that the caller has begun.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from ripresa.contracts.errors import RunFinished, RunNotFound
from ripresa.contracts.status import TERMINAL
from ripresa.ports.rows import Definition, HistoryEvent, Message, NewRun, Ready
from ripresa.stores.callers import NO_TRANSACTION
from ripresa.stores.payloads import check_in
from ripresa.stores.sqlite.batch import put, put_blobs
from ripresa.stores.sqlite.loading import SQL


def require_transaction(connection: object, path: Path) -> None:
    """Raise TypeError or ValueError unless this is a connection to the file, in a transaction."""
    if not isinstance(connection, sqlite3.Connection):
        raise TypeError(f"connection: a sqlite3.Connection to {path} is wanted, not {type(connection).__name__}")
    file = next((file for _, name, file in connection.execute("PRAGMA database_list") if name == "main"), "")
    if not file or not Path(file).exists() or not path.samefile(file):
        raise ValueError(
            f"connection: it is to {file or 'no file'}, and the store is {path}: they must be one database"
        )
    if not connection.in_transaction:
        raise ValueError(NO_TRANSACTION)


def send(connection: sqlite3.Connection, message: Message) -> None:
    """Keep the message and wake its run; a message that is known is let be."""
    found = connection.execute(SQL["receiver"], (message.run,)).fetchone()
    if found is None:
        raise RunNotFound(message.run, f"no run has the id {message.run!r}")
    status, priority = found
    if status in TERMINAL and message.kind != "retry":
        raise RunFinished(message.run, f"run {message.run!r} has {status} and takes no more messages")
    if put(connection, "add_messages", [message]):
        put(connection, "put_ready", [Ready(message.run, message.at, priority)])


def submit(
    connection: sqlite3.Connection,
    run: NewRun,
    first: HistoryEvent,
    tags: dict[str, str],
    definition: Definition | None,
) -> bool:
    """Create the run, ready now, and keep its definition; False if its id or key exists."""
    blobs: dict[str, str] = {}
    if not put(connection, "add_runs", check_in([run], blobs)):
        return False
    put(connection, "add_history", check_in([first], blobs))
    put(connection, "put_ready", [Ready(run.id, run.created_at, run.priority)])
    if tags:
        put(connection, "put_tags", [(run.id, name, value) for name, value in tags.items()])
    if definition is not None:
        put(connection, "add_definitions", [definition])
    put_blobs(connection, blobs)
    return True
