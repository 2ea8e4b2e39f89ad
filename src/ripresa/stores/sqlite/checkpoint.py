"""Checkpoints: moving what was committed from the journal (WAL) into the database file.

SQLite would do it inside the COMMIT that makes the journal long, and that commit would wait for all of it.  Here:

    commits   ──────────────────────────|──| |──────────────────   the journal starts over
    far       ........[ most of it ]....|  | |
    rest                                |[_]|   between two transactions

A thread with its own connection moves most of it while commits go on.  But each of them adds to the
journal, so that it would never be empty; therefore the next transaction first lets the little that is
left be moved.  Invariant: no checkpoint runs on the event loop's thread.

How long the journal is, only a checkpoint can tell; until then it is guessed from the rows
written, by the measure of the last time.
"""

from __future__ import annotations

import sqlite3
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from ripresa.stores.sqlite.file import connect
from ripresa.stores.sqlite.journal import COMMITS_BEFORE, make_room

PAGES = 4_000
"""A journal of this length is moved: 16 MB."""

JOURNAL_BYTES_MAX = 64 * 1024 * 1024
"""What is kept of the journal's file when it starts over; it grows past it only while a reader holds it."""

_ROOM_BYTES = 20 * 1024 * 1024  # as long as the journal becomes, in quiet times, before it is moved
_ROWS_MIN = 1_000
_ROWS_MAX = 1_000_000
_ROWS_PER_COMMIT = 3  # what a commit writes besides, counted in rows


class Checkpoints:
    """Decides when, and does the first part."""

    def __init__(self, path: Path) -> None:
        self.rest_is_due = False
        """The thread is done: `finish` before the next transaction."""
        self._path = path
        self._rows = 0
        self._rows_due = _ROWS_MIN
        self._commits = 0
        self._pages_left = 0
        self._thread = ThreadPoolExecutor(1, "ripresa-checkpoint")
        self._running: Future[None] | None = None
        self._connection: sqlite3.Connection | None = None

    def wrote(self, rows: int) -> None:
        """Take note of a commit, and set the thread going if the journal must be long."""
        self._rows += rows + _ROWS_PER_COMMIT
        self._commits += 1
        if self._commits == COMMITS_BEFORE:
            self._thread.submit(make_room, self._path, _ROOM_BYTES)
        if self._rows >= self._rows_due and (self._running is None or self._running.done()):
            rows, self._rows = self._rows, 0
            self._running = self._thread.submit(self._move_most, rows)

    def finish(self, connection: sqlite3.Connection) -> None:
        """Move the rest, while the connection is in no transaction; then the next one starts the journal over."""
        self.rest_is_due = False
        pages, moved = _checkpoint(connection, "PASSIVE")
        self._pages_left = 0 if pages == moved else pages

    def close(self, connection: sqlite3.Connection) -> None:
        """Move everything, if nobody is in the way, and let go of the file."""
        self._thread.shutdown()
        if self._connection is not None:
            self._connection.close()
        _checkpoint(connection, "TRUNCATE")

    def _move_most(self, rows: int) -> None:
        if self._connection is None:
            self._connection = connect(self._path)
        pages, _ = _checkpoint(self._connection, "PASSIVE")
        grown = max(1, pages - self._pages_left if pages >= self._pages_left else pages)
        self._rows_due = min(max(_ROWS_MIN, rows * PAGES // grown), _ROWS_MAX)
        self._pages_left = pages
        self.rest_is_due = pages >= PAGES // 2


def _checkpoint(connection: sqlite3.Connection, kind: str) -> tuple[int, int]:
    """Pages in the journal, and how many of them are moved; the others stay there, and safe."""
    try:
        _, pages, moved = connection.execute(f"PRAGMA wal_checkpoint({kind})").fetchone()
    except sqlite3.Error:
        return 0, 0  # a disk that fails says so at the next commit, to one who can act on it
    return int(pages), int(moved)
