"""Dates, tried over every zone and year: against a clock that is read minute by minute, and against themselves."""

from datetime import UTC, datetime, timedelta
from itertools import product
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ripresa.author.dates import Schedule

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
YEARS = range(2020, 2041)
AROUND = 200
"""Minutes before and after a change; none of those years is of more than three hours."""
POLICIES = (("run_after", "first"), ("skip", "second"), ("run_after", "both"))


def changes():
    """Every clock change of every zone in those years, each shape of change once: (zone, instant)."""
    found = {}
    for name in sorted(available_timezones()):
        zone = ZoneInfo(name)
        for instant in changes_of(zone):
            before, after = ((instant + step).astimezone(zone).replace(tzinfo=None) for step in (-MINUTE, 0 * MINUTE))
            found.setdefault((before, after), (name, instant))
    return list(found.values())


def changes_of(zone):
    at = datetime(YEARS.start, 1, 1, tzinfo=UTC)
    end = datetime(YEARS.stop, 1, 1, tzinfo=UTC)
    offset = at.astimezone(zone).utcoffset()
    while at < end:
        at += 5 * DAY
        now = at.astimezone(zone).utcoffset()
        if now != offset:
            low, high = at - 5 * DAY, at
            while high - low > MINUTE:
                middle = low + (high - low) // (2 * MINUTE) * MINUTE
                low, high = (middle, high) if middle.astimezone(zone).utcoffset() == offset else (low, middle)
            yield high
            offset = now


def clock(zone, change):
    """What the zone's clock shows, minute by minute, around a change and a day before and after: {wall: [instants]}."""
    shown = {}
    for day in (-1, 0, 1):
        for minute in range(-AROUND, AROUND):
            instant = change + day * DAY + minute * MINUTE
            shown.setdefault(instant.astimezone(zone).replace(tzinfo=None, fold=0), []).append(instant)
    return shown


def expected(shown, change, walls, *, gap, overlap):
    """What a fixed-time job does at those walls, from the clock alone."""
    instants = set()
    for wall in walls:
        there = shown.get(wall, [])
        if not there and gap == "run_after":
            instants.add(change)
        chosen = {"first": there[:1], "second": there[-1:], "both": there}[overlap]
        instants.update(chosen)
    return sorted(instants)


@pytest.mark.slow
def test_every_clock_change_of_every_zone():
    """Fixed times in and beside each gap and overlap, and half-hourly jobs through it, forwards and backwards."""
    found = changes()
    assert len(found) > 500
    for name, change in found:
        zone = ZoneInfo(name)
        shown = clock(zone, change)
        old, new = ((change + step).astimezone(zone).replace(tzinfo=None, fold=0) for step in (-MINUTE, 0 * MINUTE))
        low, high = min(old + MINUTE, new), max(old + MINUTE, new)
        for moment, (gap, overlap) in product((low, low + (high - low) // 2, high), POLICIES):
            walls = [moment + days * DAY for days in (-1, 0, 1)]
            first, end = min(shown[walls[0]]) - MINUTE, max(shown[walls[2]]) + MINUTE
            cron = f"{moment.minute} {moment.hour} * * *"
            schedule = Schedule(cron=cron, timezone=name, dst_gap=gap, dst_overlap=overlap)
            ticks = list(schedule.logical_dates(first, end))
            assert ticks == expected(shown, change, walls, gap=gap, overlap=overlap), (name, change, cron, gap, overlap)
            assert ticks == backwards(schedule, first, end)
        wildcard = Schedule(cron="*/30 * * * *", timezone=name)
        first, end = change - AROUND * MINUTE, change + AROUND * MINUTE
        half_hours = [at for wall, all_ in shown.items() for at in all_ if wall.minute % 30 == 0 and first <= at < end]
        assert list(wildcard.logical_dates(first, end)) == sorted(half_hours), (name, change)


def backwards(schedule, first, end):
    found, tick = [], end
    while (tick := schedule.previous_before(tick)) is not None and tick >= first:
        found.append(tick)
    return found[::-1]


def field(low, high):
    number = st.integers(low, high)
    pair = st.tuples(number, number).map(sorted).map(lambda ends: f"{ends[0]}-{ends[1]}")
    step = st.integers(1, high).map(lambda every: f"*/{every}")
    single = number.map(str) | pair | step | st.just("*")
    return single | st.lists(single, min_size=1, max_size=3).map(",".join)


CRONS = st.tuples(field(0, 59), field(0, 23), field(1, 28), field(1, 12), field(0, 6)).map(" ".join)
ZONES = st.sampled_from(sorted(available_timezones()))
MOMENTS = st.datetimes(datetime(1880, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds it


SCHEDULES = st.builds(
    Schedule,
    cron=CRONS,
    timezone=ZONES,
    dst_gap=st.sampled_from(["run_after", "skip"]),
    dst_overlap=st.sampled_from(["first", "second", "both"]),
    day_match=st.sampled_from(["or", "and"]),
)


@given(SCHEDULES, MOMENTS)
def test_forwards_and_backwards_agree(schedule, moment):
    after, before = schedule.next_after(moment), schedule.previous_before(moment)
    assert before < moment < after
    assert schedule.previous_before(after) <= moment
    assert schedule.next_after(before) >= moment
    assert schedule.previous_before(after + timedelta(microseconds=1)) == after
    start, end = schedule.data_interval(moment)
    assert start <= moment < end
    assert schedule.data_interval(start) == (start, end)
    due = schedule.next_due_after(moment)
    assert due.at > moment
    assert schedule.data_interval(due.logical_date) == (due.logical_date, due.at)


@given(st.integers(1_000_000, 10**13), MOMENTS, MOMENTS)
def test_an_interval_has_no_drift(us, anchor, moment):
    schedule = Schedule(interval=timedelta(microseconds=us), start_date=anchor)
    start, end = schedule.data_interval(moment)
    assert start <= moment < end
    assert end - start == timedelta(microseconds=us)
    assert (start - anchor) % timedelta(microseconds=us) == timedelta()


@given(st.text(max_size=40) | st.text("0123456789*/-,@ LW#?MONJA", max_size=40))
def test_any_text_is_a_cron_or_a_value_error(text):
    try:
        schedule = Schedule(cron=text)
    except ValueError:
        return
    moment = datetime(2024, 2, 29, tzinfo=UTC)
    assert schedule.next_after(moment) > moment


@given(st.text(max_size=40))
def test_any_text_is_a_zone_or_a_value_error(text):
    if text in available_timezones():
        assert Schedule(timezone=text).timezone == text
    else:
        with pytest.raises(ValueError, match="there is no zone"):
            Schedule(timezone=text)
