"""The contestants, and how one of them is run: a process of its own, an empty directory, one line of JSON."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PATIENCE_S = 900

_SYNC = re.compile(r"\s(\d+\.\d+) f(?:data)?sync\(")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One contestant at one number of clients, with as many runs as a round is to have."""

    name: str
    module: str
    clients: int
    runs: int
    options: tuple[str, ...] = ()
    recorded: str | None = None
    """Name of the entry whose rows it writes: it replays what `record` noted for it."""

    @property
    def key(self) -> str:
        return f"{self.name} @{self.clients}"

    def arguments(self) -> list[str]:
        return [f"--clients={self.clients}", f"--runs={self.runs}", *self.options]


def run(module: str, *options: str, before: tuple[str, ...] = ()) -> dict[str, Any]:
    """Run a contestant and return what it reports.  Raises RuntimeError if it fails."""
    with empty_directory() as directory:
        command = [*before, sys.executable, "-m", module, f"--directory={directory}", *options]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    if done.returncode:
        raise RuntimeError(f"{module} {' '.join(options)} failed:\n{done.stderr[-4000:]}")
    reported: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return reported


def syncs_per_step(module: str, *options: str) -> tuple[float | None, str]:
    """Calls of fsync and fdatasync per step while the clock ran, and how they were counted.

    A round of its own: being watched slows a process, so that it is not timed.
    """
    tracer = shutil.which("strace")
    if tracer is None:
        return None, "strace is not installed"
    with tempfile.NamedTemporaryFile("r", suffix=".strace") as trace:
        watched = (tracer, "-f", "--seccomp-bpf", "-ttt", "-qq", "-e", "trace=fsync,fdatasync", "-o", trace.name)
        try:
            reported = run(module, *options, before=watched)
        except (RuntimeError, json.JSONDecodeError) as error:
            return None, f"strace is not allowed here ({error!s:.80})"
        since, until = reported["window"]
        times = [float(at) for at in _SYNC.findall(trace.read())]
    return sum(since <= at <= until for at in times) / reported["steps"], "strace"


@contextmanager
def empty_directory() -> Iterator[Path]:
    """A directory on the disk that is measured (`TMPDIR`), gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        yield Path(directory)
