"""Engines that are killed, stopped and doubled, for real."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.asleep import story
from ripresa import App, StoreInUse
from ripresa.testing.torture import ledger
from ripresa.testing.torture.place_sqlite import ask
from tests.kill import zombie

ROOT = Path(__file__).parents[2]
ZOMBIE = Path(__file__).with_name("zombie.py")


def test_thousands_asleep_survive_kills_while_they_are_started_asleep_and_waking(tmp_path: Path):
    told = story(5_000, tmp_path)
    assert told["rss_asleep_mb"] < 200


# -- two engines on one file ------------------------------------------------------------------------------------------


def begin(directory: Path, life: int) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        ledger.PATH_VARIABLE: str(directory / "ledger"),
        ledger.LIFE_VARIABLE: str(life),
    }
    command = [sys.executable, "-m", "tests.kill.zombie", f"sqlite:///{directory}/runs.db"]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)


def until_begun(directory: Path, life: int, number: int) -> None:
    """Wait until this life has begun so many steps."""
    until = time.monotonic() + 60
    while True:
        lines = ledger.read(directory / "ledger")
        if sum(line["what"] == "begin" and line["life"] == life for line in lines) >= number:
            return
        assert time.monotonic() < until, lines
        time.sleep(0.01)


def rows(directory: Path) -> list:
    path = directory / "runs.db"
    return [ask(path, f"SELECT * FROM {table} ORDER BY 1, 2, 3") for table in ("run", "history", "attempt", "engine")]


@pytest.fixture
def processes():
    """Ended whatever happens, stopped ones too."""
    begun: list[subprocess.Popen[str]] = []
    yield begun
    for process in begun:
        process.kill()
        process.communicate()


def _stop_between_commits(process, path: Path) -> None:
    """Stop it while it does not hold SQLite's write lock: with that nobody else could write, whatever its lease."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as connection:
        while True:
            os.kill(process.pid, signal.SIGSTOP)
            os.waitpid(process.pid, os.WUNTRACED)
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                os.kill(process.pid, signal.SIGCONT)
            else:
                connection.execute("ROLLBACK")
                return


def test_a_stopped_engine_that_wakes_after_another_took_over_writes_nothing(tmp_path: Path, processes: list):
    first = begin(tmp_path, 1)
    processes.append(first)
    until_begun(tmp_path, 1, 12)
    _stop_between_commits(first, tmp_path / "runs.db")
    second = begin(tmp_path, 2)
    processes.append(second)
    assert second.stdout.readline() == "all done\n"
    second.communicate(timeout=30)
    assert second.returncode == 0
    before = rows(tmp_path)
    os.kill(first.pid, signal.SIGCONT)
    assert "EngineFenced" in first.communicate(timeout=30)[0]
    assert first.returncode == 3
    assert rows(tmp_path) == before

    lines = [line for line in ledger.read(tmp_path / "ledger") if line["what"] == "begin"]
    taken_over = min(line["at"] for line in lines if line["life"] == 2)
    late = [line["key"] for line in lines if line["life"] == 1 and line["at"] > taken_over]
    assert len(late) == len(set(late)) <= zombie.RUNS, "no more than it had in its hands: a step of each run"
    assert set(late) <= {line["key"] for line in lines if line["life"] == 2}, "what it did late is done again"
    hashes = {(line["key"], line["hash"]) for line in lines}
    assert len(hashes) == len({key for key, _ in hashes})


async def test_a_second_engine_on_the_same_file_is_told_whose_it_is(tmp_path: Path, processes: list):
    first = begin(tmp_path, 1)
    processes.append(first)
    until_begun(tmp_path, 1, 1)
    with pytest.raises(StoreInUse, match=f"in use by .*process {first.pid} .*stop it, or use another store"):
        await App(f"sqlite:///{tmp_path}/runs.db").open()
    assert first.poll() is None
    with sqlite3.connect(tmp_path / "runs.db") as connection:
        assert connection.execute("SELECT epoch, pid FROM engine").fetchall() == [(1, first.pid)]
    connection.close()
