"""What the thread that prolongs a lease takes for the time: a loop that stood still hears late of what it asked for."""

import pytest

from ripresa.stores import beating

T = 1_700_000_000_000_000
S = 1_000_000
LEASE_US = 3 * S


class Heartbeat(beating.Beating):
    def _beat(self):
        raise AssertionError("nobody starts it")


@pytest.fixture
def at(monkeypatch):
    """The seconds of the monotonic clock."""
    at = [100.0]
    monkeypatch.setattr(beating, "monotonic", lambda: at[0])
    return at


def test_a_commit_that_is_heard_of_late_does_not_set_the_clock_back(at):
    heartbeat = Heartbeat(now=T, lease_us=LEASE_US)
    at[0] += 9  # the loop stood still
    heartbeat.committed(T + 1)
    at[0] += 1  # and does so again
    assert heartbeat._wanted_until() == T + 10 * S + LEASE_US


def test_a_renewal_that_is_heard_of_late_does_not_set_the_clock_back(at):
    heartbeat = Heartbeat(now=T, lease_us=LEASE_US)
    at[0] += 1
    asked_at = at[0]
    at[0] += 9
    heartbeat.renewed(T + 1 * S, LEASE_US, asked_at)
    assert heartbeat._wanted_until() == T + 10 * S + LEASE_US


def test_what_was_prolonged_lately_is_let_be(at):
    heartbeat = Heartbeat(now=T, lease_us=LEASE_US)
    at[0] += 9
    heartbeat.committed(T + 9 * S)
    assert heartbeat._wanted_until() is None
    heartbeat.committed(T)  # one that was asked for before and comes after
    assert heartbeat._wanted_until() is None
    at[0] += 1
    assert heartbeat._wanted_until() == T + 10 * S + LEASE_US


def test_a_clock_that_was_set_back_is_followed(at):
    heartbeat = Heartbeat(now=T, lease_us=LEASE_US)
    heartbeat.renewed(T - 3600 * S, LEASE_US, at[0])
    assert heartbeat._wanted_until() is None
    at[0] += 1
    assert heartbeat._wanted_until() == T - 3599 * S + LEASE_US
