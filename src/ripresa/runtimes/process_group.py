"""A group of processes that a child of ours leads: signalled as one, and killed when its leader has ended.

A dead leader stays a zombie until its group is killed: only so long is it certain that the group's number is still its
own.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading

from ripresa.runtimes.process_tree import ProcessId, descendants


class ProcessGroup:
    """The group of this leader, which was started with `start_new_session`."""

    def __init__(self, leader: subprocess.Popen[bytes]) -> None:
        self._leader = leader
        self._reaping = threading.Lock()

    def send(self, number: signal.Signals) -> None:
        """Send it to all of the group, unless the leader was reaped."""
        with self._reaping:
            if self._leader.returncode is None:
                self._send_all(number)

    def send_family(self, number: signal.Signals, *, alive: bool) -> set[ProcessId]:
        """The same, and to those who descend from an `alive` leader and have left the group; return these."""
        family = descendants(self._leader.pid) if alive else set()
        self.send(number)
        for process in family:
            process.send(number)
        return family

    def reap(self) -> None:
        """In a thread: wait until the leader has ended, and kill what is left of the group."""
        if hasattr(os, "waitid"):
            with contextlib.suppress(ChildProcessError):
                os.waitid(os.P_PID, self._leader.pid, os.WEXITED | os.WNOWAIT)
        else:  # macOS before Python 3.13
            self._leader.wait()
        with self._reaping:
            self._send_all(signal.SIGKILL)
            self._leader.wait()

    def _send_all(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._leader.pid, number)
