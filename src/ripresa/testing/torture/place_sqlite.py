"""A place for torture in a folder: a file of its own beside others, and a witness that reads it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from ripresa.testing.torture.witness import ENDED, AttemptRow, Event, Mark, RunRow, TaskRow, facts

_RUNS = """
SELECT run.id, run.key, run.definition, run.status, used.label, run.input, run.output, run.error
FROM run LEFT JOIN definition AS used ON used.name = run.definition AND used.version = run.version
"""
_EVENTS_BY_ROW = "SELECT rowid, run, seq, kind, operation, name, data FROM history WHERE rowid > ? ORDER BY rowid"
_EVENTS = "SELECT run, seq, kind, operation, name, data FROM history"


class SqlitePlace:
    """The file."""

    shared = False
    encrypted = False
    books = ""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self.path = path

    def url(self, port: int | None = None) -> str:
        """The address of the store."""
        return f"sqlite:///{self.path}"

    def witness(self) -> SqliteWitness:
        """Who reads it."""
        return SqliteWitness(self.path)

    async def facts(self) -> dict[str, str]:
        """Version of the library."""
        return facts([("server", f"SQLite {sqlite3.sqlite_version}")])

    async def prepare(self) -> None:
        """The store makes all there is."""

    async def remove(self) -> None:
        """Let it be gone, with what goes with it."""
        for path in self.path.parent.glob(f"{self.path.name}*"):
            path.unlink(missing_ok=True)

    async def terminate(self, backend: int) -> bool:
        """There are no connections."""
        return False


class SqliteWitness:
    """Reads the rows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._row = 0

    async def new_events(self) -> list[Event]:
        rows = self._ask(_EVENTS_BY_ROW, self._row)
        if rows:
            self._row = rows[-1][0]
        return [Event(*row) for _, *row in rows]

    async def history(self) -> list[Event]:
        return [Event(*row) for row in self._ask(f"{_EVENTS} ORDER BY run, seq")]

    async def runs(self) -> list[RunRow]:
        return [RunRow(*row) for row in self._ask(_RUNS)]

    async def open_runs(self) -> list[tuple[str, str, str, int | None]]:
        marks = ", ".join("?" * len(ENDED))
        asked = f"SELECT id, definition, status, owner FROM run WHERE status NOT IN ({marks}) ORDER BY id"  # noqa: S608 - ours
        return self._ask(asked, *ENDED)

    async def attempts(self) -> list[AttemptRow]:
        asked = "SELECT run, generation, operation, number, status FROM attempt"
        return [AttemptRow(*row) for row in self._ask(asked)]

    async def tasks(self) -> list[TaskRow]:
        return [TaskRow(*row) for row in self._ask("SELECT id, run, runtime, worker, outcome FROM task")]

    async def books(self) -> list[str]:
        return []

    async def granted(self, pool: str) -> int:
        rows = self._ask("SELECT count(*) FROM ticket WHERE pool = ? AND granted_at IS NOT NULL", pool)
        return int(rows[0][0]) if rows else 0

    async def mark(self, engine: int) -> Mark:
        """An engine's number is its epoch: a higher one has taken the file over."""
        marks = ", ".join("?" * len(ENDED))
        owned = f"SELECT count(*) FROM run WHERE owner = ? AND status NOT IN ({marks})"  # noqa: S608 - ours
        [(epoch, batch)] = self._ask("SELECT epoch, last_batch FROM engine")
        [(number,)] = self._ask(owned, engine, *ENDED)
        return Mark(epoch != engine, batch if epoch == engine else None, number)

    async def unlocked(self) -> bool:
        with closing(sqlite3.connect(self._path, isolation_level=None, timeout=0)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return False
            connection.execute("ROLLBACK")
            return True

    async def close(self) -> None:
        """Nothing is held."""

    def _ask(self, question: str, *values: Any) -> list[tuple[Any, ...]]:
        return ask(self._path, question, values)


def ask(path: Path, question: str, values: Iterable[Any] = ()) -> list[tuple[Any, ...]]:
    """Rows of a file that an engine may be writing; none, if the tables are not there yet."""
    if not path.exists():
        return []
    with closing(sqlite3.connect(path, timeout=30)) as connection:
        try:
            return connection.execute(question, tuple(values)).fetchall()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):  # killed before it had made them
                return []
            raise
