"""Room in the journal's file, made before commits need it.

A commit that makes the journal (WAL) longer waits for two things: its pages, and the file system's own
record of the new length.  Where the length is there already, only the pages go to the disk, in
half the time (ext4, xfs).  PostgreSQL does the same with its WAL segments.

What is appended is zeros.  SQLite's recovery stops at the first frame whose salt and checksum are
not the journal's own (https://sqlite.org/fileformat2.html#the_write_ahead_log, 4.4), so zeros are the
end of it.  The file is opened with O_APPEND: whatever another writer does at the same moment, zeros
are never written over a frame.  SQLite keeps no lock on this file that closing it could drop.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

COMMITS_BEFORE = 48
"""A store that is written less than this is left as it is: making room costs more than it saves."""

_CHUNK = bytes(1 << 20)


def make_room(database: Path, length: int) -> None:
    """Let the journal's file be `length` bytes long; without room on the disk it is left as it is."""
    with suppress(OSError):
        file = os.open(f"{database}-wal", os.O_WRONLY | os.O_APPEND)
        try:
            while (left := length - os.fstat(file).st_size) > 0:
                os.write(file, _CHUNK[:left])
                _sync(file)  # piece by piece: a commit at the same moment waits for one piece only
        finally:
            os.close(file)


def _sync(file: int) -> None:
    getattr(os, "fdatasync", os.fsync)(file)
