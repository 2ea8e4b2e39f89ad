"""Time limits of a job or step: one duration for each attempt, or one for each thing that can take too long."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from ripresa.contracts.durations import micros

_FIELDS: Final = ("attempt", "total", "queue", "heartbeat", "grace")


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeLimits:
    """In microseconds; None: no limit.

    `attempt`: one attempt.  `total`: from the first being asked for to the outcome.  `queue`: waiting for a slot.
    `heartbeat`: without a line of output.  `grace`: from SIGTERM to SIGKILL.
    """

    attempt_us: int | None = None
    total_us: int | None = None
    queue_us: int | None = None
    heartbeat_us: int | None = None
    grace_us: int | None = None

    @classmethod
    def of(cls, given: Any, *, where: str = "timeout") -> Self:
        """From a duration, a mapping of durations, or None.  Raises ValueError naming `where` and the field."""
        if given is None or isinstance(given, cls):
            return given or cls()
        if not isinstance(given, Mapping):
            return cls(attempt_us=_positive(given, where))
        for name in given:
            if name not in _FIELDS:
                from difflib import get_close_matches  # noqa: PLC0415 - only for the message

                near = get_close_matches(str(name), _FIELDS, 1)
                hint = f'; did you mean "{near[0]}"?' if near else f" (there are: {', '.join(_FIELDS)})"
                raise ValueError(f"{where}.{name}: unknown field{hint}")
        read = {name: value for name, value in given.items() if value is not None}
        grace = micros(read.pop("grace"), where=f"{where}.grace") if "grace" in read else None
        return cls(
            **{f"{name}_us": _positive(value, f"{where}.{name}") for name, value in read.items()}, grace_us=grace
        )


def _positive(value: Any, where: str) -> int:
    if us := micros(value, where=where):
        return us
    raise ValueError(f"{where}: {value!r} leaves no time at all; leave it out for no limit")
