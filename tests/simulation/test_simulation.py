"""The engine under faults: every law holds for 2,000 seeds, and a seed always means the same."""

import os
import subprocess
import sys

import pytest

from ripresa.testing.enumeration import enumerate_faults
from ripresa.testing.faults import ENUMERATED as KINDS
from ripresa.testing.faults import NO_FAULTS, Fault, Kind, Plan
from ripresa.testing.scenarios import ALL, ENUMERATED, mixed
from ripresa.testing.simulation import Simulation

CHUNK = 100


@pytest.mark.parametrize("first", range(0, 2_000, CHUNK))
def test_every_law_holds_whatever_goes_wrong(first):
    for seed in range(first, first + CHUNK):
        report = Simulation(seed).run(mixed).require()
        assert report.faults_fired, f"nothing went wrong with seed {seed}: it proves nothing"


@pytest.mark.parametrize("first", range(0, 150, 50))
def test_every_law_of_pools_holds_whatever_goes_wrong(first):
    for seed in range(first, first + 50):
        report = Simulation(seed).run(ALL["pooled"]).require()
        assert report.evidence.pool_looks, f"nobody waited for a pool with seed {seed}: it proves nothing"


@pytest.mark.parametrize("name", ALL)
def test_every_law_holds_when_nothing_goes_wrong(name):
    report = Simulation(1, NO_FAULTS).run(ALL[name]).require()
    assert not report.faults_fired


def test_faults_of_every_kind_fire():
    fired = {fault.partition("@")[0] for seed in range(60) for fault in Simulation(seed).run(mixed).faults_fired}
    assert fired == {str(kind) for kind in Kind}


def test_a_seed_twice_is_the_same_to_the_last_turn():
    for seed in range(30):
        one, two = Simulation(seed).run(mixed), Simulation(seed).run(mixed)
        assert (one.trace_hash, one.turns, one.faults_fired) == (two.trace_hash, two.turns, two.faults_fired)


def test_a_seed_is_the_same_in_another_process_with_another_hash_seed():
    code = (
        "from ripresa.testing.scenarios import mixed; from ripresa.testing.simulation import Simulation\n"
        "print(*(Simulation(seed).run(mixed).trace_hash for seed in range(8)))"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("0", "1", "4711")
    }
    assert len(said) == 1
    assert len(said.pop().split()) == 8


LEFT_BEHIND = """
import gc
import greenlet
from ripresa.testing.scenarios import mixed
from ripresa.testing.simulation import Simulation

def greenlets():
    gc.collect()
    return sum(isinstance(one, greenlet.greenlet) for one in gc.get_objects())

Simulation(0).run(mixed)
before = greenlets()
for seed in range(10):
    Simulation(seed).run(mixed)
print(greenlets() - before)
"""


def test_a_simulation_leaves_nothing_behind():
    """Not even of processes that died: a thousand seeds take no more memory than one.  In a process of its own, in
    which no other test has left anything that goes meanwhile."""
    said = subprocess.run([sys.executable, "-c", LEFT_BEHIND], capture_output=True, text=True, check=True)
    assert int(said.stdout) <= 0


def test_two_seeds_differ():
    assert Simulation(1).run(mixed).trace_hash != Simulation(2).run(mixed).trace_hash


def test_a_report_says_all_that_is_needed_to_see_it_again():
    report = Simulation(3).run(mixed)
    text = str(report)
    assert f"seed {report.seed}" in text
    assert report.trace_hash in text
    assert "plan: " in text
    assert f"python -m ripresa.testing --scenario mixed --seed {report.seed}" in text
    assert all(fault in text for fault in report.faults_fired)


def test_a_plan_of_which_nothing_fires_is_drawn_anew():
    reports = [Simulation(seed).run(mixed) for seed in range(60)]
    assert all(report.faults_fired for report in reports)
    assert any(report.redraws for report in reports), "the rule was not needed once: draw fewer faults in this test"


def test_an_exact_plan_takes_the_place_of_the_drawn_one():
    plan = Plan([Fault(Kind.CRASH_AFTER, 2, "commit")])
    report = Simulation(0, plan=plan).run(ALL["sequential"]).require()
    assert report.faults_fired == ["crash_after@commit#2"]


@pytest.mark.parametrize("name", ENUMERATED)
def test_every_fault_at_every_point(name):
    found = enumerate_faults(ENUMERATED[name]).require()
    assert found.runs == found.faults == len(found.points) * len(KINDS)
    assert {"commit", "acquire", "adopt"} <= set(found.points)
    assert {kind for kind, _ in found.fired} == {str(kind) for kind in KINDS}
