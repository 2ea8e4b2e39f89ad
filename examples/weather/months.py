"""Months: statistics of a month of observations, and of a whole record of months.  Pure functions over values.

A *wet day* has 1 mm of precipitation or more and a *dry spell* is a run of consecutive days with less, as in the
climate indices of the World Meteorological Organization (ETCCDI).  A day's mean is half-way between its extremes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from itertools import groupby
from statistics import fmean, linear_regression

from observations import Observation
from pydantic import BaseModel

WET_MM = 1.0


class Extreme(BaseModel):
    """The day that went furthest, and how far."""

    date: date
    value: float


class DrySpell(BaseModel):
    """Consecutive dry days, first and last included."""

    first: date
    last: date

    @property
    def days(self) -> int:
        """How many days it lasted."""
        return (self.last - self.first).days + 1


class MonthSummary(BaseModel):
    """What a month was like.  Temperatures in °C, precipitation in mm."""

    month: str
    days: int
    mean: float
    mean_max: float
    mean_min: float
    warmest: Extreme
    coldest: Extreme
    trend_per_week: float  # °C that a week made warmer, by least squares over the month
    precipitation: float
    wet_days: int
    wettest: Extreme
    dry_spells: list[DrySpell]
    normal: float | None = None  # the station's 30-year mean for this month of the year

    @property
    def longest_dry_spell(self) -> int:
        """Days of the longest dry spell within the month."""
        return max((spell.days for spell in self.dry_spells), default=0)

    @property
    def anomaly(self) -> float | None:
        """How much warmer than normal."""
        return None if self.normal is None else self.mean - self.normal


class YearSummary(BaseModel):
    """What a year was like."""

    year: int
    mean: float
    precipitation: float
    wet_days: int
    anomaly: float | None


class RecordSummary(BaseModel):
    """What all months were like together."""

    first_month: str
    last_month: str
    days: int
    warmest: Extreme
    coldest: Extreme
    wettest: Extreme
    longest_dry_spell: DrySpell | None
    years: list[YearSummary]


def summarise(month: str, observations: Sequence[Observation], normal: float | None = None) -> MonthSummary:
    """The statistics of one month; there must be at least one observation."""
    return MonthSummary(
        month=month,
        days=len(observations),
        mean=fmean(map(mean_of, observations)),
        mean_max=fmean(seen.temp_max for seen in observations),
        mean_min=fmean(seen.temp_min for seen in observations),
        warmest=_furthest((Extreme(date=seen.date, value=seen.temp_max) for seen in observations), 1),
        coldest=_furthest((Extreme(date=seen.date, value=seen.temp_min) for seen in observations), -1),
        trend_per_week=trend_per_week(observations),
        precipitation=sum(seen.precipitation for seen in observations),
        wet_days=sum(seen.precipitation >= WET_MM for seen in observations),
        wettest=_furthest((Extreme(date=seen.date, value=seen.precipitation) for seen in observations), 1),
        dry_spells=dry_spells(seen.date for seen in observations if seen.precipitation < WET_MM),
        normal=normal,
    )


def mean_of(seen: Observation) -> float:
    """A day's mean temperature."""
    return (seen.temp_max + seen.temp_min) / 2


def trend_per_week(observations: Sequence[Observation]) -> float:
    """Slope of the daily means, °C a week; 0 for a single day."""
    if len(observations) < 2:
        return 0.0
    days = [float(seen.date.toordinal()) for seen in observations]
    return 7 * linear_regression(days, [mean_of(seen) for seen in observations]).slope


def dry_spells(dry_days: Iterable[date]) -> list[DrySpell]:
    """The dry days, which come in order, as spells; a day without an observation ends a spell."""
    return joined(DrySpell(first=day, last=day) for day in dry_days)


def joined(spells: Iterable[DrySpell]) -> list[DrySpell]:
    """Spells in order, those that touch made one: a drought does not end with the month."""
    whole: list[DrySpell] = []
    for spell in spells:
        if whole and whole[-1].last + timedelta(days=1) == spell.first:
            whole[-1] = DrySpell(first=whole[-1].first, last=spell.last)
        else:
            whole.append(spell)
    return whole


def summarise_record(months: Sequence[MonthSummary]) -> RecordSummary:
    """The statistics of all months, from theirs."""
    spells = joined(spell for month in months for spell in month.dry_spells)
    return RecordSummary(
        first_month=months[0].month,
        last_month=months[-1].month,
        days=sum(month.days for month in months),
        warmest=_furthest((month.warmest for month in months), 1),
        coldest=_furthest((month.coldest for month in months), -1),
        wettest=_furthest((month.wettest for month in months), 1),
        longest_dry_spell=max(spells, key=lambda spell: spell.days, default=None),
        years=[_year(int(year), list(group)) for year, group in groupby(months, key=lambda month: month.month[:4])],
    )


def _year(year: int, months: Sequence[MonthSummary]) -> YearSummary:
    days = sum(month.days for month in months)
    anomalies = [month.anomaly * month.days for month in months if month.anomaly is not None]
    return YearSummary(
        year=year,
        mean=sum(month.mean * month.days for month in months) / days,
        precipitation=sum(month.precipitation for month in months),
        wet_days=sum(month.wet_days for month in months),
        anomaly=sum(anomalies) / days if len(anomalies) == len(months) else None,
    )


def _furthest(extremes: Iterable[Extreme], sign: int) -> Extreme:
    """The first of those that go furthest up (1) or down (-1)."""
    return max(extremes, key=lambda extreme: sign * extreme.value)
