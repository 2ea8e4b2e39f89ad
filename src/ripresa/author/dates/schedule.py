"""Schedule: when the runs of a workflow are due, and which time each is about.

A schedule's ticks cut time into data intervals.  The run that is about the interval from one tick to the next has the
first of them as its *logical date* and is due at the second, when the interval is over – the field's convention
(Airflow's data intervals), so that `ds` of a nightly run names the day that has just ended.

    tick ──── tick ──── tick
      └ logical date of A
      └──── A ────┘ A is due
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, NamedTuple, Self
from zoneinfo import ZoneInfo

from ripresa.author.dates.ticks import YEAR_MAX, YEAR_MIN, CronTicks, Gap, IntervalTicks, NoTicks, Overlap, Ticks
from ripresa.author.dates.walls import instants_of, wall_of, zone_named
from ripresa.contracts.cron import require_cron
from ripresa.contracts.durations import Duration, micros

INTERVAL_US_MIN = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INSTANT = timedelta(microseconds=1)


class Due(NamedTuple):
    """A scheduled run: when it is due, and its logical date.  Both in UTC."""

    at: datetime
    logical_date: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """One of `cron` and `interval`, or neither; all else says how they are read.

    `timezone` is the zone of the cron's times and of dates.  `interval` counts in elapsed time from `start_date`, or
    from the beginning of 1970 in UTC.  `start_date` and `end_date` bound the logical dates, both included; a date
    without a time is that whole day, a datetime without a zone is of `timezone`.  `dst_gap` and `dst_overlap` say what
    a fixed time does that never comes or comes twice, `day_match` whether a day must fit one day field or both.

    Moments may be given in any zone; without one they are of `timezone`.  Those that come back are in UTC.

    Raises ValueError (TypeError for what is no date) naming the field, its value and the remedy.
    """

    cron: str | None = None
    interval: Duration | None = None
    timezone: str = "UTC"
    start_date: datetime | date | None = None
    end_date: datetime | date | None = None
    dst_gap: Gap = "run_after"
    dst_overlap: Overlap = "first"
    day_match: str = "or"
    zone: ZoneInfo = field(init=False, repr=False, compare=False)
    _ticks: Ticks = field(init=False, repr=False, compare=False)
    _start: datetime | None = field(init=False, repr=False, compare=False)
    _end: datetime | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _require_one_of("dst.gap", self.dst_gap, ("run_after", "skip"))
        _require_one_of("dst.overlap", self.dst_overlap, ("first", "second", "both"))
        _require_one_of("day_match", self.day_match, ("or", "and"))
        object.__setattr__(self, "zone", zone_named(self.timezone))
        object.__setattr__(self, "_start", _bound(self.start_date, self.zone, "start_date", last=False))
        object.__setattr__(self, "_end", _bound(self.end_date, self.zone, "end_date", last=True))
        object.__setattr__(self, "_ticks", self._make_ticks())

    @classmethod
    def of(cls, spec: str | timedelta | Mapping[str, Any] | Self | None) -> Self:
        """A schedule from what a definition says: `"@daily"`, `"0 2 * * *"`, `"1h"`, a timedelta, or a mapping.

        The mapping is the contract's `schedule:`, with dates also as text; what concerns triggers is left aside.
        Raises ValueError and TypeError as the constructor does.
        """
        if isinstance(spec, cls):
            return spec
        if isinstance(spec, str):
            is_cron = spec.startswith("@") or " " in spec.strip()
            return cls(cron=spec) if is_cron else cls(interval=spec)
        if isinstance(spec, timedelta):
            return cls(interval=spec)
        if spec is None:
            return cls()
        if not isinstance(spec, Mapping):
            msg = f'schedule: {type(spec).__name__} is no schedule; write "@daily", "0 2 * * *" or "1h"'
            raise TypeError(msg)
        dst = spec.get("dst") or {}
        known = {one.name for one in fields(cls) if one.init} - {"dst_gap", "dst_overlap"}
        given = {name: value for name, value in spec.items() if name in known and value is not None}
        for name in ("start_date", "end_date"):
            if isinstance(given.get(name), str):
                given[name] = _moment(given[name], name)
        return cls(dst_gap=dst.get("gap", "run_after"), dst_overlap=dst.get("overlap", "first"), **given)

    # -- logical dates ---------------------------------------------------------------------

    def next_after(self, moment: datetime) -> datetime | None:
        """The first logical date later than `moment`; None if there is none any more."""
        moment = self.instant(moment)
        if self._start is not None and moment < self._start:
            moment = self._start - _INSTANT
        tick = self._ticks.after(moment)
        return tick if tick is not None and (self._end is None or tick <= self._end) else None

    def previous_before(self, moment: datetime) -> datetime | None:
        """The last logical date earlier than `moment`; None if there was none yet."""
        moment = self.instant(moment)
        if self._end is not None and moment > self._end:
            moment = self._end + _INSTANT
        tick = self._ticks.before(moment)
        return tick if tick is not None and (self._start is None or tick >= self._start) else None

    def logical_dates(self, first: datetime, end: datetime) -> Iterator[datetime]:
        """All logical dates from `first` on and before `end`, in order."""
        end = self.instant(end)
        tick = self.next_after(self.instant(first) - _INSTANT)
        while tick is not None and tick < end:
            yield tick
            tick = self.next_after(tick)

    def next_due_after(self, moment: datetime) -> Due | None:
        """The first run that is due later than `moment`; None if there is none any more."""
        moment = self.instant(moment)
        logical = self.previous_before(moment + _INSTANT)
        if logical is None or self.due_at(logical) <= moment:
            logical = self.next_after(moment)
        return None if logical is None else Due(self.due_at(logical), logical)

    # -- one run ---------------------------------------------------------------------------

    def data_interval(self, logical_date: datetime) -> tuple[datetime, datetime]:
        """The time that the run of `logical_date` is about: from one tick to the next, bounds aside.

        A logical date between two ticks belongs to the interval that it lies in.  Without ticks, the interval is
        empty: it begins and ends at the logical date.
        """
        moment = self.instant(logical_date)
        start, end = self._ticks.before(moment + _INSTANT), self._ticks.after(moment)
        return (moment, moment) if start is None or end is None else (start, end)

    def due_at(self, logical_date: datetime) -> datetime:
        """When the scheduled run of `logical_date` starts: when its data interval is over."""
        return self.data_interval(logical_date)[1]

    def neighbours(self, logical_date: datetime) -> tuple[datetime | None, datetime | None]:
        """The logical dates before and after this one, bounds aside; None without ticks."""
        moment = self.instant(logical_date)
        return self._ticks.before(moment), self._ticks.after(moment)

    def logical_date_on(self, day: date) -> datetime:
        """The logical date that a person means by a day: the first tick of that day in the zone, or its beginning."""
        midnight = self.instant(datetime.combine(day, time()))
        tick = self._ticks.after(midnight - _INSTANT)
        return tick if tick is not None and wall_of(tick, self.zone).date() == day else midnight

    # -- inside ----------------------------------------------------------------------------

    def instant(self, moment: datetime) -> datetime:
        """The moment in UTC; one without a zone is of `timezone`.  Raises ValueError at the ends of the calendar."""
        return _instant(moment, self.zone, "date")

    def _make_ticks(self) -> Ticks:
        if self.cron is not None and self.interval is not None:
            msg = "schedule: cron and interval are both given; keep one"
            raise ValueError(msg)
        if self.cron is not None:
            both = self.day_match == "and"
            return CronTicks(require_cron(self.cron, both_days=both), self.zone, self.dst_gap, self.dst_overlap, both)
        if self.interval is not None:
            every = micros(self.interval, where="interval")
            if every < INTERVAL_US_MIN:
                msg = f"interval: {self.interval!r} is shorter than a second; write 1s or more"
                raise ValueError(msg)
            return IntervalTicks(timedelta(microseconds=every), self._start or _EPOCH)
        return NoTicks()


def _require_one_of(name: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        msg = f"{name}: {value!r} is not one of {', '.join(known)}"
        raise ValueError(msg)


def _moment(text: str, where: str) -> datetime | date:
    try:
        return date.fromisoformat(text) if len(text) <= len("2024-01-31") else datetime.fromisoformat(text)
    except ValueError:
        msg = f"{where}: {text[:40]!r} is no date; write 2024-01-31 or 2024-01-31T06:00:00Z"
        raise ValueError(msg) from None


def _instant(moment: datetime, zone: ZoneInfo, where: str) -> datetime:
    if not YEAR_MIN <= moment.year <= YEAR_MAX:
        msg = f"{where}: {moment.isoformat()} is not within the years {YEAR_MIN} to {YEAR_MAX}"
        raise ValueError(msg)
    return instants_of(moment, zone).first if moment.tzinfo is None else moment.astimezone(UTC)


def _bound(value: datetime | date | None, zone: ZoneInfo, where: str, *, last: bool) -> datetime | None:
    """A bound as an instant; a date without a time begins with its first instant, and ends with its last."""
    if value is None:
        return None
    if isinstance(value, datetime):
        return _instant(value, zone, where)
    if not isinstance(value, date):
        msg = f"{where}: {type(value).__name__} is no date; give a date or a datetime"
        raise TypeError(msg)
    midnight = datetime.combine(value, time())
    if last:
        return _instant(midnight + timedelta(days=1) if value < date.max else midnight, zone, where) - _INSTANT
    return _instant(midnight, zone, where)
