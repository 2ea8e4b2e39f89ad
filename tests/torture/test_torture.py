"""The command `ripresa torture`, on both stores, for seconds; the long version is the same command with more faults."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.brokers import RabbitMq, Redis
from tests.support.postgres import missing

RIPRESA = Path(sys.executable).with_name("ripresa")


def tortured(directory: Path, *options: str, within_s: float = 110) -> dict:
    """The report of one run of the command, which has to find nothing."""
    report = directory / "report.json"
    command = [str(RIPRESA), "torture", f"--report={report}", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=within_s, check=False, cwd=directory)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(report.read_text())
    assert [path.name for path in directory.iterdir()] == [report.name], "something was left behind"
    [run] = told["runs"]
    return run


def require(why: str | None) -> None:
    """Not here: skipped, but by the integration server."""
    if why is not None:
        assert not os.environ.get("CI"), why
        pytest.skip(why)


def test_nothing_is_lost_or_done_twice_in_twenty_kills(tmp_path: Path):
    told = tortured(tmp_path, "--dsn=sqlite:///runs.db", "--kills=20", "--stops=1", "--seed=1", "--lease=1")
    assert told["steps_repeated_after_a_fault"] > 10, "the kills hit nobody at work"
    assert told["kills_while"]["recovering"] > 1
    assert told["kills_while"]["working"] > 8
    assert told["zombies"]["of which were refused something"] == 1
    assert len(told["by_kind"]) > 8


def test_recovery_is_killed_again_and_again(tmp_path: Path):
    told = tortured(tmp_path, "--dsn=sqlite:///runs.db", "--kills=12", "--stops=0", "--seed=2", "--nested", "--lease=1")
    assert told["kills_while"] == {"recovering": 12}
    assert told["runs"] > 0


def test_several_engines_on_postgresql_lose_nothing_whatever_is_done_to_them_and_to_the_database(tmp_path: Path):
    require(missing())
    faults = ["--kills=6", "--stops=1", "--holds=1", "--cuts=15", "--terminations=3", "--crashes=1", "--restarts=1"]
    told = tortured(tmp_path, *faults, "--rolls=1", "--seed=3", "--lease=1", "--broker=none")
    assert told["commits_of_unknown_fate"] > 0
    assert told["zombies"]["engines that others had taken over from"] == 2
    assert told["checked"]["runs that kept their version"] > 0
    assert told["steps_repeated_after_a_fault"] > 0


@pytest.mark.timeout(400)
@pytest.mark.parametrize(("broker", "wipes"), [(Redis, 3), (RabbitMq, 1)])
def test_brokers_that_lose_everything_and_workers_that_are_killed_lose_nothing_of_a_run(tmp_path: Path, broker, wipes):
    require(missing() or broker.missing())
    faults = ["--kills=2", "--stops=0", "--holds=0", "--cuts=5", "--terminations=0", "--crashes=1", "--restarts=0"]
    faults += [f"--wipes={wipes}", "--worker-kills=2", "--worker-stops=1"]
    told = tortured(tmp_path, *faults, f"--broker={broker.name}", "--seed=4", "--lease=1", within_s=380)
    assert told["wipes"]["messages lost"] >= wipes
    assert sum(told["worker_kills"].values()) == 2
    assert told["checked"]["outcomes of workers taken from one attempt"] > 10


def test_interrupted_on_a_database_of_others_it_reports_and_leaves_nothing(tmp_path: Path, postgres, postgres_url):
    database = postgres_url.rpartition("/")[2]
    schemas = "SELECT string_agg(nspname, ' ' ORDER BY nspname) FROM pg_namespace WHERE nspname !~ '^pg_t'"
    before = postgres.sql(schemas, database)
    report = tmp_path / "report.json"
    command = [str(RIPRESA), "torture", f"--dsn={postgres_url}", "--kills=10000", f"--report={report}", "--lease=1"]
    command += ["--broker=none"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        for line in process.stderr:
            if " kills" in line:
                assert "ripresa_torture_" in postgres.sql(schemas, database)
                process.send_signal(signal.SIGINT)
                break
        said = process.communicate(timeout=100)
    assert process.returncode == 130, said
    told = json.loads(report.read_text())
    assert told["interrupted"]
    [run] = told["runs"]
    assert run["faults"]["kills"] > 0
    assert run["violations"] == []
    assert postgres.sql(schemas, database) == before


def test_where_it_cannot_be_done_it_says_so_at_once(tmp_path: Path, postgres, postgres_url):
    postgres.sql("CREATE ROLE nobody_here LOGIN")
    try:
        for url, said in (
            (postgres_url.replace("postgres@", "nobody_here@"), "permission denied for database"),
            ("postgresql://u:secret@127.0.0.1:1/x", "is out of reach"),
            ("postgresql://u:se/cret@127.0.0.1:1/x", "as %40"),
        ):
            command = [str(RIPRESA), "torture", f"--dsn={url}", "--kills=1", "--broker=none"]
            done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False, timeout=100)
            assert done.returncode in {2, 5}, done
            assert said in done.stderr
            assert "cret" not in done.stderr
    finally:
        postgres.sql("DROP ROLE nobody_here")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--report", "/no/such/folder/r.json"], "error: --report /no/such/folder/r.json: No such file or directory"),
        (["--lease", "0"], "error: torture: --lease 0: it is more than 0"),
        (["--worker-kills", "-1"], "error: torture: --worker-kills is 0 or more"),
    ],
    ids=lambda given: given[0] if isinstance(given, list) else "",
)
def test_what_would_come_to_light_at_the_end_is_refused_at_the_beginning(args, said):
    done = subprocess.run([str(RIPRESA), "torture", *args], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(said)
