"""Durations as people write them: `30s`, `1h30m`, `2d`, ISO 8601, seconds, or a timedelta."""

from __future__ import annotations

import re
from datetime import timedelta
from functools import lru_cache

Duration = str | int | float | timedelta
"""`"1h30m"`, `"PT1H30M"`, a number of seconds, or a `timedelta`."""

_PART = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)(us|ms|[smhdw])", re.ASCII)
_WHOLE = re.compile(r"(?:\d{1,12}(?:\.\d{1,9})?(?:us|ms|[smhdw]))+", re.ASCII)
_ISO = re.compile(
    r"P(?:(?P<w>\d{1,9}(?:\.\d{1,9})?)W)?(?:(?P<d>\d{1,9}(?:\.\d{1,9})?)D)?"
    r"(?:T(?:(?P<h>\d{1,9}(?:\.\d{1,9})?)H)?(?:(?P<m>\d{1,9}(?:\.\d{1,9})?)M)?(?:(?P<s>\d{1,9}(?:\.\d{1,9})?)S)?)?",
    re.ASCII,
)
_UNIT_US = {
    "us": 1,
    "ms": 1_000,
    "s": 1_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
    "w": 604_800_000_000,
}
MICROS_MAX = 100 * 366 * _UNIT_US["d"]
"""A hundred years: longer waits are mistakes."""


def micros(value: Duration, *, where: str = "duration") -> int:
    """Microseconds in `value`; raises ValueError naming `where`, the value and the form it should have."""
    total = _read(value)
    if total is None or not 0 <= total <= MICROS_MAX:
        msg = (
            f"{where}: {value!r} is not a duration from 0 to 100 years (write 30s, 5m, 1h30m, 2d, PT1H30M, or seconds)"
        )
        raise ValueError(msg)
    return total


def _read(value: object) -> int | None:
    if isinstance(value, timedelta):
        return value // timedelta(microseconds=1)
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return round(value * 1_000_000) if abs(value) < 1e10 else None
    return _read_text(value) if isinstance(value, str) else None


@lru_cache(maxsize=1024)
def _read_text(value: str) -> int | None:
    text = value.strip()
    if _WHOLE.fullmatch(text):
        return sum(round(float(number) * _UNIT_US[unit]) for number, unit in _PART.findall(text))
    iso = _ISO.fullmatch(text)
    if iso and text[-1] not in "PT":
        return sum(round(float(number) * _UNIT_US[unit]) for unit, number in iso.groupdict().items() if number)
    return None


def spelled(us: int) -> str:
    """The shortest exact spelling, as `1h30m`; zero is `0s`."""
    parts = []
    for unit in ("d", "h", "m", "s", "ms", "us"):
        count, us = divmod(us, _UNIT_US[unit])
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
