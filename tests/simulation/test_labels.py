"""Engines with labels under faults: each step is carried out where its labels are, and no run is lost on the way."""

import pytest

from ripresa.contracts.labels import offered
from ripresa.testing.reference_labels import LABELS, WORKFLOWS, labelled
from ripresa.testing.simulation import Simulation

CHUNK = 50


@pytest.mark.parametrize("first", range(0, 150, CHUNK))
def test_every_law_holds_whatever_goes_wrong(first):
    for seed in range(first, first + CHUNK):
        report = Simulation(seed).run(labelled).require()
        assert report.faults_fired, f"nothing went wrong with seed {seed}: it proves nothing"


@pytest.mark.parametrize("seed", [50275, 51450])
def test_what_went_wrong_once(seed):
    """A pause and its end in one write; a run that was begun while it was read."""
    Simulation(seed).run(labelled).require()


def test_runs_go_from_engine_to_engine_for_their_labels():
    """Else nothing is shown."""
    for_labels = 0
    engines = set()
    for seed in range(20):
        evidence = Simulation(seed).run(labelled).evidence
        for_labels += sum(len(write.given) for write in evidence.writes if write.verb == "claim_fitting")
        engines |= {(call.step, evidence.labels_of_engines[call.epoch]) for call in evidence.calls}
    assert for_labels >= 100
    assert {step for step, _ in engines} == {"fetch", "train", "score", "shrink", "sell", "unsell"}
    assert {has for step, has in engines if step == "score"} == {tuple(sorted(LABELS[0])), LABELS[1]}


def test_no_engine_has_all_that_a_run_needs():
    needed = {label for flow in WORKFLOWS for one in flow.function.__globals__.values() for label in _labels(one)}
    assert not any(offered(labels).issuperset(needed) for labels in LABELS)


def _labels(value):
    return getattr(value, "labels", ()) if getattr(value, "__ripresa__", None) == "step" else ()


def test_a_seed_twice_is_the_same_to_the_last_turn():
    for seed in range(5):
        one, two = Simulation(seed).run(labelled), Simulation(seed).run(labelled)
        assert (one.trace_hash, one.turns, one.faults_fired) == (two.trace_hash, two.turns, two.faults_fired)
