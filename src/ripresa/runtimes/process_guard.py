"""The guard: a small process that ends an engine's workers, and all they started, when the engine is gone.

It is told the process groups to watch over (`+123`, `-123`, a line each) and reads until the end of
its input, which comes when the engine ends in whatever way, `kill -9` included.  It imports nothing of
ours, so that it is up in milliseconds and holds little memory.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterable


def groups_left(orders: Iterable[bytes]) -> set[int]:
    """The process groups that were named and not taken back."""
    groups: set[int] = set()
    for order in orders:
        sign, group = order[:1], int(order[1:])
        if sign == b"+":
            groups.add(group)
        else:
            groups.discard(group)
    return groups


def main() -> None:
    for ending in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(ending, signal.SIG_IGN)  # it ends with the engine, not before
    for group in groups_left(sys.stdin.buffer):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    main()
