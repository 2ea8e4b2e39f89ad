"""Seeded bugs are caught on PostgreSQL: those of the engine, and those of its store.

`make test` looks at a sample; `pytest --on postgres tests/simulation/test_postgres_mutants.py`, as `make test-postgres`
has it, at all.
"""

from contextlib import contextmanager, nullcontext

import pytest

from ripresa.testing.scenarios import ALL
from ripresa.testing.simulation import Simulation
from tests.simulation.fleet_mutants import FLEET_MUTANTS
from tests.simulation.mutants import MUTANTS, Mutant
from tests.simulation.postgres_mutants import POSTGRES_MUTANTS, InFunction

SEEDS_MAX = 300
ENGINES = [mutant for mutant in FLEET_MUTANTS + MUTANTS if not mutant.is_of_memory]
SAMPLE = {
    "runs_of_the_living_are_adopted",
    "adopting_breaks_no_lease",
    "claims_ignore_the_owner",
    "runs_of_others_are_claimed_for_their_labels",
    "whoever_is_asked_reopens_the_run",
}
"""Of which little time shows that they are bugs."""


def pytest_generate_tests(metafunc):
    if "mutant" in metafunc.fixturenames:
        whole = metafunc.config.getoption("--on") == "postgres"
        chosen = [one for one in POSTGRES_MUTANTS + ENGINES if whole or one.name in SAMPLE]
        metafunc.parametrize("mutant", chosen, ids=[one.name for one in chosen])


@contextmanager
def installed(mutant, database):
    """An engine's bug needs no database."""
    with mutant.installed() if isinstance(mutant, Mutant) else mutant.installed(database):
        yield


def simulation(mutant, seed, database):
    plan = mutant.plan(seed) if isinstance(mutant, InFunction) else None
    return Simulation(seed, plan=plan, on=database)


def caught(mutant, database):
    """The first seed whose evidence shows the bug, and what it shows."""
    for seed in range(SEEDS_MAX):
        with installed(mutant, database):
            report = simulation(mutant, seed, database).run(ALL[mutant.scenario])
        if report.violations:
            return seed, report.violations
    return SEEDS_MAX, []


@pytest.mark.timeout(900)  # a few take a hundred seeds
def test_a_seeded_bug_is_caught(mutant, database):
    seed, found = caught(mutant, database)
    assert found, f"{mutant.name} escaped {SEEDS_MAX} seeds"
    with mutant.beside() if isinstance(mutant, InFunction) else nullcontext():
        clean = simulation(mutant, seed, database).run(ALL[mutant.scenario])
    assert clean.require(), "without the bug the same seed is clean"


def test_a_bug_is_gone_when_it_was_looked_at(database):
    database.sql("SELECT 1")
    before = _functions(database)
    for mutant in POSTGRES_MUTANTS:
        with mutant.installed(database):
            pass
    assert _functions(database) == before


def test_there_are_at_least_15_bugs_of_the_store_and_all_of_the_sample():
    assert len({mutant.name for mutant in POSTGRES_MUTANTS}) >= 15
    assert {mutant.name for mutant in POSTGRES_MUTANTS + ENGINES} >= SAMPLE
    assert {mutant.name for mutant in FLEET_MUTANTS} <= {mutant.name for mutant in POSTGRES_MUTANTS + ENGINES}, (
        "each bug of the memory store has its counterpart"
    )


def _functions(database):
    text = "SELECT prosrc FROM pg_proc WHERE pronamespace = current_schema()::regnamespace ORDER BY proname"
    return [source for (source,) in database.sql(text)]
