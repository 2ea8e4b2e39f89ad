"""A graph of containers, and an engine that is killed again and again: no job runs twice, none is lost.

The containers keep a ledger of their own in a folder they share; a job that was begun while another one of its name was
at work would find its mark there.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time

import pytest

from ripresa.runtimes.container.spec import LABEL

KILLS = 5
SEED = 4711
RUN = "killed-again-and-again"

SCRIPT = """
mkdir /shared/$JOB || echo "$JOB TWICE" >> /shared/ledger
echo "$JOB began" >> /shared/ledger
sleep 0.4
echo "$JOB ended" >> /shared/ledger
rmdir /shared/$JOB
echo "{\\"job\\": \\"$JOB\\"}" > $JOB_OUTPUT
"""

JOBS = {"list": [], "a": ["list"], "b": ["list"], "c": ["a"], "d": ["a", "b"], "e": ["c", "d"], "last": ["e"]}


def flow(folder):
    jobs = [
        {
            "job": {
                "name": name,
                "image": "lakehouse/box:1.0",
                "command": ["/bin/sh", "-c", SCRIPT],
                "volumes": [f"{folder}/shared:/shared"],
            },
            "depends_on": after,
        }
        for name, after in JOBS.items()
    ]
    return {"workflow": {"name": "graph", "defaults": {"runtime": "container"}, "jobs": jobs}}


@pytest.fixture
def folder(engine, tmp_path):
    for directory in (tmp_path, tmp_path / "shared"):
        directory.mkdir(exist_ok=True)
        directory.chmod(0o777)
    (tmp_path / "ripresa.toml").write_text(
        f'[runtimes.container]\nhost = "{engine.host}"\nnetwork = "none"\npull = "never"\nhost_paths = ["{tmp_path}"]\n'
    )
    (tmp_path / "flow.json").write_text(json.dumps(flow(tmp_path)))
    return tmp_path


def command(folder, *words):
    code = "from ripresa.cli.main import main; main()"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [sys.executable, "-c", code, *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )


def test_an_engine_that_is_killed_again_and_again_runs_no_job_twice(engine, folder):
    dice = random.Random(SEED)
    start = ("run", "flow.json", "--id", RUN)
    for _ in range(KILLS):
        victim = command(folder, *start)
        time.sleep(dice.uniform(0.8, 2.2))
        victim.kill()
        victim.communicate()
    last = command(folder, *start)
    _, said = last.communicate(timeout=90)
    assert last.returncode == 0, said.decode()
    ledger = (folder / "shared" / "ledger").read_text().split("\n")[:-1]
    assert sorted(ledger) == sorted(f"{name} {what}" for name in JOBS for what in ("began", "ended"))
    at = {line: place for place, line in enumerate(ledger)}
    for name, after in JOBS.items():
        assert all(at[f"{before} ended"] < at[f"{name} began"] for before in after)
    shown = command(folder, "runs", "show", RUN, "-o", "json")
    steps = json.loads(shown.communicate()[0])["steps"]
    assert {step["step"]: step["status"] for step in steps} == dict.fromkeys(JOBS, "succeeded")
    assert [one for one in engine.containers() if (one["Labels"] or {}).get(f"{LABEL}run_id") == RUN] == []
