"""Several engines on one store under faults: every law holds, and each run has one owner at a time."""

from dataclasses import replace

import pytest

from ripresa.engine.loading import Loading
from ripresa.testing.enumeration import enumerate_faults
from ripresa.testing.faults import ENUMERATED as KINDS
from ripresa.testing.faults import Fault, Kind, Plan
from ripresa.testing.scenarios import FLEET, fleet, fleet_enumerated
from ripresa.testing.simulation import Simulation

CHUNK = 100


@pytest.mark.parametrize("first", range(0, 300, CHUNK))
def test_every_law_holds_whatever_goes_wrong(first):
    for seed in range(first, first + CHUNK):
        report = Simulation(seed).run(fleet).require()
        assert report.faults_fired, f"nothing went wrong with seed {seed}: it proves nothing"


@pytest.mark.parametrize("seed", [635, 757, 947, 987, 1125, 1241, 2173, 2409, 2640])
def test_what_went_wrong_once(seed):
    Simulation(seed).run(fleet).require()


def test_runs_change_hands():
    """Else nothing is shown: engines die, stop and close, and others go on with their runs."""
    adopted = claimed = zombies = 0
    for seed in range(40):
        evidence = Simulation(seed).run(fleet).evidence
        fenced = set()
        holders = {}
        for write in evidence.writes:
            fenced.update(write.fenced)
            for run, owner in write.given:
                before = holders.get(run)
                holders[run] = owner if owner is not None else before
                if owner is not None and before not in {None, owner}:
                    adopted += write.verb == "adopt"
                    claimed += write.verb != "adopt"
        zombies += sum(call.epoch in fenced for call in evidence.calls)
    assert min(adopted, claimed, zombies) >= 10


def test_a_seed_twice_is_the_same_to_the_last_turn():
    for seed in range(10):
        one, two = Simulation(seed).run(fleet), Simulation(seed).run(fleet)
        assert (one.trace_hash, one.turns, one.faults_fired) == (two.trace_hash, two.turns, two.faults_fired)


def test_every_fault_at_every_point():
    found = enumerate_faults(fleet_enumerated).require()
    assert found.runs == found.faults == len(found.points) * len(KINDS)
    assert {"commit", "acquire", "adopt", "claim_due", "renew", "statuses"} <= set(found.points)


def test_an_answer_that_is_lost_about_a_run_in_memory_loses_no_message():
    """What was sent to a run wakes it once: who claimed it for that and was not told looks at all that it holds."""
    held = replace(FLEET["burst_fleet"], evict_after=("30s",))
    claimed = 0
    for seed in range(3):
        for number in range(1, 11):
            plan = Plan([Fault(Kind.ERROR_AFTER, number, "claim_due")])
            report = Simulation(seed, plan=plan).run(held).require()
            claimed += sum(write.verb == "claim_due" and bool(write.given) for write in report.evidence.writes)
    assert claimed >= 10


def test_an_engine_that_forgets_what_it_may_have_been_given_loses_runs(monkeypatch):
    """A seeded bug: a request for runs that was carried out, and whose answer was lost."""

    def reports():
        for number in range(1, 25):
            yield Simulation(0, plan=Plan([Fault(Kind.ERROR_AFTER, number, "claim_due")])).run(fleet_enumerated)

    assert not any(report.violations for report in reports())
    monkeypatch.setattr(Loading, "unsure", lambda self: self.look())
    assert any("I1 no lost run" in str(report) for report in reports())
