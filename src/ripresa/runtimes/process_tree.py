"""Who descends from a process: to end also those of its children that left its process group.

Read from `/proc`, so this sees nothing elsewhere than on Linux; there the group alone must do.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

_PARENT, _STARTED = 1, 19  # fields of /proc/PID/stat, counted after the name


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process for certain: numbers are used again, but not with the same start."""

    pid: int
    started: int

    def send(self, signal: int) -> None:
        """Send it, unless the process has ended."""
        if (known := _look_up(self.pid)) is not None and known[0] == self:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(self.pid, signal)


def descendants(pid: int) -> set[ProcessId]:
    """Children, their children and so on, as they are now; those whose parent has ended are not seen."""
    children: dict[int, list[ProcessId]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        if (known := _look_up(int(entry.name))) is not None:
            process, parent = known
            children.setdefault(parent, []).append(process)
    found: set[ProcessId] = set()
    waiting = [pid]
    while waiting:
        for child in children.pop(waiting.pop(), ()):
            found.add(child)
            waiting.append(child.pid)
    return found


def _look_up(pid: int) -> tuple[ProcessId, int] | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    fields = stat[stat.rindex(b")") + 2 :].split()  # the name may hold spaces and brackets
    return ProcessId(pid, int(fields[_STARTED])), int(fields[_PARENT])
