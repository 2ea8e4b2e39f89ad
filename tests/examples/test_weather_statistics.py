"""What the weather example computes, against values worked out by hand."""

from datetime import date, timedelta

import pytest
from flaky_normals import monthly_normals
from months import (
    DrySpell,
    Extreme,
    dry_spells,
    joined,
    mean_of,
    summarise,
    summarise_record,
    trend_per_week,
)
from observations import Observation, packaged, sift


def a_day(day, *, rain=0.0, high=10.0, low=0.0):
    return Observation(date=day, precipitation=rain, temp_max=high, temp_min=low, wind=1.0, weather="sun")


def test_a_month_is_summarised_as_by_hand():
    first = date(2020, 2, 1)
    week = [
        a_day(first, rain=0.0, high=10, low=2),  # mean 6
        a_day(first + timedelta(1), rain=0.9, high=12, low=2),  # mean 7: below 1 mm, a dry day
        a_day(first + timedelta(2), rain=1.0, high=12, low=4),  # mean 8: wet
        a_day(first + timedelta(3), rain=20.5, high=14, low=4),  # mean 9: wet
        a_day(first + timedelta(4), rain=0.0, high=17, low=3),  # mean 10
    ]

    month = summarise("2020-02", week, normal=7.5)

    assert month.days == 5
    assert month.mean == 8.0
    assert month.mean_max == 13.0
    assert month.mean_min == 3.0
    assert month.warmest == Extreme(date=date(2020, 2, 5), value=17)
    assert month.coldest == Extreme(date=date(2020, 2, 1), value=2)
    assert month.precipitation == pytest.approx(22.4)
    assert month.wet_days == 2
    assert month.wettest == Extreme(date=date(2020, 2, 4), value=20.5)
    assert month.longest_dry_spell == 2
    assert [spell.days for spell in month.dry_spells] == [2, 1]
    assert month.trend_per_week == pytest.approx(7.0)  # a degree warmer each day
    assert month.anomaly == 0.5


def test_the_trend_is_the_least_squares_slope():
    days = [a_day(date(2020, 1, 1) + timedelta(n), high=mean, low=mean) for n, mean in enumerate([1, 3, 2])]

    assert [mean_of(day) for day in days] == [1, 3, 2]
    assert trend_per_week(days) == pytest.approx(3.5)  # slope 1/2 a day: ((-1)(1) + 0(3) + 1(2)) / 2


def test_a_single_day_has_no_trend():
    assert trend_per_week([a_day(date(2020, 1, 1))]) == 0


def test_a_missing_day_ends_a_dry_spell():
    days = [date(2020, 1, 1), date(2020, 1, 2), date(2020, 1, 4)]

    assert dry_spells(days) == [
        DrySpell(first=date(2020, 1, 1), last=date(2020, 1, 2)),
        DrySpell(first=date(2020, 1, 4), last=date(2020, 1, 4)),
    ]


def test_a_dry_spell_goes_on_over_the_end_of_a_month():
    january = DrySpell(first=date(2020, 1, 30), last=date(2020, 1, 31))
    february = DrySpell(first=date(2020, 2, 1), last=date(2020, 2, 29))
    march = DrySpell(first=date(2020, 3, 2), last=date(2020, 3, 3))

    assert joined([january, february, march]) == [DrySpell(first=date(2020, 1, 30), last=date(2020, 2, 29)), march]


def test_a_month_without_dry_days_has_no_dry_spell():
    month = summarise("2020-01", [a_day(date(2020, 1, 1), rain=5.0)])

    assert month.longest_dry_spell == 0
    assert summarise_record([month]).longest_dry_spell is None


def test_years_weigh_each_month_by_its_days():
    two_days = [a_day(date(2020, 1, 1), high=4, low=4), a_day(date(2020, 1, 2), high=4, low=4, rain=3.0)]
    one_day = [a_day(date(2020, 2, 1), high=10, low=10, rain=2.0)]
    months = [summarise("2020-01", two_days, normal=3.0), summarise("2020-02", one_day, normal=7.0)]

    (year,) = summarise_record(months).years

    assert year.mean == pytest.approx(6.0)  # (4 + 4 + 10) / 3
    assert year.anomaly == pytest.approx(5 / 3)  # (1 + 1 + 3) / 3
    assert year.precipitation == pytest.approx(5.0)
    assert year.wet_days == 2


def test_every_row_of_the_real_file_meets_the_contract():
    passed, quarantined = sift([packaged("seattle-weather.csv")])

    assert len(passed) == 1461
    assert quarantined == []
    assert (passed[0].date, passed[-1].date) == (date(2012, 1, 1), date(2015, 12, 31))


def test_the_real_year_2012_adds_up():
    """Sums made from the file with awk: 1226.0 mm, mean of all highs and lows."""
    rows = [seen for seen in sift([packaged("seattle-weather.csv")]).passed if seen.date.year == 2012]
    months = [summarise(name, [s for s in rows if s.month == name]) for name in sorted({s.month for s in rows})]

    (year,) = summarise_record(months).years

    assert year.precipitation == pytest.approx(1226.0)
    assert year.mean == pytest.approx(11.28, abs=0.01)


def test_normals_follow_the_seasons():
    normals = monthly_normals()

    assert len(normals) == 12
    assert normals[0] == pytest.approx(5.73, abs=0.01)
    assert normals.index(max(normals)) == 7
    assert normals.index(min(normals)) == 11
