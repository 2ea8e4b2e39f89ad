"""Settings of the Celery runtime: the table `runtimes.celery` of `ripresa.toml`, the same for engines and workers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self
from urllib.parse import urlsplit

from ripresa.contracts.durations import Duration, micros
from ripresa.runtimes.toml_tables import only

BROKER_VARIABLE = "RIPRESA_CELERY_BROKER"
_SCHEMES = ("amqp", "amqps", "redis", "rediss", "sentinel")
_JOBS = ("container", "process")


@dataclass(frozen=True, slots=True, kw_only=True)
class CelerySettings:
    """How tasks get to workers.

    `broker`: `amqp://…` (RabbitMQ) or `redis://…`; the variable RIPRESA_CELERY_BROKER wins.  `queue`: for tasks whose
    pool names no other.  `jobs`: what runs the jobs of definitions on a worker, `container` or `process`.  `lease`: how
    long a worker may be silent before its attempts count as lost.  `resend`: how long a task waits to be claimed before
    it is sent again.  `grace`: how long a worker that is told to end lets its work go on.  Raises ValueError naming the
    field.
    """

    broker: str | None = None
    queue: str = "ripresa"
    jobs: str = "container"
    lease: Duration = "10s"
    resend: Duration = "15s"
    grace: Duration = "30s"

    def __post_init__(self) -> None:
        if self.broker is not None and urlsplit(str(self.broker)).scheme not in _SCHEMES:
            raise ValueError(f"runtimes.celery.broker: it does not begin with {', '.join(_SCHEMES)} and ://")
        if not str(self.queue or ""):
            raise ValueError(f"runtimes.celery.queue: {self.queue!r} is no name of a queue")
        if self.jobs not in _JOBS:
            raise ValueError(f"runtimes.celery.jobs: {self.jobs!r} is not {' or '.join(_JOBS)}")
        for name in ("lease", "resend", "grace"):
            if micros(getattr(self, name), where=f"runtimes.celery.{name}") < (name != "grace"):
                raise ValueError(f"runtimes.celery.{name}: it must be longer than 0")

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        """From the table.  Raises ValueError naming the field."""
        only(told, tuple(field.name for field in fields(cls)), "runtimes.celery")
        return cls(**told)

    @property
    def lease_us(self) -> int:
        """`lease` in microseconds."""
        return micros(self.lease)

    @property
    def resend_us(self) -> int:
        """`resend` in microseconds."""
        return micros(self.resend)

    @property
    def grace_s(self) -> float:
        """`grace` in seconds."""
        return micros(self.grace) / 1e6

    def require_broker(self) -> str:
        """The broker's address.  Raises ValueError if there is none."""
        if self.broker is None:
            raise ValueError(
                f'runtimes.celery.broker: it is not given: write broker = "amqp://…" there, or set {BROKER_VARIABLE}'
            )
        return self.broker
