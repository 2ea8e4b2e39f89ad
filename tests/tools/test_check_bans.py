"""Bans hold where they should, let pass what they should, and take no excuse without a reason."""

import textwrap
from pathlib import Path

import pytest

from tools import check_bans


def problems(source: str) -> list[str]:
    return [finding.problem for finding in check_bans.check(textwrap.dedent(source))]


@pytest.mark.parametrize(
    "source",
    [
        "import time\ntime.time()",
        "import time\ntime.monotonic_ns()",
        "import time as clock\nclock.sleep(1)",
        "from time import monotonic",
        "from time import perf_counter as tick",
        "from time import *",
        "from datetime import datetime\ndatetime.now()",
        "from datetime import datetime as dt\ndt.utcnow()",
        "import datetime\ndatetime.date.today()",
        "import datetime as d\nd.datetime.now(d.UTC)",
        "from datetime import datetime\nfield(default_factory=datetime.now)",
        "import random\nrandom.random()",
        "import random\nrandom.SystemRandom(3)",
        "import random\nrandom.Random()",
        "from random import Random\nRandom()",
        "from random import choice",
        "import uuid\nuuid.uuid4()",
        "from uuid import uuid1",
        "from uuid import uuid4 as new_id",
        "import os\nos.urandom(8)",
        "import os\nos.environ['HOME']",
        "import secrets",
        "from secrets import token_hex",
        "open('file')",
        "def read(opener=open): ...",
        "import io\nio.open('file')",
        "path.read_text()",
        "import socket",
        "import threading",
        "from threading import Lock",
        "import concurrent.futures",
        "from concurrent import futures",
        "import subprocess",
        "import sqlite3",
        "import httpx",
        "import requests.adapters",
        "import asyncio\nasyncio.sleep(1)",
        "from asyncio import to_thread",
        "import asyncio\nasyncio.open_connection('host', 1)",
        "import asyncio\nasyncio.create_subprocess_exec('ls')",
        "import asyncio.subprocess\nasyncio.subprocess.create_subprocess_exec('ls')",
        "def inside():\n    import socket",
    ],
)
def test_whatever_reads_the_clock_rolls_dice_or_reaches_out_is_found(source: str) -> None:
    assert problems(source)


@pytest.mark.parametrize(
    "source",
    [
        "import random\nrandom.Random(7).random()",
        "from random import Random\ndef roll(dice: Random) -> float: return dice.random()",
        "from datetime import datetime, timedelta, UTC\ndatetime.fromisoformat('2024-01-01') + timedelta(days=1)",
        "import uuid\nuuid.UUID(int=7)\nuuid.uuid5(uuid.NAMESPACE_URL, 'name')",
        "import asyncio\nasyncio.Future()\nasyncio.events._set_running_loop(None)\nasyncio.tasks.Task",
        "from asyncio import events, futures, tasks",
        "from os import PathLike, fspath",
        "class Clock:\n    def time(self): return self.now\nClock().time()",
        "def open(name): ...\nopen('a door')",
        "def enter(open): return open()",
        "valve.open()",
        "from . import time\ntime.time()",
        "import http, urllib.parse",
        "FORBIDDEN = {'time.time': 'use ripresa.now()', 'socket': 'move it into a step'}",
    ],
)
def test_seeded_dice_given_times_and_mere_strings_pass(source: str) -> None:
    assert problems(source) == []


def test_a_finding_names_the_line_the_use_and_the_way_out() -> None:
    (finding,) = check_bans.check("import time\n\nstart = time.monotonic()\n", "kernel/loop.py")
    assert str(finding) == "kernel/loop.py:3: `time.monotonic` is banned here: take `now` as an argument"


def test_a_line_with_a_reason_is_excused() -> None:
    assert problems("import threading  # bans: named in order to forbid it") == []


def test_an_excuse_covers_its_own_line_only() -> None:
    source = """
        from time import (
            monotonic,  # bans: named in order to forbid it
            sleep,
        )
    """
    assert problems(source) == ["`time.sleep` is banned here: take `now` as an argument"]


def test_an_excuse_without_a_reason_is_refused() -> None:
    assert problems("import threading  # bans:") == ["`# bans:` needs a reason"]


def test_an_excuse_for_nothing_is_refused() -> None:
    assert problems("import json  # bans: it looked dangerous") == ["`# bans:` excuses nothing here: remove it"]


def test_the_comment_counts_and_a_string_that_looks_like_it_does_not() -> None:
    assert problems("import threading; text = '# bans: not a comment'") != []


def test_it_fails_with_the_findings_and_passes_without(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "loop.py").write_text("import socket\n")
    assert check_bans.main([str(tmp_path)]) == 1
    assert "loop.py:1: `socket` is banned here" in capsys.readouterr().out
    (tmp_path / "loop.py").write_text("import json\n")
    assert check_bans.main([str(tmp_path)]) == 0


def test_a_floor_that_has_moved_away_is_not_passed_over(tmp_path: Path) -> None:
    assert check_bans.main([str(tmp_path / "nowhere")]) == 2
