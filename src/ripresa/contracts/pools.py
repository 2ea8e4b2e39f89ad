"""Pools: named capacities that steps wait for, and the circuit breakers that may guard them.

    Pool("lakehouse", slots=4, rate="10/s", breaker=Breaker(failures=5, cooldown="30s"))

Owns what may be said of a pool and how it is written; `kernel.pooling` decides by it who may start.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Any, Literal, Self

from ripresa.contracts.durations import Duration, micros, spelled

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,200}", re.ASCII)
_RATE = re.compile(r"(\d{1,9})/(\d{1,9})?(ms|[smhd])", re.ASCII)
_SLOTS_MAX = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """When a pool's steps stop starting because too many of them fail, and when they start again.

    It opens after `failures` failures within `window`, or when `failure_rate` (0 to 1) of at least `min_calls`
    attempts within `window` failed; None turns either off.  While it is open nothing starts: for `cooldown`, after
    which `probes` attempts may start at a time; when so many have succeeded in a row it closes, and one that fails
    opens it again.  `per` "step" keeps one for each step of the pool, "pool" one for all.  `counts` "retryable" leaves
    failures out that say nothing of the pool (terminal, quarantine), "all" counts those too; an attempt that was lost
    or cancelled never counts.  `on_open` "wait" lets steps wait, "fail" lets them fail.
    Raises ValueError for a value out of range.
    """

    failures: int | None = 5
    failure_rate: float | None = None
    min_calls: int = 10
    window: Duration = "60s"
    cooldown: Duration = "30s"
    probes: int = 1
    per: Literal["pool", "step"] = "pool"
    counts: Literal["retryable", "all"] = "retryable"
    on_open: Literal["wait", "fail"] = "wait"

    def __post_init__(self) -> None:
        _whole("breaker.failures", self.failures, 1)
        _whole("breaker.min_calls", self.min_calls, 1)
        _whole("breaker.probes", self.probes, 1)
        if self.failure_rate is not None and not 0 < _number("breaker.failure_rate", self.failure_rate) <= 1:
            raise ValueError(f"breaker.failure_rate: {self.failure_rate!r} is not above 0 and at most 1")
        for name, known in (("per", ("pool", "step")), ("counts", ("retryable", "all")), ("on_open", ("wait", "fail"))):
            if getattr(self, name) not in known:
                raise ValueError(f"breaker.{name}: {getattr(self, name)!r} is not {' or '.join(known)}")
        for name in ("window", "cooldown"):
            if not micros(getattr(self, name), where=f"breaker.{name}"):
                raise ValueError(f"breaker.{name}: it must be longer than 0")

    @property
    def window_us(self) -> int:
        """Within which failures count together."""
        return micros(self.window)

    @property
    def cooldown_us(self) -> int:
        """How long it stays open."""
        return micros(self.cooldown)

    @classmethod
    def of(cls, given: Any) -> Self:
        """From a mapping of its fields.  Raises ValueError for an unknown one."""
        return given if isinstance(given, cls) else cls(**_known(given, cls, "breaker"))

    def to_json(self) -> dict[str, Any]:
        """All fields, durations spelled."""
        told = {one.name: getattr(self, one.name) for one in fields(self)}
        return {**told, "window": spelled(self.window_us), "cooldown": spelled(self.cooldown_us)}


@dataclass(frozen=True, slots=True)
class Pool:
    """A named capacity: how many attempts of its steps go on at a time, and how often one starts.

    `slots`: over all engines of the store; 0: nothing starts.  `slots_per_worker`: on each engine.
    `slots_per_workflow`: of each workflow, so that one cannot take all.  `rate`: starts in a time, as `10/s`, `100/m`
    or `3/10s`, evenly spaced; `burst`: how many may start at once after a quiet time.  `cooldown`: how long the steps
    of a key rest after one of them failed; a failure that says `retry_after` sets that without it.  `breaker`: see
    `Breaker`.  `runtime` "celery": its steps and jobs are carried out by Celery workers, those of `queue` if that is
    given.  What is left out does not limit.  Raises ValueError for a value out of range.
    """

    name: str
    slots: int | None = None
    slots_per_worker: int | None = None
    slots_per_workflow: int | None = None
    rate: str | None = None
    burst: int = 1
    cooldown: Duration | None = None
    breaker: Breaker | None = None
    runtime: Literal["celery"] | None = None
    queue: str | None = None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(str(self.name)):
            raise ValueError(f"pool: {self.name!r} is no name: letters, digits, _ . and -, up to 200")
        try:
            self._check()
        except ValueError as error:
            raise ValueError(f"pool {self.name!r}: {error}") from None

    def _check(self) -> None:
        _whole("slots", self.slots, 0)
        _whole("slots_per_worker", self.slots_per_worker, 1)
        _whole("slots_per_workflow", self.slots_per_workflow, 1)
        _whole("burst", self.burst, 1)
        if self.rate is not None:
            interval_us(self.rate)
        if self.cooldown is not None:
            micros(self.cooldown, where="cooldown")
        if self.runtime not in {None, "celery"}:
            raise ValueError(f"runtime: {self.runtime!r} is not celery")
        if self.queue is not None and (self.runtime is None or not self.queue):
            raise ValueError('queue: it names a queue of workers, beside runtime = "celery"')

    @property
    def interval_us(self) -> int:
        """Microseconds between two starts; 0: as they come."""
        return 0 if self.rate is None else interval_us(self.rate)

    @property
    def cooldown_us(self) -> int:
        """How long a key rests after a failure; 0: not at all."""
        return 0 if self.cooldown is None else micros(self.cooldown)

    @classmethod
    def of(cls, name: str, given: Any) -> Self:
        """From a mapping of its fields but the name.  Raises ValueError for an unknown one."""
        told = _known(given, cls, f"pool {name!r}")
        if told.get("breaker") is not None:
            told["breaker"] = Breaker.of(told["breaker"])
        return cls(**{**told, "name": name})

    def to_json(self) -> dict[str, Any]:
        """What limits it, durations spelled; without the name."""
        told = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "name"}
        told = {name: value for name, value in told.items() if value is not None and (name, value) != ("burst", 1)}
        if self.cooldown is not None:
            told["cooldown"] = spelled(self.cooldown_us)
        if self.breaker is not None:
            told["breaker"] = self.breaker.to_json()
        return told


def interval_us(rate: str) -> int:
    """Microseconds between two starts at this rate, rounded up.  Raises ValueError."""
    found = _RATE.fullmatch(str(rate).replace(" ", ""))
    count = 0 if found is None else int(found[1])
    period = 0 if found is None else micros(f"{found[2] or 1}{found[3]}")
    if not count or not period:
        raise ValueError(f"rate: {rate!r} is not a rate such as 10/s, 100/m or 3/10s")
    return max(1, -(-period // count))


def _whole(what: str, value: Any, least: int) -> None:
    if value is None and what not in {"burst", "breaker.min_calls", "breaker.probes"}:
        return
    if type(value) is not int or not least <= value <= _SLOTS_MAX:
        raise ValueError(f"{what}: {value!r} is not a whole number from {least} to {_SLOTS_MAX}")


def _number(what: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{what}: {value!r} is not a number")  # noqa: TRY004 - one kind of error for all of it
    return float(value)


def _known(given: Any, kind: type, where: str) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise ValueError(f"{where}: {given!r} is not a mapping")  # noqa: TRY004 - one kind of error for all of it
    names = [one.name for one in fields(kind) if one.name != "name"]
    for name in given:
        if name not in names:
            from difflib import get_close_matches  # noqa: PLC0415 - only for the message

            near = get_close_matches(str(name), names, 1)
            hint = f'; did you mean "{near[0]}"?' if near else f" (there are: {', '.join(names)})"
            raise ValueError(f"{where}: unknown field {name!r}{hint}")
    return dict(given)
