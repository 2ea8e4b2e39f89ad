"""The engine's end of `process_guard`, which ends what we started if this process is killed."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from pathlib import Path


class Guard:
    """Started when first needed.  A `mark` is the value of `JOB_OUTPUT` by which a job's processes are known."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Be ready.  Raises OSError if the machine has no process left."""
        self._process = self._process or _start_guard()

    def watch(self, group: int, mark: str = "") -> None:
        """End this process group, and whoever bears the mark, should we be killed."""
        self._tell(b"+%d %s\n" % (group, mark.encode()))

    def forget(self, group: int) -> None:
        """The group has ended."""
        self._tell(b"-%d\n" % group)

    async def close(self) -> None:
        """Let the guard go; closing twice is fine."""
        await asyncio.to_thread(self.close_now)

    def close_now(self) -> None:
        """The same, for who has no loop: wait for its end."""
        if (process := self._process) is None:
            return
        self._process = None
        assert process.stdin is not None  # noqa: S101 - narrows a type
        process.stdin.close()
        process.wait()

    def _tell(self, order: bytes) -> None:
        if self._process is None:
            return
        assert self._process.stdin is not None  # noqa: S101 - narrows a type
        with contextlib.suppress(BrokenPipeError):  # somebody killed it: Linux still ends our workers with us
            self._process.stdin.write(order)


def _start_guard() -> subprocess.Popen[bytes]:
    file = Path(__file__).with_name("process_guard.py")
    return subprocess.Popen(
        [sys.executable, "-I", "-S", str(file)], stdin=subprocess.PIPE, bufsize=0, start_new_session=True
    )
