"""Dates: when runs are due where clocks change, what their intervals are, and what is refused."""

from datetime import UTC, date, datetime, timedelta

import pytest

from ripresa.author.dates import Due, RunDates, Schedule


def utc(*parts):
    return datetime(*parts, tzinfo=UTC)


def wall(*parts):
    return utc(*parts).replace(tzinfo=None)


def local_ticks(schedule, first, count):
    """The next logical dates, on the clock of the zone."""
    tick, found = first, []
    for _ in range(count):
        tick = schedule.next_after(tick)
        found.append(tick.astimezone(schedule.zone).strftime("%d %H:%M%z"))
    return found


def new_york(cron, **options):
    return Schedule(cron=cron, timezone="America/New_York", **options)


@pytest.mark.parametrize(
    ("gap", "expected"),
    [
        ("run_after", ["08 02:30-0500", "09 03:00-0400", "10 02:30-0400"]),
        ("skip", ["08 02:30-0500", "10 02:30-0400", "11 02:30-0400"]),
    ],
)
def test_a_time_that_does_not_exist(gap, expected):
    assert local_ticks(new_york("30 2 * * *", dst_gap=gap), utc(2025, 3, 8), 3) == expected


@pytest.mark.parametrize(
    ("overlap", "expected"),
    [
        ("first", ["01 01:30-0400", "02 01:30-0400", "03 01:30-0500"]),
        ("second", ["01 01:30-0400", "02 01:30-0500", "03 01:30-0500"]),
        ("both", ["01 01:30-0400", "02 01:30-0400", "02 01:30-0500"]),
    ],
)
def test_a_time_that_comes_twice(overlap, expected):
    schedule = new_york("30 1 * * *", dst_overlap=overlap)
    assert local_ticks(schedule, utc(2025, 11, 1), 3) == expected
    ticks = list(schedule.logical_dates(utc(2025, 11, 1), utc(2025, 11, 5)))
    back, tick = [], utc(2025, 11, 5)
    while (tick := schedule.previous_before(tick)) and tick >= utc(2025, 11, 1):
        back.append(tick)
    assert back == ticks[::-1]


def test_an_hourly_job_runs_every_real_hour():
    autumn = list(new_york("0 * * * *").logical_dates(utc(2025, 11, 2, 4), utc(2025, 11, 2, 9)))
    assert autumn == [utc(2025, 11, 2, hour) for hour in range(4, 9)]
    spring = list(new_york("0 * * * *").logical_dates(utc(2025, 3, 9, 5), utc(2025, 3, 9, 9)))
    assert spring == [utc(2025, 3, 9, hour) for hour in range(5, 9)]


def test_times_of_one_job_that_fall_into_the_gap_run_once_together():
    assert local_ticks(new_york("0,15,30 2,3 * * *"), utc(2025, 3, 9, 5), 3) == [
        "09 03:00-0400",
        "09 03:15-0400",
        "09 03:30-0400",
    ]


def test_midnight_may_be_in_the_gap():
    schedule = Schedule(cron="@daily", timezone="America/Santiago")
    assert local_ticks(schedule, utc(2025, 9, 6, 12), 3) == ["07 01:00-0300", "08 00:00-0300", "09 00:00-0300"]
    assert schedule.logical_date_on(date(2025, 9, 7)) == utc(2025, 9, 7, 4)


def test_a_day_may_be_in_the_gap():
    schedule = Schedule(cron="0 12 * * *", timezone="Pacific/Apia")
    assert local_ticks(schedule, utc(2011, 12, 29), 3) == ["29 12:00-1000", "31 00:00+1400", "31 12:00+1400"]
    assert local_ticks(Schedule(cron="0 * * * *", timezone="Pacific/Apia"), utc(2011, 12, 30, 8, 30), 2) == [
        "29 23:00-1000",
        "31 00:00+1400",
    ]


def test_half_an_hour_may_be_repeated():
    schedule = Schedule(cron="45 1 * * *", timezone="Australia/Lord_Howe", dst_overlap="both")
    assert local_ticks(schedule, utc(2025, 4, 5), 2) == ["06 01:45+1100", "06 01:45+1030"]


@pytest.mark.parametrize(
    ("day_match", "days"), [("or", [3, 10, 13, 17, 24, 31]), ("and", [13])], ids=["either", "both"]
)
def test_both_day_fields(day_match, days):
    schedule = Schedule(cron="0 0 13 * 5", day_match=day_match)
    first, end = (utc(2025, 1, 1), utc(2025, 2, 1)) if day_match == "or" else (utc(2025, 6, 1), utc(2025, 7, 1))
    assert [tick.day for tick in schedule.logical_dates(first, end)] == days


def test_leap_days():
    every = [tick.year for tick in Schedule(cron="0 0 29 2 *").logical_dates(utc(2093, 1, 1), utc(2110, 1, 1))]
    assert every == [2096, 2104, 2108]
    mondays = Schedule(cron="0 0 29 2 1", day_match="and").logical_dates(utc(2000, 1, 1), utc(2100, 1, 1))
    assert [tick.year for tick in mondays] == [2016, 2044, 2072]


