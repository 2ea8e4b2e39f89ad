"""The installed command, run as people run it: in a process of its own, in a pipe or on a terminal."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Any

import pytest

RIPRESA = Path(sys.executable).with_name("ripresa")
TIMEOUT_S = 60

WORKFLOWS = """
import asyncio, logging, pathlib, subprocess, time
from ripresa import (
    Quarantine, Retry, Terminal, child, context, map_, sleep, step, wait_for_signal, workflow,
)

log = logging.getLogger("shop")


def note(what):
    with open("calls.txt", "a") as file:
        file.write(what + "\\n")


@step
async def charge(order: str) -> int:
    note("charge")
    log.info("charging %s", order)
    return 42


@step
def pack(order: str) -> str:
    print(f"packing {order}")
    subprocess.run(["echo", "from a child process"])
    return f"box of {order}"


@step(runtime="process")
def weigh(box: str) -> float:
    print(f"weighing {box}")
    return 1.5


@step(retry=Retry(max_attempts=3, delay="0.3s", jitter="none"))
async def flaky() -> str:
    if context().attempt < 3:
        raise ConnectionError("gateway hung up")
    return "through"


@step
async def gated(n: int) -> int:
    note("gated")
    if not pathlib.Path("ok").exists():
        raise Terminal("not yet")
    return n + 1


@step
async def odd(n: int) -> int:
    note("odd")
    if not pathlib.Path("ok").exists():
        raise Quarantine("odd number")
    return n


@step
async def slow(seconds: float) -> str:
    note("slow")
    await asyncio.sleep(seconds)
    return "slept"


@workflow
async def fulfil(order: str, qty: int = 1) -> dict:
    paid = await charge(order)
    return {"paid": paid, "box": pack(order), "qty": qty}


@workflow
async def weighed(order: str) -> float:
    return weigh(order)


@workflow
async def retried() -> str:
    return await flaky()


@workflow
async def gate() -> int:
    return await gated(await charge("x"))


@workflow
async def aside() -> int:
    return await odd(await charge("x"))


@workflow
async def doze(seconds: float = 30) -> str:
    await charge("x")
    return await slow(seconds)


@workflow
async def approval() -> str:
    await charge("x")
    return await wait_for_signal("label", str, timeout="7d")


@workflow
async def family(order: str) -> str:
    first = await child(retried)
    return first + await child(approval)


@workflow
async def text() -> str:
    return "just text"


@workflow
async def nothing() -> None:
    await charge("x")


@workflow
async def long_sleep() -> None:
    await sleep(days=3)
"""


class Shop:
    """A folder with workflows, and the command in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {name: value for name, value in os.environ.items() if not name.startswith(("RIPRESA_", "NO_COLOR"))}
        self.env |= {"TERM": "xterm-256color", "COLUMNS": "120"}
        self.processes: list[subprocess.Popen[bytes]] = []
        (folder / "shop.py").write_text(WORKFLOWS)

    @property
    def store(self) -> str:
        """The address of the store that the command works on."""
        return self.env.get("RIPRESA_STORE", f"sqlite:///{self.folder}/.ripresa/ripresa.db")

    def __call__(
        self, *args: str, stdin: str = "", code: int | None = 0, **env: str
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [str(RIPRESA), *args],
            cwd=self.folder,
            env={**self.env, **env},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        if code is not None:
            assert done.returncode == code, (args, done.returncode, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def json(self, *args: str, **options: Any) -> Any:
        return json.loads(self(*args, "-o", "json", **options).stdout)

    def start(self, *args: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [str(RIPRESA), *args],
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.processes.append(process)
        return process

    def worker(self, *args: str) -> subprocess.Popen[bytes]:
        """A worker that serves."""
        process = self.start("worker", "shop.py", *args)
        assert process.stderr is not None
        line = process.stderr.readline()
        assert b"serves" in line, line + process.stderr.read()
        return process

    def until(self, run: str, status: str) -> dict[str, Any]:
        """The run, once it has this status."""
        end = time.monotonic() + TIMEOUT_S
        while time.monotonic() < end:
            shown = self("runs", "show", run, "-o", "json", code=None)
            if shown.returncode == 0 and json.loads(shown.stdout)["status"] == status:
                return json.loads(shown.stdout)
        raise AssertionError(f"{run} is not {status}: {shown.stdout}{shown.stderr}")

    def calls(self) -> list[str]:
        file = self.folder / "calls.txt"
        return file.read_text().split() if file.exists() else []

    def terminal(self, *args: str, columns: int = 110, lines: int = 30, **env: str) -> Terminal:
        return Terminal(self, args, columns, lines, env)

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.communicate()


_SHIM = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"


class Terminal:
    """The command on a pseudo-terminal of its own, which Ctrl-C reaches as it does at home."""

    def __init__(self, shop: Shop, args: tuple[str, ...], columns: int, lines: int, env: dict[str, str]) -> None:
        self._master, theirs = pty.openpty()
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        env = {name: value for name, value in {**shop.env, **env}.items() if name not in {"COLUMNS", "LINES"}}
        self.process = subprocess.Popen(
            [sys.executable, "-c", _SHIM, str(RIPRESA), *args],
            cwd=shop.folder,
            env=env,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        shop.processes.append(self.process)
        self.raw = ""

    @property
    def text(self) -> str:
        """All that was written, without the codes that move and colour."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.raw)

    def until(self, pattern: str) -> str:
        end = time.monotonic() + TIMEOUT_S
        while not re.search(pattern, self.text):
            assert time.monotonic() < end, self.text
            if not self._read(0.1):
                assert self.process.poll() is None or re.search(pattern, self.text), self.text
        return self.text

    def press(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def wait(self) -> int:
        end = time.monotonic() + TIMEOUT_S
        while time.monotonic() < end and (self._read(0.1) or self.process.poll() is None):
            continue
        code = self.process.wait(TIMEOUT_S)
        while self._read(0):
            continue
        os.close(self._master)
        return code

    def _read(self, wait_s: float) -> bool:
        """False: there is no more for now, or for ever."""
        if not select.select([self._master], [], [], wait_s)[0]:
            return False
        with contextlib.suppress(OSError):
            data = os.read(self._master, 1 << 16)
            self.raw += data.decode("utf-8", "replace")
            return bool(data)
        return False


@pytest.fixture
def shop(tmp_path, places):
    made = Shop(tmp_path)
    if places is not None:
        made.env["RIPRESA_STORE"] = places.url("the shop's own.db")
    yield made
    made.close()


def stop(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    process.send_signal(signal.SIGTERM)
    return process.communicate(timeout=TIMEOUT_S)
