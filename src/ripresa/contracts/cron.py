"""Cron expressions: the dialect of the contract, read and checked.

Five fields (minute, hour, day of month, month, day of week), each `*`, `a`, `a-b`, a step `*/n` or `a-b/n`, or a list
of these; months and weekdays also by their English names of three letters; 7 is Sunday too.  `@hourly`, `@daily`,
`@midnight`, `@weekly`, `@monthly`, `@yearly` and `@annually` stand for what Vixie's cron has them stand for.  Seconds,
years, `L`, `W`, `#`, `?` and `@reboot` are not part of it: no two schedulers agree on them.

Days follow Vixie's rule: with both day fields given, a day counts if either fits – or, with `day_match: and`, if both
do.  A field that begins with `*` is not "given".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

CHARS_MAX = 256
MACROS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTHS = {name: n for n, name in enumerate(_MONTH_NAMES, 1)}
_DAYS = {name: n for n, name in enumerate(["sun", "mon", "tue", "wed", "thu", "fri", "sat"])}
_MONTH_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


class _Field(NamedTuple):
    name: str
    low: int
    high: int
    names: dict[str, int]


_FIELDS = (
    _Field("minute", 0, 59, {}),
    _Field("hour", 0, 23, {}),
    _Field("day of month", 1, 31, {}),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of week", 0, 7, _DAYS),
)
_PART = re.compile(
    r"(?:(?P<all>\*)|(?P<from>[A-Za-z0-9]{1,4})(?:-(?P<to>[A-Za-z0-9]{1,4}))?)(?:/(?P<step>[0-9]{1,4}))?", re.ASCII
)
_FOREIGN = {"L": "the last day", "W": "the nearest weekday", "#": "the n-th weekday", "?": "no particular day"}


class CronRefused(ValueError):
    """The expression is not of the dialect, or never fires; `remedy` says what to write."""

    def __init__(self, message: str, remedy: str, *, code: str = "cron_invalid") -> None:
        super().__init__(f"{message}; {remedy}")
        self.message = message
        self.remedy = remedy
        self.code = code


@dataclass(frozen=True, slots=True)
class Cron:
    """An expression, read: the values of each field that count.  Sunday is 0."""

    text: str
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    any_day: bool
    """The field of the day of month begins with `*`."""
    any_weekday: bool

    @classmethod
    def parse(cls, text: str) -> Cron:
        """Read an expression.  Raises CronRefused, naming the field."""
        fields = _split(text)
        values = [_values(part, field) for part, field in zip(fields, _FIELDS, strict=True)]
        weekdays = frozenset(day % 7 for day in values[4])
        minutes, hours, days, months, _ = values
        any_day, any_weekday = fields[2].startswith("*"), fields[4].startswith("*")
        return cls(text, minutes, hours, days, months, weekdays, any_day, any_weekday)

    def fires(self, *, both_days: bool = False) -> bool:
        """Whether there is any day on which it fires; `both_days` is `day_match: and`.

        In the 400 years of the Gregorian calendar every date, 29 February included, falls on every weekday.
        """
        has_date = any(day <= _MONTH_DAYS[month - 1] for month in self.months for day in self.days)
        by_weekday_alone = not self.any_weekday and not both_days and not self.any_day
        return has_date or by_weekday_alone


def require_cron(text: str, *, both_days: bool = False) -> Cron:
    """The expression, read.  Raises CronRefused if it is not of the dialect, or never fires."""
    cron = Cron.parse(text)
    if not cron.fires(both_days=both_days):
        days, months = sorted(cron.days), sorted(cron.months)
        raise CronRefused(
            f"{text!r} never fires: no month of {_listed(months)} has a day {_listed(days)}",
            "write a day that the month has",
            code="cron_never_fires",
        )
    return cron


def _split(text: str) -> list[str]:
    if len(text) > CHARS_MAX:
        raise CronRefused(f"{len(text):,} characters are no cron expression", f"write at most {CHARS_MAX}")
    if text.startswith("@"):
        if text not in MACROS:
            raise CronRefused(f"{text!r} is not known", f"write one of {', '.join(MACROS)}, or five fields")
        return MACROS[text].split()
    if not text.isascii():
        raise CronRefused(f"{text!r} has characters beyond ASCII", "write digits 0-9")
    fields = text.split()
    if len(fields) != len(_FIELDS):
        told = {6: "; seconds and years are not supported", 7: "; seconds and years are not supported"}
        raise CronRefused(
            f"{text!r} has {len(fields)} field{'s'[: len(fields) != 1]}{told.get(len(fields), '')}",
            "write five: minute, hour, day of month, month, day of week",
        )
    return fields


def _values(text: str, field: _Field) -> frozenset[int]:
    return frozenset(value for part in text.split(",") for value in _part(part, field))


def _part(text: str, field: _Field) -> range:
    found = _PART.fullmatch(text)
    if not found:
        raise _unreadable(text, field)
    step = int(found["step"] or 1)
    if found["all"]:
        low, high = field.low, min(field.high, 6) if field.names is _DAYS else field.high
    else:
        low = _number(found["from"], field)
        high = _number(found["to"], field) if found["to"] else low
        if high == 0 and low and field.names is _DAYS and (found["to"] or "").lower() == "sun":
            high = 7
        if found["step"] and not found["to"]:
            raise CronRefused(
                f"{field.name} {text!r}: a step needs a range", f"write {low}-{field.high}/{step} or */{step}"
            )
    if low > high:
        raise CronRefused(
            f"{field.name} {text!r}: the range runs backwards", f"write {low}-{field.high},{field.low}-{high}"
        )
    if step == 0 or step > field.high:
        raise CronRefused(f"{field.name} {text!r}: no step of {step}", f"write a step of 1 to {field.high}")
    return range(low, high + 1, step)


def _number(text: str, field: _Field) -> int:
    value = int(text) if text.isdigit() else field.names.get(text.lower(), -1)
    if not field.low <= value <= field.high:
        if not text.isdigit():
            raise _unreadable(text, field)
        raise CronRefused(f"{field.name} {text} is out of range", f"write {field.low} to {field.high}")
    return value


def _unreadable(text: str, field: _Field) -> CronRefused:
    foreign = next((f"{mark} ({meant})" for mark, meant in _FOREIGN.items() if mark in text.upper()), None)
    names = f" or {', '.join(field.names)}" if field.names else ""
    remedy = f"write *, {field.low} to {field.high}{names}, a range a-b, a step */n, or a list of these"
    if foreign and not any(name in text.lower() for name in field.names):
        return CronRefused(f"{field.name} {text!r}: {foreign} is not part of this dialect", remedy)
    return CronRefused(f"{field.name} {text!r} cannot be read", remedy)


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers[:12])) + (", …" if len(numbers) > 12 else "")
