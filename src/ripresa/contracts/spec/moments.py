"""Dates, moments and time zones of the contract."""

from __future__ import annotations

import re
from datetime import date, datetime, time
from difflib import get_close_matches
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from ripresa.contracts.spec.base import refuse

YEAR_MIN, YEAR_MAX = 1970, 2200
_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]{0,30}(?:/[A-Za-z][A-Za-z0-9_+-]{0,30}){0,2}", re.ASCII)
_NO_ZONES = frozenset(("localtime", "posixrules", "Factory", "leapseconds", "tzdata"))
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?"
    r"(?P<offset>[Zz]|[+-][0-9]{2}:[0-9]{2})?",
    re.ASCII,
)


@lru_cache(maxsize=256)
def _known(zone: str) -> bool:
    if not _ZONE.fullmatch(zone) or zone in _NO_ZONES or zone.startswith(("posix/", "right/")):
        return False
    try:
        return ZoneInfo(zone).key == zone and zone in available_timezones()
    except (ValueError, OSError, KeyError):
        return False


def check_zone(value: str) -> str:
    """A time zone of the IANA database, in its own spelling."""
    if _known(value):
        return value
    same = {zone.casefold(): zone for zone in available_timezones()}
    near = same.get(value.casefold()) or next(iter(get_close_matches(value, same.values(), 1)), None)
    meant = f"write {near}" if near else "write a name of the IANA database, as Europe/Paris or UTC"
    raise refuse("zone_unknown", f"{value[:60]!r} is no time zone", meant)


def check_date_or_moment(value: str) -> str:
    """A date (midnight in the schedule's zone), or a moment with its offset."""
    if not _DATE.fullmatch(value):
        return check_moment(value)
    try:
        year = date.fromisoformat(value).year
    except ValueError:
        raise refuse("date_invalid", f"{value} is no day of the calendar", "write a day that there is") from None
    _require_year(year, value)
    return value


def check_moment(value: str) -> str:
    """A moment with its offset, ISO 8601."""
    found = _MOMENT.fullmatch(value)
    if not found:
        raise refuse("date_invalid", f"{value[:60]!r} is no moment", "write 2024-01-31T06:00:00Z")
    if not found["offset"]:
        raise refuse(
            "date_without_offset", f"{value} has no offset from UTC", f"write {value}Z, or the offset as +01:00"
        )
    try:
        year = datetime.fromisoformat(value.upper()).year
    except ValueError:
        raise refuse("date_invalid", f"{value} is no moment of the calendar", "write one that there is") from None
    _require_year(year, value)
    return value


def check_clock_time(value: str) -> str:
    """A time of day, `06:00`."""
    if re.fullmatch(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]", value, re.ASCII):
        return value
    raise refuse("time_invalid", f"{value[:20]!r} is no time of day", 'write "06:00", from 00:00 to 23:59')


def _require_year(year: int, value: str) -> None:
    if not YEAR_MIN <= year <= YEAR_MAX:
        raise refuse("date_out_of_range", f"{value} is not within {YEAR_MIN} to {YEAR_MAX}", "write a year within them")


def moment_of(value: str, zone: str) -> datetime:
    """A checked date (midnight in `zone`) or moment as a point in time."""
    if _DATE.fullmatch(value):
        return datetime.combine(date.fromisoformat(value), time(), ZoneInfo(zone))
    return datetime.fromisoformat(value.upper())
