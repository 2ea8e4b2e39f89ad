"""RunDates: the date variables of one run, in the time of its schedule's zone."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime, timedelta, timezone
from typing import Any, Self
from zoneinfo import ZoneInfo

from ripresa.author.dates.schedule import Schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDates:
    """The date variables of a run, as templates and jobs see them.

    Moments carry the zone's offset at that time (`2024-07-01T02:00:00+02:00`).  `execution_date` is the logical date;
    `ds` is its day in the zone, `ts` the same in ISO 8601.  The data interval is from one tick of the schedule to the
    next, or empty without a schedule; `prev_execution_date` and `next_execution_date` are then None.
    """

    execution_date: datetime
    ds: str
    ts: str
    prev_execution_date: datetime | None
    next_execution_date: datetime | None
    data_interval_start: datetime
    data_interval_end: datetime

    @classmethod
    def of(cls, schedule: Schedule | None, logical_date: datetime) -> Self:
        """The dates of the run of `logical_date`; one without a zone is in the schedule's (UTC without a schedule)."""
        schedule = schedule or Schedule()
        start, end = schedule.data_interval(logical_date)
        previous, following = schedule.neighbours(logical_date)
        at = _local(schedule.instant(logical_date), schedule.zone)
        return cls(
            execution_date=at,
            ds=at.date().isoformat(),
            ts=at.isoformat(),
            prev_execution_date=previous and _local(previous, schedule.zone),
            next_execution_date=following and _local(following, schedule.zone),
            data_interval_start=_local(start, schedule.zone),
            data_interval_end=_local(end, schedule.zone),
        )

    def variables(self) -> dict[str, Any]:
        """As variables of templates: moments as datetimes."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    def texts(self) -> dict[str, str]:
        """As texts, for a job's environment; those that are None are left out."""
        values = self.variables()
        return {
            name: value if isinstance(value, str) else value.isoformat()
            for name, value in values.items()
            if value is not None
        }


def _local(moment: datetime, zone: ZoneInfo) -> datetime:
    """The moment in the zone's time, under a fixed offset: such datetimes compare as instants, a zone's do not."""
    local = moment.astimezone(zone)
    return local.replace(tzinfo=timezone(local.utcoffset() or timedelta()), fold=0)
