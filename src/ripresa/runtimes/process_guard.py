"""The guard: a small process that ends an engine's workers, and all they started, when the engine is gone.

It is told the process groups to watch over (`+123 mark`, `-123`, a line each; the mark may be empty) and reads until
the end of its input, which comes when the engine ends in whatever way, `kill -9` included.  A mark is a file named by
the variable `JOB_OUTPUT` in the environment of a job: processes that left the group are known by it, and its folder is
cleared away.  The guard imports nothing of ours, so that it is up in milliseconds and holds little memory.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterable, Iterator

VARIABLE = b"JOB_OUTPUT="


def groups_left(orders: Iterable[bytes]) -> dict[int, bytes]:
    """The process groups that were named and not taken back, with their marks."""
    groups: dict[int, bytes] = {}
    for order in orders:
        sign, (group, _, mark) = order[:1], order[1:].rstrip(b"\n").partition(b" ")
        if sign == b"+":
            groups[int(group)] = mark
        else:
            groups.pop(int(group), None)
    return groups


def bearers(mark: bytes) -> Iterator[int]:
    """Processes with this mark in their environment, wherever they went; Linux only."""
    with contextlib.suppress(OSError):
        for entry in os.scandir("/proc"):
            if entry.name.isdigit():
                with contextlib.suppress(OSError), open(f"/proc/{entry.name}/environ", "rb") as environ:  # noqa: PTH123 - pathlib takes longer to import than all else
                    if VARIABLE + mark in environ.read().split(b"\0"):
                        yield int(entry.name)


def end(group: int, mark: bytes) -> None:
    """Kill the group and those that bear the mark; clear the mark's folder away."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
    if not mark:
        return
    for process in bearers(mark):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(process, signal.SIGKILL)
    with contextlib.suppress(OSError):
        os.unlink(mark)  # noqa: PTH108 - as above
    with contextlib.suppress(OSError):
        os.rmdir(os.path.dirname(mark))  # noqa: PTH106, PTH120 - as above


def main() -> None:
    for ending in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(ending, signal.SIG_IGN)  # it ends with the engine, not before
    for group, mark in groups_left(sys.stdin.buffer).items():
        end(group, mark)


if __name__ == "__main__":
    main()
