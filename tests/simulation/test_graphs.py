"""Graphs under faults: every law holds, and no node that had ended runs again."""

import pytest

from ripresa.testing.faults import NO_FAULTS
from ripresa.testing.reference_graph import graphs
from ripresa.testing.simulation import Simulation

CHUNK = 50


@pytest.mark.parametrize("first", range(0, 500, CHUNK))
def test_every_law_holds_for_graphs_whatever_goes_wrong(first):
    for seed in range(first, first + CHUNK):
        report = Simulation(seed).run(graphs).require()
        assert report.faults_fired, f"nothing went wrong with seed {seed}: it proves nothing"


def test_every_law_holds_for_graphs_when_nothing_goes_wrong():
    for seed in range(50):
        assert not Simulation(seed, NO_FAULTS).run(graphs).require().faults_fired
