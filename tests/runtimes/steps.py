"""Steps that tests send to worker processes, which import them from here."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

from ripresa.author.code import step
from ripresa.contracts.errors import Quarantine, Terminal
from ripresa.contracts.step_context import STEP_CONTEXT


def double(number):
    return number * 2


async def double_later(number):
    await asyncio.sleep(0)
    return number * 2


def who():
    return [os.getpid(), os.getpgid(0)]


def context():
    return STEP_CONTEXT.get().to_json()


def fail(kind, message):
    raise {"key": KeyError, "terminal": Terminal, "quarantine": Quarantine}[kind](message)


def fail_without_words():
    class Mute(Exception):
        def __str__(self):
            raise RuntimeError("no words")

    raise Mute


def fail_with_half_a_surrogate():
    raise ValueError("caf\udce9")


def exit_politely():
    sys.exit(3)


def exit_at_once():
    os._exit(3)


def kill_self():
    os.kill(os.getpid(), signal.SIGKILL)


def crash():
    ctypes.string_at(0)


def close_the_line():
    for descriptor in range(3, 64):
        with contextlib.suppress(OSError):
            os.close(descriptor)
    time.sleep(60)


def nan():
    return {"ratio": [1.0, float("nan")]}


def unwritable():
    return {"socket": object()}


def speak(*lines):
    for line in lines:
        print(line)
    print("a word of warning", file=sys.stderr)
    os.write(1, b"no end of line")


def shout(mebibytes):
    line = "x" * 1023 + "\n"
    for _ in range(mebibytes * 1024):
        sys.stdout.write(line)
    return "hoarse"


def one_long_line(size):
    print("x" * size)


def not_text():
    os.write(1, b"caf\xe9\n")


def large(size):
    return "x" * size


def length(text):
    return len(text)


def close_stdout():
    sys.stdout.close()
    return "quiet"


def fork_and_return():
    if os.fork() == 0:
        return "child"
    os.wait()
    return "parent"


def note(file, *pids):
    Path(file).with_suffix(".new").write_text(json.dumps(pids))
    Path(file).with_suffix(".new").rename(file)


def sleep_noting(file):
    note(file, os.getpid())
    time.sleep(3600)


def tidy_up_when_told(file, tidied):
    try:
        sleep_noting(file)
    finally:
        note(tidied)


async def tidy_up_when_told_async(file, tidied):
    note(file, os.getpid())
    try:
        await asyncio.sleep(3600)
    finally:
        note(tidied)


STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(3600)"


def stubborn_family(file, own_session):
    """Ignores SIGTERM, as does its child, which may have left the process group."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE, start_new_session=own_session)
    child.stdout.readline()
    note(file, os.getpid(), child.pid)
    while True:
        time.sleep(3600)


@step
def following(day: date, *, days: int = 1) -> date:
    return day + timedelta(days=days)


@step
async def refund(amount: Decimal) -> Decimal:
    await asyncio.sleep(0)
    return -amount


@step
def wrong() -> int:
    return "three"


class Box:
    @staticmethod
    def open(key):
        return f"opened with {key}"
