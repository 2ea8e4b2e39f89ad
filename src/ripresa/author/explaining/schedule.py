"""The schedule: when runs start, in words, the next of them, and what clock changes do to those."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from ripresa.author.dates import Schedule
from ripresa.author.dates.ticks import CronTicks
from ripresa.author.dates.walls import repeated, wall_of
from ripresa.author.explaining.cron_words import in_words
from ripresa.contracts.cron import Cron
from ripresa.contracts.durations import micros, spelled
from ripresa.contracts.spec import CatchUp
from ripresa.contracts.spec import Schedule as ScheduleSpec

STARTS_SHOWN = 5
_CHANGE_SOUGHT = timedelta(days=370)
_SECOND, _DAY = timedelta(seconds=1), timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """One run to come, in the schedule's zone: when it is due, which time it is about, what is special about it."""

    due: datetime
    logical_date: datetime
    data_interval_start: datetime
    data_interval_end: datetime
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleTold:
    """When a workflow starts by itself: in words, the rules that go with it, and the next starts."""

    says: str
    timezone: str
    rules: tuple[str, ...]
    starts: tuple[Start, ...]
    clock_change: str = ""
    """The next change of the zone's clocks, and what it does to a start; "" if none comes within a year."""


def explain_schedule(spec: ScheduleSpec, *, now: datetime, count: int = STARTS_SHOWN) -> ScheduleTold:
    """The schedule from `now` on; `now` has a zone."""
    read = Schedule.of(spec.written())
    ticking = spec.cron is not None or spec.interval is not None
    return ScheduleTold(
        says=_says(spec),
        timezone=spec.timezone,
        rules=tuple(_rules(spec)),
        starts=tuple(_starts(spec, read, now, count)) if ticking else (),
        clock_change=_clock_change(spec, read.zone, now) if ticking else "",
    )


def _says(spec: ScheduleSpec) -> str:
    if spec.cron is not None:
        return f"{in_words(Cron.parse(spec.cron), both_days=spec.day_match == 'and')}, {_of_zone(spec.timezone)}"
    if spec.interval is not None:
        counted = spec.start_date or "the beginning of 1970"
        return f"every {spelled(micros(spec.interval))}, counted from {counted}"
    source = f" from {spec.source}…" if spec.source else ""
    where = f", if {spec.where}" if spec.where else ""
    return f"when an event {spec.trigger} comes{source}{where}"


def _of_zone(zone: str) -> str:
    return "UTC" if zone == "UTC" else f"by the clock of {zone}"


# --- rules -------------------------------------------------------------------------------------

_OVERLAP = {
    "skip": "a start while a run goes on is left out",
    "queue": "a start while a run goes on waits for its end",
    "allow": "runs may overlap",
    "cancel_running": "a start cancels the run that goes on",
}


def _rules(spec: ScheduleSpec) -> list[str]:
    told = []
    if spec.start_date is not None and spec.trigger is None:
        told.append(f"first logical date {spec.start_date}")
    if spec.end_date is not None:
        told.append(f"last logical date {spec.end_date}")
    if spec.trigger is None:
        told.append(_catchup(spec))
    return [*told, _OVERLAP[spec.overlap]]


def _catchup(spec: ScheduleSpec) -> str:
    rule = spec.catchup
    if isinstance(rule, CatchUp):
        window = f", none older than {rule.window}" if rule.window else ""
        return f"of the starts that were missed, the newest {rule.max} are made up for{window}"
    if rule is False:
        return "starts that were missed are not made up for"
    return (
        "all starts that were missed are made up for" if rule is True else "only the newest missed start is made up for"
    )


# --- starts ------------------------------------------------------------------------------------


def _starts(spec: ScheduleSpec, read: Schedule, now: datetime, count: int) -> list[Start]:
    found: list[Start] = []
    due = read.next_due_after(now)
    while due is not None and len(found) < count:
        begin, end = read.data_interval(due.logical_date)
        local = [one.astimezone(read.zone) for one in (due.at, due.logical_date, begin, end)]
        notes = (*_wall_notes(spec, read.zone, due.at), *_interval_notes(local[2], local[3]))
        found.append(
            Start(due=local[0], logical_date=local[1], data_interval_start=local[2], data_interval_end=local[3],
                  notes=notes)
        )  # fmt: skip
        due = read.next_due_after(due.at)
    return found


