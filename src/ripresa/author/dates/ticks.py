"""Ticks: the instants of a cron or an interval, in UTC, forwards and backwards, without bounds.

A cron is matched against the clock of its zone.  What happens where clocks change is decided as Vixie's cron does it,
by the kind of job (P. Vixie, cron 3.0; Debian's patch for clock changes):

- a *fixed-time* job (no `*` at the start of the minute and hour fields) has its time once a day: a time in a gap comes
  at the end of the gap, a time that comes twice counts once – unless the schedule says otherwise;
- a *wildcard* job follows the clock as it runs: every real hour has its `0 * * * *`, and a gap has none.

The search goes over walls, which the fields name directly, and asks of each at which instants it comes.  It starts
early enough to see a wall's second coming and stops as soon as no later wall can come sooner, so that it takes a few
steps whatever the zone does, and what it returns is later (earlier) than the moment by comparison of instants.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Literal, Protocol
from zoneinfo import ZoneInfo

from ripresa.author.dates.walls import Instants, instants_of, repeated, wall_of
from ripresa.contracts.cron import MACROS, Cron

YEAR_MIN, YEAR_MAX = 2, 9_998
"""Beyond them there is no tick: the calendar of Python ends a year later."""
Gap = Literal["run_after", "skip"]
Overlap = Literal["first", "second", "both"]


class Ticks(Protocol):
    """Instants without end."""

    def after(self, moment: datetime) -> datetime | None:
        """The first one later than `moment`; None at the end of the calendar."""

    def before(self, moment: datetime) -> datetime | None:
        """The last one earlier than `moment`."""


class NoTicks:
    """Of a workflow that is started by hand or by an event."""

    def after(self, moment: datetime) -> datetime | None:
        return None

    def before(self, moment: datetime) -> datetime | None:
        return None


@dataclass(frozen=True, slots=True)
class IntervalTicks:
    """`anchor` and every so long before and after it, in elapsed time: no clock change moves them."""

    every: timedelta
    anchor: datetime

    def after(self, moment: datetime) -> datetime | None:
        return self._at((moment - self.anchor) // self.every + 1)

    def before(self, moment: datetime) -> datetime | None:
        return self._at(-((self.anchor - moment) // self.every) - 1)

    def _at(self, number: int) -> datetime | None:
        try:
            tick = self.anchor + number * self.every
        except OverflowError:
            return None
        return tick if YEAR_MIN <= tick.year <= YEAR_MAX else None


@dataclass(frozen=True, slots=True)
class CronTicks:
    """The instants at which a cron fires in a zone."""

    cron: Cron
    zone: ZoneInfo
    gap: Gap = "run_after"
    overlap: Overlap = "first"
    both_days: bool = False
    fixed: bool = field(init=False)
    _times: tuple[int, ...] = field(init=False, repr=False)
    _days: dict[tuple[int, int, int], tuple[int, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        minute, hour, *_ = MACROS.get(self.cron.text, self.cron.text).split()
        times = sorted(60 * hour + minute for hour in self.cron.hours for minute in self.cron.minutes)
        object.__setattr__(self, "fixed", not minute.startswith("*") and not hour.startswith("*"))
        object.__setattr__(self, "_times", tuple(times))
        object.__setattr__(self, "_days", {})

    def after(self, moment: datetime) -> datetime | None:
        wall = wall_of(moment, self.zone)
        best: datetime | None = None
        for candidate in self._walls_from(wall - repeated(wall, self.zone)):
            instants = instants_of(candidate, self.zone)
            if best is not None and instants.first >= best:
                break
            later = [one for one in self._chosen(instants) if one > moment and (best is None or one < best)]
            best = min(later, default=best)
        return best

    def before(self, moment: datetime) -> datetime | None:
        wall = wall_of(moment, self.zone)
        best: datetime | None = None
        for candidate in self._walls_until(wall + repeated(wall, self.zone)):
            instants = instants_of(candidate, self.zone)
            if best is not None and instants.last <= best:
                break
            sooner = [one for one in self._chosen(instants) if one < moment and (best is None or one > best)]
            best = max(sooner, default=best)
        return best

    def _chosen(self, instants: Instants) -> tuple[datetime, ...]:
        """Those of a wall's instants at which the job runs."""
        if not instants.exists:
            return (instants.first,) if self.fixed and self.gap == "run_after" else ()
        if not self.fixed or self.overlap == "both":
            return (instants.first, instants.last)
        return (instants.first,) if self.overlap == "first" else (instants.last,)

    # -- walls, by the calendar ------------------------------------------------------------

    def _walls_from(self, wall: datetime) -> Iterator[datetime]:
        """Matching walls not before `wall`, ascending."""
        minute = 60 * wall.hour + wall.minute + (wall.second > 0 or wall.microsecond > 0)
        first = bisect_left(self._times, minute)
        for day in self._days_from(wall.date()):
            midnight = datetime(day.year, day.month, day.day)  # noqa: DTZ001 - a wall has no zone
            for time in self._times[first if day == wall.date() else 0 :]:
                yield midnight + timedelta(minutes=time)

    def _walls_until(self, wall: datetime) -> Iterator[datetime]:
        """Matching walls not after `wall`, descending."""
        last = bisect_right(self._times, 60 * wall.hour + wall.minute)
        for day in self._days_until(wall.date()):
            midnight = datetime(day.year, day.month, day.day)  # noqa: DTZ001 - a wall has no zone
            for time in reversed(self._times[: last if day == wall.date() else None]):
                yield midnight + timedelta(minutes=time)

    def _days_from(self, start: date) -> Iterator[date]:
        for year in range(start.year, YEAR_MAX + 1):
            for month in range(start.month if year == start.year else 1, 13):
                days = self._days_of(year, month)
                same = (year, month) == (start.year, start.month)
                for day in days[bisect_left(days, start.day) if same else 0 :]:
                    yield date(year, month, day)

    def _days_until(self, start: date) -> Iterator[date]:
        for year in range(start.year, YEAR_MIN - 1, -1):
            for month in range(start.month if year == start.year else 12, 0, -1):
                days = self._days_of(year, month)
                same = (year, month) == (start.year, start.month)
                for day in reversed(days[: bisect_right(days, start.day) if same else None]):
                    yield date(year, month, day)

    def _days_of(self, year: int, month: int) -> tuple[int, ...]:
        """The days of a month that match; months of one shape (length, weekday of the 1st) are worked out once."""
        if month not in self.cron.months:
            return ()
        first, length = monthrange(year, month)
        days = self._days.get((month, first, length))
        if days is None:
            # monthrange has Monday as 0, a cron has Sunday.
            days = tuple(day for day in range(1, length + 1) if self._matches(day, (first + day) % 7))
            self._days[month, first, length] = days
        return days

    def _matches(self, day: int, weekday: int) -> bool:
        """Vixie's rule: both day fields given, either suffices (unless both are asked for); `*` is not given."""
        by_date, by_weekday = day in self.cron.days, weekday in self.cron.weekdays
        if self.both_days or self.cron.any_day or self.cron.any_weekday:
            return by_date and by_weekday
        return by_date or by_weekday
