"""The machine: the facts without which a number says nothing."""

from __future__ import annotations

import os
import platform
import sqlite3
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.measure import quantile


def facts(directory: Path) -> dict[str, Any]:
    """What ran all this, and how quick its disk is."""
    return {
        "cpus": os.cpu_count(),
        "processor": _processor(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "ripresa": _version("ripresa"),
        "dbos": _version("dbos"),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        **disk(directory),
    }


def disk(directory: Path, samples: int = 200) -> dict[str, float]:
    """How long it takes until 4 KiB, appended to a file, are on the disk; and how busy the machine is."""
    path = directory / "fsync"
    times = []
    with path.open("wb", buffering=0) as file:
        for _ in range(samples):
            start = time.perf_counter()
            file.write(b"\0" * 4096)
            os.fdatasync(file.fileno()) if hasattr(os, "fdatasync") else os.fsync(file.fileno())
            times.append(time.perf_counter() - start)
    path.unlink()
    return {
        "fsync_p50_ms": 1e3 * quantile(times, 0.5),
        "fsync_p99_ms": 1e3 * quantile(times, 0.99),
        "load": os.getloadavg()[0],
    }


def told(machine: dict[str, Any]) -> str:
    """The facts in one sentence."""
    return (
        f"{machine['cpus']} × {machine['processor']}, {machine['system']}, Python {machine['python']}, "
        f"SQLite {machine['sqlite']}, ripresa {machine['ripresa']}, DBOS {machine['dbos']}, "
        f"fsync p50 {machine['fsync_p50_ms']:.2f} ms (p99 {machine['fsync_p99_ms']:.2f}), "
        f"load {machine['load']:.1f}{_then(machine)}, {machine['date']}"
    )


def _then(machine: dict[str, Any]) -> str:
    return f" to {machine['load_after']:.1f}" if "load_after" in machine else ""


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown processor"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "unknown processor"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
