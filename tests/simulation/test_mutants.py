"""Seeded bugs are caught: a checker that has never seen a bug proves nothing."""

import pytest

from ripresa.testing.checker import check
from ripresa.testing.evidence import Violation
from ripresa.testing.scenarios import ALL
from ripresa.testing.simulation import Simulation
from tests.simulation.fleet_mutants import FLEET_MUTANTS
from tests.simulation.mutants import MUTANTS

SEEDS_MAX = 1_000


def _caught(mutant) -> tuple[int, list[Violation]]:
    """The first seed whose evidence shows the bug; the clean kernel repeats what the changed one did."""
    for seed in range(SEEDS_MAX):
        with mutant.installed():
            report = Simulation(seed).run(ALL[mutant.scenario])
        found = report.violations or check(report.evidence)
        if found:
            return seed, found
    return SEEDS_MAX, []


def test_there_are_at_least_25_mutants_and_10_more_of_the_fleet():
    assert len({mutant.name for mutant in MUTANTS}) >= 25
    assert len({mutant.name for mutant in FLEET_MUTANTS}) >= 10


@pytest.mark.parametrize("mutant", MUTANTS + FLEET_MUTANTS, ids=lambda mutant: mutant.name)
def test_a_seeded_bug_is_caught(mutant):
    seed, found = _caught(mutant)
    assert found, f"{mutant.name} escaped {SEEDS_MAX} seeds"
    assert Simulation(seed).run(ALL[mutant.scenario]).require(), "without the bug the same seed is clean"
