"""Several engines on a real PostgreSQL under faults: every law holds, and a seed always means the same.

`make test` looks at a sample; `pytest --on postgres tests/simulation/test_on_postgres.py`, as `make test-postgres` has
it, at all.
"""

import shlex
import subprocess
import sys
from dataclasses import replace

import pytest

from ripresa.contracts.errors import StoreUnavailable
from ripresa.testing import SimPostgres
from ripresa.testing.enumeration import enumerate_faults
from ripresa.testing.faults import ENUMERATED as KINDS
from ripresa.testing.faults import NO_FAULTS
from ripresa.testing.reference_graph import graphs
from ripresa.testing.scenarios import ALL, fleet, fleet_enumerated
from ripresa.testing.simulation import Simulation

graphs_fleet = replace(graphs, name="graphs_fleet", engines=3)
"""Runs stand in lines, and their lines are everybody's."""

SCENARIOS = {**ALL, "graphs_fleet": graphs_fleet}
SAMPLE = {
    "fleet": 12,
    "labelled": 4,
    "once": 2,
    "remote": 2,
    "pooled_fleet": 2,
    "retried_fleet": 3,
    "pause_and_signal_fleet": 3,
    "restart_fleet": 3,
    "mixed": 4,
    "graphs_fleet": 2,
}
"""Seeds by scenario."""
WHOLE = dict.fromkeys(SCENARIOS, 20) | dict.fromkeys(SAMPLE, 100) | {"fleet": 400}
CHUNK = 10
EVERY = 60
"""In a sample, one in so many effect points is tried."""
PARTS = 24
"""All of them are tried in so many tests."""


def pytest_generate_tests(metafunc):
    whole = metafunc.config.getoption("--on") == "postgres"
    if "seeds" in metafunc.fixturenames:
        counts = WHOLE if whole else SAMPLE
        chunks = [
            (name, range(first, min(first + CHUNK, count)))
            for name, count in counts.items()
            for first in range(0, count, CHUNK)
        ]
        metafunc.parametrize(("name", "seeds"), chunks, ids=[f"{name}-{seeds.start}" for name, seeds in chunks])
    if "points" in metafunc.fixturenames:
        first = range(1, PARTS + 1) if whole else [EVERY // 3]
        metafunc.parametrize("points", [(one, PARTS if whole else EVERY) for one in first], ids=str)


@pytest.mark.timeout(600)
def test_every_law_holds_whatever_goes_wrong(name, seeds, database):
    fired = 0
    for seed in seeds:
        report = Simulation(seed, on=database).run(SCENARIOS[name]).require()
        fired += len(report.faults_fired)
    assert fired >= len(seeds), "nothing went wrong: it proves nothing"


def test_every_law_holds_when_nothing_goes_wrong(database):
    report = Simulation(1, NO_FAULTS, on=database).run(fleet).require()
    assert not report.faults_fired


def test_it_is_the_server_that_keeps_the_runs(database):
    report = Simulation(0, on=database).run(fleet).require()
    rows = database.sql("SELECT id, status FROM run ORDER BY id")
    assert [tuple(row) for row in rows] == [(run.id, run.status) for run in report.evidence.runs]
    assert len(rows) > 1
    (engines,) = database.sql("SELECT count(*) FROM engine")[0]
    assert engines >= fleet.engines


def test_runs_change_hands(database):
    """Else nothing is shown: engines die, stop and close, and others go on with their runs."""
    verbs = set()
    for seed in range(6):
        holders = {}
        for write in Simulation(seed, on=database).run(fleet).evidence.writes:
            for run, owner in write.given:
                before = holders.get(run)
                holders[run] = owner if owner is not None else before
                if owner is not None and before not in {None, owner}:
                    verbs.add(write.verb)
    assert {"adopt", "claim_due"} <= verbs


@pytest.mark.parametrize("name", ["fleet", "labelled", "pooled_fleet"])
def test_a_seed_twice_is_the_same_to_the_last_turn(name, database):
    one, two = (Simulation(3, on=database).run(ALL[name]) for _ in range(2))
    assert (one.trace_hash, one.turns, one.faults_fired) == (two.trace_hash, two.turns, two.faults_fired)


def test_a_seed_is_the_same_on_connections_that_know_nothing_yet(postgres, database):
    before = Simulation(5, on=database).run(fleet)
    with SimPostgres(postgres.url) as another:
        assert Simulation(5, on=another).run(fleet).trace_hash == before.trace_hash


@pytest.mark.timeout(600)
def test_every_fault_at_every_point(points, database):
    first, step = points
    still = enumerate_faults(fleet_enumerated, (), on=database)
    chosen = range(first, len(still.points) + 1, step)
    found = enumerate_faults(fleet_enumerated, points=chosen, on=database).require()
    assert found.runs == found.faults == len(chosen) * len(KINDS) > 0
    assert {"commit", "acquire", "adopt", "claim_due", "renew", "statuses"} <= set(found.points)


def test_nothing_is_left_behind(postgres):
    left = "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'ripresa_sim_%'"
    before = postgres.sql(left)
    with SimPostgres(postgres.url) as database:
        Simulation(1, on=database).run(ALL["sequential"]).require()
        assert database.schema in postgres.sql(left)
    assert postgres.sql(left) == before
    database.close()


def test_a_server_that_is_not_there_is_told(postgres):
    nowhere = "postgresql://127.0.0.1:1/postgres"
    with SimPostgres(nowhere) as database, pytest.raises(StoreUnavailable, match="is out of reach"):
        Simulation(1, on=database).run(fleet)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("sqlite:///runs.db", "a simulation's database is postgresql://"),
        ("postgresql://127.0.0.1:1/postgres", "is out of reach"),
    ],
)
def test_the_command_says_what_is_wrong_with_an_address(url, told):
    command = [sys.executable, "-m", "ripresa.testing", "--scenario", "fleet", "--on", url]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_sees_a_report_again(database):
    report = Simulation(2, on=database).run(ALL["sequential_fleet"]).require()
    words = shlex.split(report.rerun)
    done = subprocess.run([sys.executable, *words[1:]], capture_output=True, text=True, check=True)
    assert f"trace {report.trace_hash}" in done.stdout


def test_a_report_says_where_it_was_and_shows_no_password(postgres):
    secret = postgres.url.replace("postgres@", "postgres:s3cret@")
    with SimPostgres(secret) as database:
        report = Simulation(2, on=database).run(ALL["sequential"]).require()
    assert report.rerun == f"python -m ripresa.testing --scenario sequential --seed 2 --on {postgres.url}"
    assert "s3cret" not in str(report)
