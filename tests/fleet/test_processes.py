"""Engines as processes on a real PostgreSQL: one is killed, one is stopped past its lease and goes on as a zombie."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

TAKEOVER = Path(__file__).parents[2] / "benchmarks" / "takeover.py"


def test_the_runs_of_an_engine_that_is_killed_or_stopped_go_on_elsewhere(postgres_url):
    done = subprocess.run(
        [sys.executable, str(TAKEOVER), postgres_url, "--kills", "1", "--stops", "1", "--runs", "8"],
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["lost"], told["doubled"], told["gaps"]) == (0, 0, 0)
    assert told["moved"] >= 8, "nothing moved, and nothing is shown"
    assert told["outcomes"] >= 2 * 8
