"""Moments: dates written after a pattern, the same on every machine and in every locale."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from ripresa.author.templates.problem import Problem
from ripresa.author.templates.values import kind_of, shown
from ripresa.contracts.errors import TemplateValue

PATTERN_CHARS_MAX = 256
_ISO_CHARS_MAX = 40
_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

DIRECTIVES: dict[str, Callable[[datetime], str]] = {
    "Y": lambda at: f"{at.year:04}",
    "m": lambda at: f"{at.month:02}",
    "d": lambda at: f"{at.day:02}",
    "H": lambda at: f"{at.hour:02}",
    "M": lambda at: f"{at.minute:02}",
    "S": lambda at: f"{at.second:02}",
    "f": lambda at: f"{at.microsecond:06}",
    "y": lambda at: f"{at.year % 100:02}",
    "j": lambda at: f"{at.timetuple().tm_yday:03}",
    "b": lambda at: _MONTHS[at.month - 1][:3],
    "B": lambda at: _MONTHS[at.month - 1],
    "a": lambda at: _DAYS[at.weekday()][:3],
    "A": lambda at: _DAYS[at.weekday()],
    "u": lambda at: str(at.isoweekday()),
    "w": lambda at: str(at.isoweekday() % 7),
    "G": lambda at: f"{at.isocalendar().year:04}",
    "V": lambda at: f"{at.isocalendar().week:02}",
    "I": lambda at: f"{(at.hour + 11) % 12 + 1:02}",
    "p": lambda at: "AM" if at.hour < 12 else "PM",
    "z": lambda at: at.strftime("%z"),
    "s": lambda at: str(int(_aware(at).timestamp())),
    "F": lambda at: at.date().isoformat(),
    "T": lambda at: f"{at.hour:02}:{at.minute:02}:{at.second:02}",
    "%": lambda _: "%",
}
"""What may follow a `%`, with the meaning it has in C and Python; names are English, a year has four digits."""


def check_pattern(pattern: object) -> str:
    """The pattern, if `written` can follow it; raises Problem."""
    if not isinstance(pattern, str):
        raise Problem(TemplateValue, f"the pattern of `date` is {kind_of(pattern)}", remedy='write `date("%Y-%m-%d")`')
    if len(pattern) > PATTERN_CHARS_MAX:
        raise Problem(
            TemplateValue, f"the pattern of `date` has more than {PATTERN_CHARS_MAX} characters", remedy="use several"
        )
    for letter in _directives(pattern):
        if letter not in DIRECTIVES:
            raise Problem(
                TemplateValue,
                f"`%{letter}` is no part of a date pattern",
                remedy=f"there are: {' '.join(f'%{known}' for known in DIRECTIVES)}",
                what=f"%{letter}",
            )
    return pattern


def written(moment: datetime, pattern: str) -> str:
    """The moment after the pattern.  Raises Problem for a directive that there is not."""
    check_pattern(pattern)
    parts = []
    at = 0
    while (sign := pattern.find("%", at)) >= 0:
        parts += [pattern[at:sign], DIRECTIVES[pattern[sign + 1]](moment)]
        at = sign + 2
    return "".join([*parts, pattern[at:]])


def moment_of(value: object) -> datetime:
    """A date variable as it is, or the date that a text in ISO 8601 holds.  Raises Problem."""
    if isinstance(value, datetime):
        return value
    if isinstance(value, str) and len(value) <= _ISO_CHARS_MAX and value.isascii():
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            pass
    raise Problem(
        TemplateValue, f"{shown(value)} is no date", remedy='`date` takes a date variable or a text as "2024-01-31"'
    )


def _directives(pattern: str) -> list[str]:
    letters = []
    at = pattern.find("%")
    while at >= 0:
        letters.append(pattern[at + 1 : at + 2])
        at = pattern.find("%", at + 2)
    return letters


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
