"""The nursery: a process without threads that forks lives, so that one begins in milliseconds.

    harness ── "begin" ──> nursery ── fork ──> life
            <── "begun", "ended" ──      └──── fork ──> life …

Every tenth life is a new interpreter, which has imported nothing yet.  When the harness goes, so do all lives.
"""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import subprocess
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

from ripresa.testing.torture import life, program
from ripresa.testing.torture.life import Settings

_COLD_EVERY = 10
_LOOK_S = 0.01


class Newborn:
    """A life, as the harness sees it."""

    def __init__(self, settings: Settings) -> None:
        loop = asyncio.get_running_loop()
        self.number = settings.life
        self.settings = settings
        self.pid: asyncio.Future[int] = loop.create_future()
        self.ended: asyncio.Future[int] = loop.create_future()
        """The exit code; less than 0: the signal that killed it."""


class Nursery:
    """The harness's end of it."""

    def __init__(self, errors: Path) -> None:
        self._errors = errors
        self._lives: dict[int, Newborn] = {}
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Start it."""
        command = [sys.executable, "-m", "ripresa.testing.torture.nursery", str(self._errors)]
        self._process = await asyncio.create_subprocess_exec(
            *command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        self._reader = asyncio.create_task(self._read())

    async def begin(self, one: Newborn) -> None:
        """Have a life begin."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._lives[one.number] = one
        self._process.stdin.write((json.dumps(one.settings) + "\n").encode())
        await one.pid

    async def close(self) -> None:
        """End it, and all lives."""
        if self._process is None or self._reader is None:
            return
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()
        await self._reader

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            what, number, value = json.loads(line)
            one = self._lives[number]
            (one.pid if what == "begun" else one.ended).set_result(value)
        for one in self._lives.values():
            for future in (one.pid, one.ended):
                future.cancel()


def main(errors: Path) -> None:
    """Fork lives until stdin ends; then kill them."""
    program.warm_up()
    lives: dict[int, int] = {}
    text = b""
    while True:
        ready, _, _ = select.select([0], [], [], _LOOK_S)
        if ready:
            more = os.read(0, 65536)
            if not more:
                break
            *orders, text = (text + more).split(b"\n")
            for order in orders:
                settings = Settings(*json.loads(order))
                process = _begin(settings, errors)
                lives[process] = settings.life
                _tell("begun", settings.life, process)
        while lives and (ended := os.waitpid(-1, os.WNOHANG))[0]:
            _tell("ended", lives.pop(ended[0]), os.waitstatus_to_exitcode(ended[1]))
    for process in lives:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def _tell(*what: Any) -> None:
    os.write(1, (json.dumps(what) + "\n").encode())


def _begin(settings: Settings, errors: Path) -> int:
    said = os.open(errors / f"life-{settings.life}.err", os.O_WRONLY | os.O_CREAT)
    try:
        if settings.life % _COLD_EVERY == 0:
            command = [sys.executable, "-m", "ripresa.testing.torture.life", json.dumps(settings)]
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said).pid  # noqa: S603
        process = os.fork()
        if process == 0:
            nothing = os.open(os.devnull, os.O_RDONLY)
            for place, file in enumerate((nothing, said, said)):
                os.dup2(file, place)
            _live_in_fork(settings)
        return process
    finally:
        os.close(said)


def _live_in_fork(settings: Settings) -> None:
    """Never returns: the parent's frames are not this process's to unwind."""
    code = 1
    try:
        code = life.main(settings)
    except BaseException:  # noqa: BLE001 - it says why, and ends
        traceback.print_exc()
    finally:
        with suppress(OSError):
            sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