def test_a_short_month_has_no_thirty_first():
    ticks = Schedule(cron="0 0 31 * *").logical_dates(utc(2025, 1, 1), utc(2025, 9, 1))
    assert [tick.month for tick in ticks] == [1, 3, 5, 7, 8]


def test_an_interval_is_elapsed_time():
    schedule = Schedule(interval="6h", timezone="America/New_York", start_date=date(2025, 3, 9))
    assert local_ticks(schedule, utc(2025, 1, 1), 3) == ["09 00:00-0500", "09 07:00-0400", "09 13:00-0400"]
    assert schedule.previous_before(utc(2025, 3, 9, 5)) is None
    assert schedule.previous_before(utc(2025, 3, 9, 5, 0, 1)) == utc(2025, 3, 9, 5)
    assert Schedule(interval=timedelta(days=1)).next_after(utc(2025, 3, 9)) == utc(2025, 3, 10)


def test_bounds_are_included_and_a_day_is_whole():
    schedule = Schedule(
        cron="0 2 * * *", timezone="Europe/Paris", start_date=date(2024, 3, 30), end_date=date(2024, 4, 1)
    )
    ticks = list(schedule.logical_dates(utc(2024, 1, 1), utc(2025, 1, 1)))
    assert ticks == [utc(2024, 3, 30, 1), utc(2024, 3, 31, 1), utc(2024, 4, 1, 0)]
    assert schedule.next_after(ticks[-1]) is None
    assert schedule.previous_before(ticks[0]) is None
    assert schedule.previous_before(utc(2030, 1, 1)) == ticks[-1]
    exact = Schedule(cron="0 2 * * *", start_date=utc(2024, 1, 1, 2), end_date=wall(2024, 1, 2, 2))
    assert list(exact.logical_dates(utc(2023, 1, 1), utc(2025, 1, 1))) == [utc(2024, 1, 1, 2), utc(2024, 1, 2, 2)]


def test_a_run_is_due_when_its_interval_is_over():
    schedule = Schedule(cron="0 2 * * *", start_date=date(2024, 1, 1), end_date=date(2024, 1, 2))
    first = Due(at=utc(2024, 1, 2, 2), logical_date=utc(2024, 1, 1, 2))
    second = Due(at=utc(2024, 1, 3, 2), logical_date=utc(2024, 1, 2, 2))
    assert schedule.next_due_after(utc(2020, 1, 1)) == first
    assert schedule.next_due_after(first.at - timedelta(microseconds=1)) == first
    assert schedule.next_due_after(first.at) == second
    assert schedule.next_due_after(second.at) is None
    assert Schedule().next_due_after(utc(2024, 1, 1)) is None


def test_a_run_has_the_interval_that_its_logical_date_lies_in():
    schedule = Schedule(cron="0 2 * * *", timezone="Europe/Paris")
    assert schedule.data_interval(utc(2024, 7, 1, 0)) == (utc(2024, 7, 1, 0), utc(2024, 7, 2, 0))
    assert schedule.data_interval(utc(2024, 7, 1, 9)) == (utc(2024, 7, 1, 0), utc(2024, 7, 2, 0))
    assert schedule.data_interval(utc(2024, 6, 30, 22)) == (utc(2024, 6, 30, 0), utc(2024, 7, 1, 0))
    assert Schedule().data_interval(utc(2024, 7, 1)) == (utc(2024, 7, 1), utc(2024, 7, 1))


def test_the_dates_of_a_run_are_in_the_time_of_its_zone():
    dates = RunDates.of(Schedule(cron="0 0 * * *", timezone="Europe/Paris"), utc(2024, 3, 30, 23))
    assert dates.texts() == {
        "execution_date": "2024-03-31T00:00:00+01:00",
        "ds": "2024-03-31",
        "ts": "2024-03-31T00:00:00+01:00",
        "prev_execution_date": "2024-03-30T00:00:00+01:00",
        "next_execution_date": "2024-04-01T00:00:00+02:00",
        "data_interval_start": "2024-03-31T00:00:00+01:00",
        "data_interval_end": "2024-04-01T00:00:00+02:00",
    }
    assert dates.data_interval_end - dates.data_interval_start == timedelta(hours=23)


def test_dates_in_an_overlap_compare_as_instants():
    schedule = new_york("30 1 * * *", dst_overlap="both")
    dates = RunDates.of(schedule, utc(2025, 11, 2, 5, 30))
    assert (dates.ts, dates.next_execution_date.isoformat()) == (
        "2025-11-02T01:30:00-04:00",
        "2025-11-02T01:30:00-05:00",
    )
    assert dates.next_execution_date - dates.execution_date == timedelta(hours=1)
    assert dates.next_execution_date > dates.execution_date


