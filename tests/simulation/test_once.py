"""What is to happen once, under faults: effects that runs share are theirs in turn, and letters come once."""

import pytest

from ripresa.kernel import history as h
from ripresa.testing.reference_once import once
from ripresa.testing.simulation import Simulation

CHUNK = 20


@pytest.mark.parametrize("first", range(0, 40, CHUNK))
def test_every_law_holds_whatever_goes_wrong(first):
    for seed in range(first, first + CHUNK):
        report = Simulation(seed).run(once).require()
        assert report.faults_fired, f"nothing went wrong with seed {seed}: it proves nothing"


def test_an_effect_that_is_claimed_after_it_was_given_up_is_given_up_again():
    """The engine is gone before the claim is answered, which took effect late."""
    Simulation(2883).run(once).require()


def test_runs_share_reports_give_them_up_and_do_not_know_of_letters():
    """Else nothing is shown."""
    shared = gave_up = unknown = 0
    for seed in range(10):
        evidence = Simulation(seed).run(once).evidence
        for run in evidence.runs:
            kinds = [(event.kind, event.name) for event in evidence.history[run.id]]
            printed = (h.STEP_COMPLETED, "print_report") in kinds
            shared += printed and not any(call.run == run.id and call.output for call in evidence.calls)
            gave_up += run.definition == "hasty" and not printed
            unknown += (h.STEP_FAILED, "send") in kinds
    assert min(shared, gave_up, unknown) >= 3
