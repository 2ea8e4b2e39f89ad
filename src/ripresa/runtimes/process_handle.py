"""The engine's end of one worker process: start it, hand it attempts, end it for good.

    attempt ──message──> worker ──answer──> attempt
                           ├── stdout, stderr ──> lines ──> work.log
                           └── exit ──watching thread──> _on_exit ──> WorkerLost, if an attempt was under way

The worker leads a process group of its own, and so takes its children with it.
Invariant: after `stop` has returned, no process of the group runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable

from ripresa.contracts.failure import Failure
from ripresa.ports.runtime import Work
from ripresa.runtimes import RemoteError, WorkerLost
from ripresa.runtimes.output_lines import OUTPUT_BYTES_MAX, OutputLines
from ripresa.runtimes.process_group import ProcessGroup
from ripresa.runtimes.process_tree import ProcessId
from ripresa.runtimes.process_wire import Message, Unpacker, pack

READ_BYTES = 1 << 16
HANG_UP_S = 1.0  # a worker that closed its line tidies up for so long
DRAIN_READS_MAX = 16  # a pipe holds 64 KiB, 1 MiB at the most: what was written before the answer


class WorkerProcess:
    """A worker that is up, or coming up; `alive` until its end has been seen."""

    def __init__(self, on_exit: Callable[[WorkerProcess], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_gone = on_exit
        self._incoming = Unpacker()
        self._answer: asyncio.Future[Message | None] | None = None
        self._outputs: dict[str, OutputLines] = {}
        self._exited = asyncio.Event()
        self._line, theirs = socket.socketpair()
        self._pipes: dict[str, int] = {}
        ends: dict[str, int] = {}
        try:
            for name in ("stdout", "stderr"):
                self._pipes[name], ends[name] = os.pipe()
            self._process = _spawn(theirs, ends)
            self._group = ProcessGroup(self._process)
        except BaseException:
            self._let_go()
            raise
        finally:
            theirs.close()
            for end in ends.values():
                os.close(end)
        self._listen()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return not self._exited.is_set()

    async def attempt(self, work: Work) -> str:
        """Have it done; raises `RemoteError` for what the step raised, `WorkerLost` if the worker died."""
        self._answer = self._loop.create_future()
        bytes_max = work.options.get("output_bytes_max", OUTPUT_BYTES_MAX)
        self._outputs = {name: OutputLines(name, work.log, bytes_max) for name in self._pipes}
        try:
            if self.alive:
                await self._send(_request(work))
                answer = await self._answer
            else:
                answer = None
        finally:
            self._end_outputs()
            self._answer = None
        return self._outcome(answer)

    async def stop(self, grace_s: float) -> None:
        """SIGTERM to the worker and all below it, SIGKILL after the grace; returns when they are dead."""
        family = self._signal_family(signal.SIGTERM)
        try:
            async with asyncio.timeout(grace_s):
                await self._exited.wait()
        except TimeoutError:
            family |= self._signal_family(signal.SIGKILL)
            await self._exited.wait()
        except asyncio.CancelledError:
            self._signal_family(signal.SIGKILL)
            raise
        for process in family:
            process.send(signal.SIGKILL)

    # --- talking ---------------------------------------------------------------------------

    async def _send(self, message: Message) -> None:
        try:
            await self._loop.sock_sendall(self._line, pack(message))
        except OSError:  # it does not read, so it is dead or as good as: its exit brings the answer
            self._group.send(signal.SIGKILL)

    def _outcome(self, answer: Message | None) -> str:
        if answer is None:
            raise WorkerLost(self._how_it_ended(), exit_code=self._process.returncode)
        if "failure" in answer:
            raise RemoteError(Failure.from_json(answer["failure"]))
        return str(answer["output"])

    def _listen(self) -> None:
        self._line.setblocking(False)  # noqa: FBT003 - the socket's own signature
        self._line.send(pack({"path": sys.path}))
        self._loop.add_reader(self._line, self._on_message)
        for name, pipe in self._pipes.items():
            os.set_blocking(pipe, False)
            self._loop.add_reader(pipe, self._on_output, name, pipe)
        threading.Thread(target=self._watch, name=f"ripresa-worker-{self.pid}-watch", daemon=True).start()

    def _on_message(self) -> None:
        try:
            data = self._line.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        try:
            for message in self._incoming.feed(data):
                self._settle(message)
        except ValueError:
            data = b""
        if not data:  # it ends, or has lost its tongue: either way it is of no more use
            self._loop.remove_reader(self._line)
            self._loop.call_later(HANG_UP_S, self._group.send, signal.SIGKILL)

    def _settle(self, answer: Message | None) -> None:
        for name, pipe in self._pipes.items():
            self._drain(name, pipe)
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(answer)

    # --- listening to its output -----------------------------------------------------------

    def _on_output(self, name: str, pipe: int) -> bool:
        """Read once; False when there is no more for now."""
        try:
            data = os.read(pipe, READ_BYTES)
        except BlockingIOError:
            return False
        if not data:
            self._loop.remove_reader(pipe)
        elif name in self._outputs:
            self._outputs[name].feed(data)
        return bool(data)

    def _drain(self, name: str, pipe: int) -> None:
        for _ in range(DRAIN_READS_MAX):
            if not self._on_output(name, pipe):
                return

    def _end_outputs(self) -> None:
        for lines in self._outputs.values():
            lines.end()
        self._outputs = {}

    # --- ending ----------------------------------------------------------------------------

    def _signal_family(self, number: signal.Signals) -> set[ProcessId]:
        return self._group.send_family(number, alive=self.alive)

    def _watch(self) -> None:
        """In a thread of its own: wait for the end, kill what is left of the group, tell the loop."""
        self._group.reap()
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody asks any more
            self._loop.call_soon_threadsafe(self._on_exit)

    def _on_exit(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while data := self._line.recv(READ_BYTES):  # it may have answered before it died
                for message in self._incoming.feed(data):
                    self._settle(message)
        self._settle(None)
        self._let_go()
        self._exited.set()
        self._on_gone(self)

    def _let_go(self) -> None:
        for pipe in self._pipes.values():
            self._loop.remove_reader(pipe)
            os.close(pipe)
        self._pipes = {}
        self._loop.remove_reader(self._line)
        self._line.close()

    def _how_it_ended(self) -> str:
        code = self._process.returncode
        if code is None or code >= 0:
            return f"the worker process {self.pid} exited with code {code} during the step"
        hint = ", perhaps for lack of memory" if code == -signal.SIGKILL else ""
        return f"the worker process {self.pid} was killed by {_signal_name(-code)}{hint} during the step"


def _request(work: Work) -> Message:
    context = work.context() if callable(work.context) else work.context
    target, file = _place(work.target)
    return {"target": target, "file": file, "input": work.input, "context": context.to_json()}


def _place(target: str) -> tuple[str, str | None]:
    """The target as another process finds it, and its module's file, for modules that cannot be imported there."""
    place, _, qualname = target.rpartition(":")
    module = sys.modules.get(place)
    if place == "__main__" and (spec := getattr(module, "__spec__", None)) is not None:
        return f"{spec.name}:{qualname}", None  # started as `python -m`
    return target, getattr(module, "__file__", None)


def _spawn(line: socket.socket, ends: dict[str, int]) -> subprocess.Popen[bytes]:
    number = line.fileno()
    return subprocess.Popen(
        # -P: a file json.py in the current directory is not the json module.
        [sys.executable, "-P", "-m", "ripresa.runtimes.process_worker", str(number), str(os.getpid())],
        stdin=subprocess.DEVNULL,
        stdout=ends["stdout"],
        stderr=ends["stderr"],
        pass_fds=(number,),
        start_new_session=True,
    )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
