"""The effect ledger: what the outside world saw of every step, written by the steps themselves.

One append-only file, a JSON object a line.  A line is one `write` to a file opened with O_APPEND, which other processes
do not tear; it outlives the process, as the kernel holds it from then on, and nobody here pulls the plug: no fsync.
"""

import hashlib
import json
import os
import time
from pathlib import Path

PATH_VARIABLE = "KILL_LEDGER"
LIFE_VARIABLE = "KILL_LIFE"

_open: dict[int, int] = {}


def note(what: str, **values: object) -> None:
    """Write a line; `what` is ack, begin, end or fail."""
    process = os.getpid()
    if process not in _open:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        _open[process] = os.open(os.environ[PATH_VARIABLE], flags, 0o644)
    line = {"what": what, "life": int(os.environ[LIFE_VARIABLE]), "pid": process, "at": time.monotonic_ns(), **values}
    os.write(_open[process], (json.dumps(line) + "\n").encode())


def payload_hash(*payload: object) -> str:
    return hashlib.sha256(json.dumps(payload).encode()).hexdigest()[:16]


def read(path: Path) -> list[dict]:
    """All lines, in the order of writing."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]