def _wall_notes(spec: ScheduleSpec, zone: ZoneInfo, at: datetime) -> list[str]:
    if spec.cron is None:
        return []
    wall, cron = wall_of(at, zone), Cron.parse(spec.cron)
    if wall.minute not in cron.minutes or wall.hour not in cron.hours:
        return [f"its time does not exist that day, so it starts at {wall:%H:%M}"]
    if repeated(wall, zone):
        which = "second" if at.astimezone(zone).fold else "first"
        return [f"{wall:%H:%M} comes twice that day, and this is the {which}"]
    return []


def _interval_notes(begin: datetime, end: datetime) -> list[str]:
    change = (end.utcoffset() or timedelta()) - (begin.utcoffset() or timedelta())
    if not change:
        return []
    length = spelled((end.timestamp() - begin.timestamp()).__round__() * 1_000_000)
    return [f"{length} of data: clocks go {_way(change)}"]


def _way(change: timedelta) -> str:
    return "forward" if change > timedelta() else "back"


# --- clock changes -----------------------------------------------------------------------------


def _clock_change(spec: ScheduleSpec, zone: ZoneInfo, now: datetime) -> str:
    """The zone's next change of clocks, and what a fixed time of a cron does then."""
    at = _next_change(zone, now)
    if at is None:
        return ""
    before, after = (at - _SECOND).astimezone(zone), at.astimezone(zone)
    change = (after.utcoffset() or timedelta()) - (before.utcoffset() or timedelta())
    length = spelled(abs(round(change.total_seconds())) * 1_000_000)
    said = f"clocks go {_way(change)} by {length} on {after:%a %Y-%m-%d} at {before + _SECOND:%H:%M}"
    return f"{said}: {_then(spec, zone, at, change)}"


def _then(spec: ScheduleSpec, zone: ZoneInfo, at: datetime, change: timedelta) -> str:
    if spec.cron is None:
        return "an interval does not heed them"
    if not CronTicks(Cron.parse(spec.cron), zone).fixed:
        return "every real hour has its starts, and an hour that is left out has none"
    if not _matters(spec, at):
        return "no start falls into that"
    if change > timedelta():
        return f"a time that does not exist is {_GAP[spec.dst.gap]}"
    return f"a time that comes twice counts {_OVERLAP_OF_CLOCKS[spec.dst.overlap]}"


_GAP = {"run_after": "started at the first that does", "skip": "left out"}
_OVERLAP_OF_CLOCKS = {"first": "the first time", "second": "the second time", "both": "both times"}


def _matters(spec: ScheduleSpec, at: datetime) -> bool:
    """Whether it makes a difference what is done about the change at `at`."""
    rules: tuple[dict[str, str], ...] = ({"gap": "run_after", "overlap": "first"}, {"gap": "skip", "overlap": "both"})
    one, other = (Schedule.of({**spec.written(), "dst": rule}) for rule in rules)
    window = (at - _DAY, at + _DAY)
    return list(one.logical_dates(*window)) != list(other.logical_dates(*window))


def _next_change(zone: ZoneInfo, now: datetime) -> datetime | None:
    """The first instant after `now` with another offset than before, to the second; None within a year."""
    low, end = now, now + _CHANGE_SOUGHT
    while low < end:
        high = low + _DAY
        if _offset(low, zone) != _offset(high, zone):
            return _between(low, high, zone)
        low = high
    return None


def _between(low: datetime, high: datetime, zone: ZoneInfo) -> datetime:
    low, old = low.replace(microsecond=0), _offset(low, zone)
    high = high.replace(microsecond=0)
    while high - low > _SECOND:
        middle = low + (high - low) // _SECOND // 2 * _SECOND
        if _offset(middle, zone) == old:
            low = middle
        else:
            high = middle
    return high


def _offset(moment: datetime, zone: ZoneInfo) -> timedelta | None:
    return moment.astimezone(zone).utcoffset()
