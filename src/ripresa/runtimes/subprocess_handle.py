"""One job as a process of this machine: started, listened to, and ended with all that it started.

It leads a process group of its own, and all its processes bear a mark in their environment, so that those which left
the group are found as well.  Invariant: after `wait` or `stop` has returned, nothing of the job runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from ripresa.runtimes.output_lines import OutputLines
from ripresa.runtimes.process_group import ProcessGroup
from ripresa.runtimes.process_guard import VARIABLE, bearers
from ripresa.runtimes.process_tree import ProcessId

READ_BYTES = 1 << 16
DRAIN_READS_MAX = 64  # a pipe holds 64 KiB, 1 MiB at the most: what was written before the end

KILLS_MAX = 1000


class JobProcess:
    """A job's process; it is running when this is made.  Raises OSError if it cannot be started."""

    def __init__(
        self, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], outputs: Mapping[str, OutputLines]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._outputs = outputs
        self._mark = env[VARIABLE.decode().removesuffix("=")].encode()
        self._exited = asyncio.Event()
        self._pipes: dict[str, int] = {}
        self.heard_at = self._loop.time()
        """When it last wrote something, on the loop's clock."""
        ends: dict[str, int] = {}
        try:
            for name in outputs:
                self._pipes[name], ends[name] = os.pipe()
            self._process = subprocess.Popen(
                argv,
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=ends["stdout"],
                stderr=ends["stderr"],
                start_new_session=True,
            )
            self._group = ProcessGroup(self._process)
        except BaseException:
            self._close_pipes()
            raise
        finally:
            for end in ends.values():
                os.close(end)
        for name, pipe in self._pipes.items():
            os.set_blocking(pipe, False)
            self._loop.add_reader(pipe, self._on_output, name, pipe)
        threading.Thread(target=self._watch, name=f"ripresa-job-{self.pid}-watch", daemon=True).start()

    @property
    def pid(self) -> int:
        return self._process.pid

    async def wait(self) -> int:
        """Its exit code, when it has ended and all its output was heard; 128 + N if signal N killed it."""
        await self._exited.wait()
        code = self._process.returncode
        return code if code >= 0 else 128 - code

    async def stop(self, grace_s: float) -> None:
        """SIGTERM to the whole job, SIGKILL after the grace; returns when it is dead."""
        family = self._signal_family(signal.SIGTERM)
        try:
            async with asyncio.timeout(grace_s):
                await self._exited.wait()
        except TimeoutError:
            family |= self._signal_family(signal.SIGKILL)
            await self._exited.wait()
        for process in family:
            process.send(signal.SIGKILL)
        await asyncio.to_thread(self._kill_bearers)

    # --- listening -------------------------------------------------------------------------

    def _on_output(self, name: str, pipe: int) -> bool:
        """Read once; False when there is no more for now."""
        try:
            data = os.read(pipe, READ_BYTES)
        except BlockingIOError:
            return False
        self.heard_at = self._loop.time()
        if data:
            self._outputs[name].feed(data)
        else:
            self._loop.remove_reader(pipe)
        return bool(data)

    # --- ending ----------------------------------------------------------------------------

    def _signal_family(self, number: signal.Signals) -> set[ProcessId]:
        return self._group.send_family(number, alive=not self._exited.is_set())

    def _watch(self) -> None:
        """In a thread of its own: wait for the end, kill what is left of the job, tell the loop."""
        self._group.reap()
        self._kill_bearers()
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody asks any more
            self._loop.call_soon_threadsafe(self._on_exit)

    def _kill_bearers(self) -> None:
        """In a thread: kill until nobody bears the mark; a process takes a moment to die, and may have forked."""
        for _ in range(KILLS_MAX):
            left = list(bearers(self._mark))
            if not left:
                return
            for process in left:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(process, signal.SIGKILL)
            time.sleep(0.005)

    def _on_exit(self) -> None:
        for name, pipe in self._pipes.items():
            for _ in range(DRAIN_READS_MAX):
                if not self._on_output(name, pipe):
                    break
        for lines in self._outputs.values():
            lines.end()
        self._close_pipes()
        self._exited.set()

    def _close_pipes(self) -> None:
        for pipe in self._pipes.values():
            self._loop.remove_reader(pipe)
            os.close(pipe)
        self._pipes = {}
