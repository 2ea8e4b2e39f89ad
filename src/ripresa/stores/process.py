"""Which process this is, so that another one on the same machine can tell that it is gone.

A process number alone does not say it: numbers are used again.  Number, start time and boot
together do.  Where the system does not tell them (no `/proc`), only "no process has this number"
counts, and the rest is left to the lease.
"""

from __future__ import annotations

import os
import socket
from functools import cache
from pathlib import Path
from typing import NamedTuple


class Process(NamedTuple):
    """A process, told apart from every other one on its machine."""

    host: str
    boot: str
    """Changes when the machine starts anew; empty: not known."""
    namespace: str
    """Process numbers mean something only within it (containers); empty: not known."""
    pid: int
    started: int
    """Clock ticks since boot; 0: not known."""


def this_process() -> Process:
    """The process that asks."""
    boot, namespace = _surroundings()
    return Process(socket.gethostname(), boot, namespace, os.getpid(), _started(os.getpid()) or 0)


def is_gone(process: Process, *, here: Process) -> bool:
    """Whether the process has surely ended, as far as can be told from `here`."""
    if process.host != here.host:
        return False
    if process.boot and here.boot and process.boot != here.boot:
        return True
    if process.namespace != here.namespace:
        return False
    return not _runs(process)


def _runs(process: Process) -> bool:
    if process.started and Path("/proc/self/stat").exists():
        return _started(process.pid) == process.started
    try:
        os.kill(process.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _started(pid: int) -> int | None:
    """Start time in ticks; None: no such process, or it has died and only waits for its parent's notice."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # the name before it may hold blanks and brackets
    state, started = fields[0], int(fields[19])
    return None if state in "ZX" else started


@cache
def _surroundings() -> tuple[str, str]:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        return boot, str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return "", ""
