"""Cron in words: `30 6 * * mon-fri` is "at 06:30 from Monday to Friday"."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ripresa.contracts.cron import Cron

_WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_TIMES_SHOWN_MAX = 6
_ALL_MINUTES, _ALL_HOURS = frozenset(range(60)), frozenset(range(24))


def in_words(cron: Cron, *, both_days: bool = False) -> str:
    """When it fires; `both_days` is `day_match: and`."""
    time, is_time = _time(sorted(cron.minutes), sorted(cron.hours))
    days = _days(cron, both_days=both_days)
    if not days and is_time:
        days = "every day"
    return " ".join(filter(None, (time, days, _months(cron))))


# --- times -------------------------------------------------------------------------------------


def _time(minutes: list[int], hours: list[int]) -> tuple[str, bool]:
    """The times, and whether they are times of day (rather than `every …`)."""
    if len(minutes) * len(hours) <= _TIMES_SHOWN_MAX:
        return f"at {_listed(f'{hour:02}:{minute:02}' for hour in hours for minute in minutes)}", True
    whole_day = len(hours) == 24
    minute_step, hour_step = _step(minutes, 60), _step(hours, 24)
    within = "" if whole_day else _within(hours, minutes)
    if minute_step == 1:
        return f"every minute{within}", False
    if minute_step is not None and minute_step < 60:
        return f"every {minute_step} minutes{within}", False
    if len(minutes) == 1:
        return _hourly(minutes[0], hours, hour_step)
    said = f"at minutes {_listed(map(str, minutes))} of every hour" if whole_day else ""
    return said or f"at minutes {_listed(map(str, minutes))} of hours {_ranges(hours)}", False


def _hourly(minute: int, hours: list[int], step: int | None) -> tuple[str, bool]:
    past = "" if minute == 0 else f", {minute} minute{'s'[: minute != 1]} past"
    if step == 1:
        return f"every hour{past}", False
    if step is not None:
        return f"every {step} hours from 00:{minute:02}", False
    if hours == list(range(hours[0], hours[-1] + 1)):
        return f"every hour from {hours[0]:02}:{minute:02} to {hours[-1]:02}:{minute:02}", False
    return f"at {_listed(f'{hour:02}:{minute:02}' for hour in hours)}", True


def _within(hours: list[int], minutes: list[int]) -> str:
    if hours == list(range(hours[0], hours[-1] + 1)):
        return f" from {hours[0]:02}:{minutes[0]:02} to {hours[-1]:02}:{minutes[-1]:02}"
    return f" in the hours {_ranges(hours)}"


def _step(values: Sequence[int], size: int) -> int | None:
    """The step that gives these values all around the clock."""
    step = values[1] - values[0] if len(values) > 1 else size
    return step if size % step == 0 and list(values) == list(range(0, size, step)) else None


# --- days --------------------------------------------------------------------------------------


def _days(cron: Cron, *, both_days: bool) -> str:
    dates = "" if len(cron.days) == 31 else _dates(sorted(cron.days))
    weekdays = "" if len(cron.weekdays) == 7 else _weekdays(cron.weekdays)
    either = not both_days and not cron.any_day and not cron.any_weekday
    if either:  # one that names every day makes the other needless
        return f"{dates} and {weekdays}, whichever fits" if dates and weekdays else ""
    return f"{dates} if it is {weekdays.partition(' ')[2]}" if dates and weekdays else dates or weekdays


def _dates(days: list[int]) -> str:
    if len(days) == 1:
        return f"on day {days[0]} of the month" if days[0] > 1 else "on the first of the month"
    return f"on days {_ranges(days)} of the month"


def _weekdays(days: frozenset[int]) -> str:
    week = [day for day in (1, 2, 3, 4, 5, 6, 0) if day in days]
    positions = [(day - 1) % 7 for day in week]
    if len(week) > 2 and positions == list(range(positions[0], positions[-1] + 1)):
        return f"from {_WEEKDAYS[week[0]]} to {_WEEKDAYS[week[-1]]}"
    return f"on {_listed(_WEEKDAYS[day] for day in week)}"


def _months(cron: Cron) -> str:
    months = sorted(cron.months)
    if len(months) == 12:
        return ""
    if len(months) > 2 and months == list(range(months[0], months[-1] + 1)):
        return f"from {_MONTHS[months[0] - 1]} to {_MONTHS[months[-1] - 1]}"
    return f"in {_listed(_MONTHS[month - 1] for month in months)}"


# --- lists -------------------------------------------------------------------------------------


def _listed(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def _ranges(values: list[int]) -> str:
    """`1–5, 8 and 10`."""
    groups: list[list[int]] = []
    for value in values:
        if groups and value == groups[-1][-1] + 1:
            groups[-1].append(value)
        else:
            groups.append([value])
    parts: list[str] = []
    for group in groups:
        parts += [f"{group[0]}–{group[-1]}"] if len(group) > 2 else [str(value) for value in group]
    return _listed(parts)
