"""Measuring: what every contestant does in the same way, so that only the engines differ.

A contestant is a process of its own.  It warms up, lets `clients` do their runs one after the other, and
prints one JSON line.  Invariant: the clock runs over the same span for all – from the first call that
starts a run to the last result in the caller's hands.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

STEPS = 10
"""Steps of the workflow that everybody runs."""

WARM_UP = 5
"""Runs before the clock starts: imports, prepared statements, the first pages of the file."""

_KIB_PER_UNIT = 1 / 1024 if sys.platform == "darwin" else 1


def arguments(**defaults: Any) -> argparse.ArgumentParser:
    """The options that every contestant takes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--directory", type=Path, required=True, help="where the database goes; empty")
    parser.add_argument("--clients", type=int, default=1)
    parser.add_argument("--runs", type=int, default=100)
    parser.set_defaults(**defaults)
    return parser


async def closed_loop(one: Callable[[int], Awaitable[object]], *, clients: int, runs: int) -> dict[str, Any]:
    """Let each client do its share of the runs, the next as soon as the last has its result; tell how it went."""
    for number in range(WARM_UP):
        await one(-1 - number)
    latencies: list[float] = []

    async def client(first: int) -> None:
        for number in range(first, runs, clients):
            start = time.perf_counter()
            await one(number)
            latencies.append(time.perf_counter() - start)

    since = time.time()
    busy = time.process_time()
    start = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for first in range(clients):
            group.create_task(client(first))
    seconds = time.perf_counter() - start
    busy = time.process_time() - busy
    return {
        "clients": clients,
        "runs": runs,
        "steps": runs * STEPS,
        "seconds": seconds,
        "steps_per_s": runs * STEPS / seconds,
        "cpu_us_per_step": 1e6 * busy / runs / STEPS,
        "p50_ms": 1e3 * quantile(latencies, 0.50),
        "p99_ms": 1e3 * quantile(latencies, 0.99),
        "window": [since, time.time()],
    }


def report(**values: Any) -> None:
    """Print the one line that the parent reads."""
    print(json.dumps({**values, "rss_peak_mb": rss_peak_mb()}), flush=True)


def rss_peak_mb() -> float:
    """The most memory this process has held, in megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KIB_PER_UNIT * 1024 / 1e6


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of all lie (nearest rank); NaN for none."""
    if not values:
        return float("nan")
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def median_of(samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Each number's median over the rounds; what is not a number as it was in the last round."""
    middle = dict(samples[-1])
    for name, value in samples[-1].items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            middle[name] = statistics.median(sample[name] for sample in samples)
    middle["rounds"] = len(samples)
    return middle