def test_a_run_without_a_schedule_has_an_empty_interval():
    dates = RunDates.of(None, utc(2024, 2, 29, 12, 30, 1))
    assert dates.variables() == {
        "execution_date": utc(2024, 2, 29, 12, 30, 1),
        "ds": "2024-02-29",
        "ts": "2024-02-29T12:30:01+00:00",
        "prev_execution_date": None,
        "next_execution_date": None,
        "data_interval_start": utc(2024, 2, 29, 12, 30, 1),
        "data_interval_end": utc(2024, 2, 29, 12, 30, 1),
    }
    assert "prev_execution_date" not in dates.texts()


def test_a_logical_date_without_a_zone_is_of_the_schedule():
    schedule = Schedule(timezone="Asia/Tokyo")
    assert RunDates.of(schedule, wall(2024, 1, 1)).ts == "2024-01-01T00:00:00+09:00"
    assert schedule.instant(wall(2024, 1, 1, 9)) == utc(2024, 1, 1)


def test_a_day_means_its_tick():
    schedule = Schedule(cron="0 2 * * 1-5", timezone="Europe/Paris")
    assert schedule.logical_date_on(date(2024, 7, 1)) == utc(2024, 7, 1, 0)
    assert schedule.logical_date_on(date(2024, 7, 6)) == utc(2024, 7, 5, 22)
    assert Schedule().logical_date_on(date(2024, 7, 6)) == utc(2024, 7, 6)


@pytest.mark.parametrize(
    ("spec", "schedule"),
    [
        (None, Schedule()),
        ("@daily", Schedule(cron="@daily")),
        ("0 2 * * *", Schedule(cron="0 2 * * *")),
        ("1h", Schedule(interval="1h")),
        (timedelta(hours=1), Schedule(interval=timedelta(hours=1))),
        (Schedule(cron="@daily"), Schedule(cron="@daily")),
        (
            {
                "cron": "0 2 * * *",
                "interval": None,
                "timezone": "Europe/Paris",
                "start_date": "2024-01-01",
                "end_date": "2024-06-01T00:00:00Z",
                "dst": {"gap": "skip", "overlap": "both"},
                "day_match": "and",
                "overlap": "queue",
                "catchup": {"max": 3},
            },
            Schedule(
                cron="0 2 * * *",
                timezone="Europe/Paris",
                start_date=date(2024, 1, 1),
                end_date=utc(2024, 6, 1),
                dst_gap="skip",
                dst_overlap="both",
                day_match="and",
            ),
        ),
        ({"trigger": "s3_file_arrival", "source": "s3://x"}, Schedule()),
    ],
)
def test_a_schedule_is_read_from_what_a_definition_says(spec, schedule):
    assert Schedule.of(spec) == schedule


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"cron": "0 0 30 2 *"}, "never fires"),
        ({"cron": "0 0 31 4 1", "day_match": "and"}, "never fires"),
        ({"cron": "61 * * * *"}, "minute"),
        ({"cron": "* * * *"}, "4 fields"),
        ({"cron": "@daily", "interval": "1h"}, "keep one"),
        ({"interval": "500ms"}, "shorter than a second"),
        ({"interval": "soon"}, "interval: 'soon'"),
        ({"timezone": "Europe/Pari"}, "did you mean 'Europe/Paris'"),
        ({"timezone": "../../etc/passwd"}, "no zone"),
        ({"timezone": "/etc/localtime"}, "no zone"),
        ({"timezone": "Europe/Paris\0"}, "no zone"),
        ({"timezone": ""}, "no zone"),
        ({"dst_gap": "later"}, "dst.gap: 'later' is not one of run_after, skip"),
        ({"dst_overlap": "none"}, "dst.overlap"),
        ({"day_match": "xor"}, "day_match"),
        ({"start_date": wall(1, 1, 1)}, "start_date"),
        ({"end_date": date.max}, "end_date"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused(options, says):
    with pytest.raises(ValueError, match=says):
        Schedule(**options)


def test_dates_that_are_none_are_refused():
    with pytest.raises(ValueError, match="start_date: 'tomorrow' is no date"):
        Schedule.of({"start_date": "tomorrow"})
    with pytest.raises(TypeError, match="end_date: int is no date"):
        Schedule(end_date=3)
    with pytest.raises(TypeError, match="list is no schedule"):
        Schedule.of([])
    with pytest.raises(ValueError, match="years 2 to 9998"):
        Schedule().data_interval(wall(9999, 1, 1))


def test_the_calendar_has_an_end():
    assert Schedule(cron="@yearly").next_after(utc(9998, 6, 1)) is None
    assert Schedule(interval="366d").next_after(utc(9998, 12, 31)) is None
    assert Schedule(cron="@yearly").previous_before(utc(2, 1, 1)) is None
    assert Schedule(cron="@yearly", timezone="Asia/Tokyo").data_interval(utc(9998, 12, 31, 20))[0].year == 9998
