"""Retry decisions, durations and transitions: pure functions, tried over their whole range."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ripresa import Failure, FailureClass, Retry, RunStatus
from ripresa.contracts.durations import micros, spelled
from ripresa.kernel.retry import LOSSES_MAX, GiveUp, RetryAt, SetAside, after_failure, after_loss
from ripresa.kernel.transitions import RUN, STEP, may_follow, require

S = 1_000_000


def decide(policy, *, failures=1, error=None, kind=FailureClass.RETRYABLE, now=0, jitter=0.5):
    failure = Failure(type="ValueError", message="no", failure_class=kind)
    return after_failure(policy, failure, error, failures=failures, first_started=0, now=now, jitter=jitter)


def test_delays_grow_by_the_multiplier_up_to_the_limit():
    policy = Retry(max_attempts=7, delay="5s", multiplier=2, max_delay="1m")
    waits = [policy.wait_us(failures, jitter=0.9) // S for failures in range(1, 7)]
    assert waits == [5, 10, 20, 40, 60, 60]


def test_full_jitter_stays_between_zero_and_the_delay():
    policy = Retry(delay="10s", jitter="full")
    assert policy.wait_us(1, jitter=0.0) == 0
    assert policy.wait_us(1, jitter=0.25) == 2.5 * S


def test_attempts_count_the_first_one_too():
    policy = Retry(max_attempts=3, delay="1s")
    assert isinstance(decide(policy, failures=2), RetryAt)
    assert isinstance(decide(policy, failures=3), GiveUp)
    assert isinstance(decide(None), GiveUp)


def test_a_terminal_failure_spends_the_policy_and_a_quarantine_sets_aside():
    policy = Retry(max_attempts=9)
    assert isinstance(decide(policy, kind=FailureClass.TERMINAL), GiveUp)
    assert isinstance(decide(policy, kind=FailureClass.QUARANTINE), SetAside)
    assert isinstance(decide(Retry(max_attempts=1, on_exhausted="quarantine")), SetAside)


def test_only_the_named_errors_are_worth_a_retry():
    policy = Retry(on=(ConnectionError,))
    assert isinstance(decide(policy, error=ConnectionResetError()), RetryAt)
    assert isinstance(decide(policy, error=ValueError()), GiveUp)


def test_retrying_ends_when_the_next_attempt_would_be_too_late():
    policy = Retry(max_attempts=100, delay="10s", max_elapsed="1m")
    assert decide(policy, now=50 * S) == RetryAt(60 * S)
    assert isinstance(decide(policy, now=51 * S), GiveUp)


def test_the_fifth_loss_in_a_row_sets_the_step_aside():
    assert [type(after_loss(losses, now=7)) for losses in range(1, LOSSES_MAX + 1)] == [RetryAt] * 4 + [SetAside]


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"max_attempts": 0}, "max_attempts"),
        ({"max_attempts": 1001}, "max_attempts"),
        ({"multiplier": 0.5}, "multiplier"),
        ({"multiplier": float("nan")}, "multiplier"),
        ({"jitter": "some"}, "jitter"),
        ({"delay": "5 parsecs"}, "delay"),
        ({"max_delay": -1}, "max_delay"),
    ],
)
def test_a_policy_out_of_range_is_refused_by_its_field(options, word):
    with pytest.raises(ValueError, match=f"Retry.{word}"):
        Retry(**options)


@given(st.integers(1, 1000), st.floats(1, 100), st.floats(0, 1, exclude_max=True))
def test_no_policy_waits_longer_than_its_limit(failures, multiplier, jitter):
    policy = Retry(max_attempts=1000, delay="1s", multiplier=multiplier, max_delay="1h", jitter="full")
    assert 0 <= policy.wait_us(failures, jitter=jitter) <= 3600 * S


@pytest.mark.parametrize(
    ("text", "us"),
    [
        ("30s", 30 * S),
        ("1h30m", 5400 * S),
        ("1.5h", 5400 * S),
        ("250ms", S // 4),
        ("2d", 172_800 * S),
        ("PT1H30M", 5400 * S),
        ("P1DT12H", 129_600 * S),
        (0.5, S // 2),
        (timedelta(minutes=2), 120 * S),
    ],
)
def test_durations_are_read_as_people_write_them(text, us):
    assert micros(text) == us


@pytest.mark.parametrize("text", ["", "5", "5m5", "m", "-5s", "1y", "P", "PT", "1000000d", float("inf"), True, "٣s"])
def test_what_is_no_duration_is_refused_with_place_and_form(text):
    with pytest.raises(ValueError, match=r"here: .* is not a duration .*\(write 30s"):
        micros(text, where="here")


@given(st.integers(0, 10**15))
def test_a_spelled_duration_reads_back(us):
    assert micros(spelled(us)) == us


def test_every_status_has_its_row_and_ended_runs_only_a_person_reopens():
    assert set(RUN) == set(RunStatus)
    assert RUN[RunStatus.SUCCEEDED] == frozenset()
    assert {then for nexts in STEP.values() for then in nexts} <= set(STEP)
    assert may_follow("running", "running")
    with pytest.raises(ValueError, match="a succeeded run cannot become running"):
        require("succeeded", "running")
