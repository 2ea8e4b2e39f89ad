"""The same work by ripresa and by DBOS on one PostgreSQL, side by side: `python -m benchmarks.postgres [URL]`.

`URL` is a server on which databases may be created and dropped, say `postgresql://postgres@localhost/postgres`; without
one a server is started and ended.  Each turn of each contestant has a database of its own.  Rounds are interleaved as
in `run.py`, and numbers are medians.  Each round ends with ripresa alone: how long one waits for it
(`ripresa_waits.py`).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg

sys.path.insert(0, str(Path(__file__).parents[1]))  # a script's own folder is on the path, its neighbours are not

from benchmarks import machine
from benchmarks.contestants import ROOT, Entry, empty_directory, run
from benchmarks.measure import median_of
from benchmarks.server import server

OURS, THEIRS = "ripresa", "DBOS"
NAME = "ripresa_bench"
WAITS = {
    "enqueue": "from another process's enqueueing to the first step",
    "wake": "from another process's signal to the next step of a parked run",
    "pipeline": "a pipeline of five steps, four at a time",
}


def entries(*, quick: bool) -> list[Entry]:
    """Who takes part, at how many clients, with how many runs a round."""
    ours = {1: 30, 100: 500} if quick else {1: 100, 100: 2_000}
    theirs = {1: 10, 100: 100} if quick else {1: 40, 100: 200}
    return [
        Entry(name=name, module=module, clients=clients, runs=number)
        for name, module, runs in ((OURS, "benchmarks.ripresa_steps", ours), (THEIRS, "benchmarks.dbos_steps", theirs))
        for clients, number in runs.items()
    ]


async def fresh(url: str) -> str:
    """The address of an empty database."""
    connection = await asyncpg.connect(url)
    await connection.execute(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)")
    await connection.execute(f"CREATE DATABASE {NAME}")
    await connection.execute("CHECKPOINT")
    await connection.close()
    return urlunsplit(urlsplit(url)._replace(path=f"/{NAME}"))


async def settings(url: str) -> dict[str, str]:
    """What decides how safe a commit is."""
    connection = await asyncpg.connect(url)
    names = ("server_version", "fsync", "synchronous_commit", "full_page_writes", "shared_buffers")
    found = {name: await connection.fetchval(f"SHOW {name}") for name in names}
    await connection.close()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description="ripresa beside DBOS on one PostgreSQL")
    parser.add_argument("url", nargs="?", help="a server on which databases may be created and dropped")
    parser.add_argument("--quick", action="store_true", help="one small round")
    parser.add_argument("--rounds", type=int, default=0, help="interleaved rounds (5; 1 if quick)")
    given = parser.parse_args()
    with empty_directory() as directory:
        print(machine.told(machine.facts(directory)))
    with server(given.url) as url:
        measure(url, rounds=given.rounds or (1 if given.quick else 5), quick=given.quick)
    return 0


def measure(server_url: str, *, rounds: int, quick: bool) -> None:
    """Measure, and print what came of it."""
    print(asyncio.run(settings(server_url)))
    samples: dict[str, list[dict[str, Any]]] = {}
    waits: list[dict[str, Any]] = []
    for _ in range(rounds):
        for entry in entries(quick=quick):
            url = asyncio.run(fresh(server_url))
            samples.setdefault(entry.key, []).append(run(entry.module, *entry.arguments(), f"--url={url}"))
        url = asyncio.run(fresh(server_url))
        waits.append(run("benchmarks.ripresa_waits", f"--url={url}", f"--samples={20 if quick else 100}"))
    for key, taken in samples.items():
        middle = median_of(taken)
        shown = {name: middle[name] for name in ("steps_per_s", "p50_ms", "p99_ms", "cpu_us_per_step")}
        commits = middle.get("commits_per_step")
        told = ", ".join(f"{name} {value:,.1f}" for name, value in shown.items())
        print(f"{key}: {told}" + ("" if commits is None else f", commits_per_step {commits:.4f}"))
    faster = [a["steps_per_s"] / b["steps_per_s"] for a, b in _pairs(samples, 100)]
    sooner = [b["p50_ms"] / a["p50_ms"] for a, b in _pairs(samples, 1)]
    print(f"steps/s @100 against DBOS: {median(faster):.1f}")
    print(f"p50 of DBOS @1 against ours: {median(sooner):.1f}")
    middle = median_of(waits)
    for name, what in WAITS.items():
        print(f"{what}: p50 {middle[f'{name}_p50_ms']:.1f} ms, p99 {middle[f'{name}_p99_ms']:.1f}")
    samples["waits"] = waits
    out = ROOT / "benchmarks" / "out"
    out.mkdir(parents=True, exist_ok=True)
    (out / "postgres.json").write_text(json.dumps(samples, indent=2) + "\n", "utf-8")


def _pairs(samples: dict[str, list[dict[str, Any]]], clients: int) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Ours and theirs of the same round."""
    return list(zip(samples[f"{OURS} @{clients}"], samples[f"{THEIRS} @{clients}"], strict=True))


if __name__ == "__main__":
    sys.exit(main())
