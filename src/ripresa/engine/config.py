"""Configuration of an engine: one frozen object, read at the edge and passed down."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from typing import Any, Final, Self

from ripresa.contracts.durations import micros
from ripresa.contracts.labels import Labels, labels_of

_PLACES: Final = ("threads", "processes", "inline", "subprocesses", "containers", "cluster_jobs", "celery_tasks")

_HERE: Final = ("threads", "processes", "inline", "subprocesses", "containers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """How an engine works; every field has a sensible default.

    `lease_s`: how long a silent engine keeps its runs.  `threads`, `processes`, `inline`, `subprocesses`, `containers`,
    `cluster_jobs`, `celery_tasks`: attempts at the same time, by runtime; `subprocesses`, `containers` and
    `cluster_jobs` are jobs, as processes, in containers and on Kubernetes, and `celery_tasks` what Celery workers have
    or are to take, and runtimes under names of their own.  `process_grace_s`, `job_grace_s`: from SIGTERM to SIGKILL.
    `drain_s`: how long a worker that is told to stop lets steps end.  `resident_runs_max`: waiting runs kept in memory;
    more are evicted, oldest first.  `lock_timeout_s`: how long a caller waits for a locked or full store before the
    call fails.  `labels`: what this engine has that steps may need, as `{"gpu": "a100", "eu": None}` or
    `{"gpu=a100", "eu"}`.
    """

    lease_s: float = 3.0
    threads: int = 32
    processes: int = max(1, os.cpu_count() or 1)
    inline: int = 10_000
    subprocesses: int = max(1, os.cpu_count() or 1)
    containers: int = 16
    cluster_jobs: int = 64
    celery_tasks: int = 1_000
    resident_runs_max: int = 2_000
    lock_timeout_s: float = 10.0
    capture_logs: bool = True
    process_grace_s: float = 2.0
    job_grace_s: float = 10.0
    drain_s: float = 8.0
    labels: Labels = ()

    @property
    def capacity(self) -> dict[str, int]:
        """Attempts at the same time on this machine, by setting."""
        return {name: getattr(self, name) for name in _HERE}

    @classmethod
    def of(cls, settings: Config | dict[str, Any] | None) -> Self | Config:
        """From a mapping; raises TypeError for an unknown name, ValueError for a value out of range."""
        if isinstance(settings, Config):
            return settings
        known = {field.name for field in fields(cls)}
        for name in settings or {}:
            if name not in known:
                msg = f"config: unknown setting {name!r} (there are: {', '.join(sorted(known))})"
                raise TypeError(msg)
        made = cls(**(settings or {}))
        labels_of(made.labels, where="config: labels")
        for name in (*_PLACES, "resident_runs_max"):
            if getattr(made, name) < 1:
                msg = f"config: {name}={getattr(made, name)} must be 1 or more"
                raise ValueError(msg)
        return made


def evict_after_us(value: Any) -> int:
    """The idle time after which a waiting run leaves memory, in microseconds; 0: at every await."""
    return micros(value, where="App(evict_after)")
