"""The effect ledger: what the outside world saw of every step, written by the steps themselves.

One append-only file, a JSON object a line.  A line is one `write` to a file opened with O_APPEND, which other processes
do not tear; it outlives the process, as the kernel holds it from then on, and nobody here pulls the plug: no fsync.
Times are nanoseconds of the machine's monotonic clock, the same for all processes.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

PATH_VARIABLE = "RIPRESA_TORTURE_LEDGER"
LIFE_VARIABLE = "RIPRESA_TORTURE_LIFE"

Line = dict[str, Any]

_open: dict[int, int] = {}


def note(what: str, **values: object) -> None:
    """Write a line: of a step begin, end or fail; of an engine what it does; ack of a run that was started."""
    process = os.getpid()
    if process not in _open:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        _open[process] = os.open(os.environ[PATH_VARIABLE], flags, 0o644)
    line = {"what": what, "life": int(os.environ[LIFE_VARIABLE]), "pid": process, "at": time.monotonic_ns(), **values}
    os.write(_open[process], (json.dumps(line) + "\n").encode())


def payload_hash(*payload: object) -> str:
    """What tells one payload from another."""
    return hashlib.sha256(json.dumps(payload).encode()).hexdigest()[:16]


def read(path: Path) -> list[Line]:
    """All lines, in the order of writing."""
    return Tail(path).more()


class Tail:
    """Reads the lines that have come since the last look."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._rest = b""

    def more(self) -> list[Line]:
        """The new lines, in the order of writing."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._offset)
            text = self._rest + file.read()
            self._offset = file.tell()
        *lines, self._rest = text.split(b"\n")
        return [json.loads(line) for line in lines]
