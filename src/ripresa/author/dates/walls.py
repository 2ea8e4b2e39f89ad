"""Walls: times on the clock of a zone, and the instants they stand for.

A wall is a datetime without a zone.  Where clocks go back, a wall comes twice; where they go forward, it never comes:

    overlap    01:00 ── 01:59 │ 01:00 ── 01:59   02:00       gap     01:59 │ 03:00
               first pass     │ second pass                           the end of the gap, an instant

`first` and `last` below never fall as walls rise, which is what lets a search over walls stop.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Instants:
    """What one wall stands for: `first` and `last` are one instant, two in an overlap, and the end of a gap."""

    first: datetime
    last: datetime
    exists: bool


def instants_of(wall: datetime, zone: ZoneInfo) -> Instants:
    """The instants, in UTC, at which the clock of `zone` shows `wall`."""
    before, after = _offset(wall, zone, 0), _offset(wall, zone, 1)
    if before == after:
        only = (wall - before).replace(tzinfo=UTC)
        return Instants(only, only, exists=True)
    if before > after:
        return Instants((wall - before).replace(tzinfo=UTC), (wall - after).replace(tzinfo=UTC), exists=True)
    end = _change((wall - after).replace(tzinfo=UTC), (wall - before).replace(tzinfo=UTC), zone)
    return Instants(end, end, exists=False)


def wall_of(moment: datetime, zone: ZoneInfo) -> datetime:
    """What the clock of `zone` shows at `moment`."""
    return moment.astimezone(zone).replace(tzinfo=None, fold=0)


def repeated(wall: datetime, zone: ZoneInfo) -> timedelta:
    """How far the clock goes back over `wall`; zero if it comes once."""
    return max(_offset(wall, zone, 0) - _offset(wall, zone, 1), timedelta())


@lru_cache(maxsize=1_024)
def zone_named(name: str) -> ZoneInfo:
    """The zone of the IANA database; the name is looked up in the list of all, never taken for a path.

    Raises ValueError that names the nearest.
    """
    if name == "UTC" or name in _names():
        return ZoneInfo(name)
    near = get_close_matches(name[:100], _names(), 1, 0.5)
    hint = f"did you mean {near[0]!r}?" if near else "write a name of the IANA database, as Europe/Paris"
    msg = f"timezone: there is no zone {name[:100]!r}; {hint}"
    raise ValueError(msg)


@lru_cache(maxsize=1)
def _names() -> frozenset[str]:
    return frozenset(available_timezones())


def _offset(wall: datetime, zone: ZoneInfo, fold: int) -> timedelta:
    return wall.replace(tzinfo=zone, fold=fold).utcoffset() or timedelta()


def _change(low: datetime, high: datetime, zone: ZoneInfo) -> datetime:
    """The first instant in (low, high] with another offset than `low` has, to the second."""
    old = low.astimezone(zone).utcoffset()
    while high - low > _SECOND:
        middle = low + (high - low) // _SECOND // 2 * _SECOND
        if middle.astimezone(zone).utcoffset() == old:
            low = middle
        else:
            high = middle
    return high
