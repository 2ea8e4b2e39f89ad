"""Steps that workers elsewhere carry out, under faults: engines come and go, workers fall silent, ids are lost."""

import pytest

from ripresa.testing.reference_remote import remote
from ripresa.testing.simulation import Simulation

CHUNK = 15


@pytest.mark.parametrize("first", range(0, 30, CHUNK))
def test_every_law_holds_whatever_goes_wrong(first):
    for seed in range(first, first + CHUNK):
        report = Simulation(seed).run(remote).require()
        assert report.faults_fired, f"nothing went wrong with seed {seed}: it proves nothing"


def test_an_attempt_that_was_left_under_way_and_not_taken_up_again_is_ended_when_it_is_called_off():
    Simulation(2052).run(remote).require()


def test_tasks_outlive_engines_and_workers_are_lost():
    """Else nothing is shown."""
    outlived = lost = called_off = 0
    for seed in range(10):
        evidence = Simulation(seed).run(remote).evidence
        broken = [write.order for write in evidence.writes if write.fenced]
        for call in evidence.calls:
            if call.remote:
                outlived += any(call.order < order < (call.ended or 0) for order in broken) and call.output is not None
                lost += call.lost
                called_off += call.error == "cancelled"
    assert min(outlived, lost, called_off) >= 1


def test_a_seed_twice_is_the_same_to_the_last_turn():
    for seed in range(3):
        one, two = Simulation(seed).run(remote), Simulation(seed).run(remote)
        assert (one.trace_hash, one.turns, one.faults_fired) == (two.trace_hash, two.turns, two.faults_fired)
