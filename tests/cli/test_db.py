"""Forgetting and moving: what a store keeps, and where."""

import json
import time

import pytest

from tests.cli.conftest import TIMEOUT_S, stop

STORE = ".ripresa/ripresa.db"


@pytest.fixture
def full(shop):
    """A store with two runs that have ended, one that waits, and a family of which one child waits."""
    for run in ("one", "two"):
        shop("run", "shop.py:text", "--id", run)
    shop("run", "shop.py:approval", "--id", "waits", "--detach")
    return shop


def until(true):
    """Wait for it."""
    end = time.monotonic() + TIMEOUT_S
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def ids(shop, *options):
    return sorted(run["id"] for run in shop.json("runs", "list", *options))


def test_what_ended_long_ago_is_forgotten(full):
    assert full("db", "prune", "--older-than", "1h").stdout == "0 runs removed\n"
    assert full.json("db", "prune", "--older-than", "0s", "--dry-run") == {
        "would_remove": {"cancelled": 0, "failed": 0, "succeeded": 2}
    }
    assert full("db", "prune", "--older-than", "0s", "--dry-run").stdout == "would be removed: 2 succeeded\n"
    assert ids(full) == ["one", "two", "waits"]
    assert full("db", "prune", "--older-than", "0s", "--status", "failed").stdout == "0 runs removed\n"
    assert full("db", "prune", "--older-than", "0s", "--batch", "1").stdout == "2 runs removed\n"
    assert ids(full) == ["waits"]
    full("db", "check")


def test_runs_are_archived_before_they_go(full):
    full("db", "archive", "all.jsonl")
    told = full.json("db", "prune", "--older-than", "0s", "--archive", "gone.jsonl")
    assert told == {"removed": 2, "archived": 2}
    assert (full.folder / "all.jsonl").read_bytes() == (full.folder / "gone.jsonl").read_bytes()
    runs = [json.loads(line) for line in (full.folder / "gone.jsonl").read_text().splitlines()]
    assert [run["run"]["id"] for run in runs] == ["one", "two"]
    assert all(run["history"][-1]["kind"] == "finished" for run in runs)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--older-than", "soon"], "--older-than: 'soon' is not a duration"),
        (["--older-than", "1d", "--status", "runing"], "--status runing: only runs that have ended may go"),
        (["--older-than", "1d", "--batch", "0"], "--batch 0: it must be 1 or more"),
        (["--older-than", "1d", "--archive", "no/such/place"], "no/such/place: No such file or directory"),
    ],
)
def test_what_cannot_be_meant_is_refused(full, arguments, told):
    found = full("db", "prune", *arguments, code=2)
    assert found.stdout == ""
    assert told in found.stderr


@pytest.mark.own_store  # it moves a file
def test_a_project_moves_in_mid_flight(full):
    """Also a run whose engine was killed under it: it goes on in the new place, and nothing recorded is done again."""
    process = full.start("run", "shop.py:doze", "-p", "seconds=600", "--id", "killed")
    until(lambda: "slow" in full.calls())
    process.kill()
    process.wait()
    target = f"sqlite:///{full.folder}/new.db"
    told = full.json("db", "copy", f"sqlite:///{STORE}", target)
    assert told["problems"] == []
    assert told["rows"]["run"] == 4
    assert told["moved_to"] == str(full.folder / f"{STORE}.moved")
    assert not (full.folder / STORE).exists()
    assert ids(full, "--store", target) == ["killed", "one", "two", "waits"]
    full("db", "check", "--store", target)
    full("runs", "signal", "waits", "label", '"L1"', "--store", target)
    assert full("run", "shop.py:approval", "--id", "waits", "--store", target).stdout == "L1\n"
    killed = full.start("run", "shop.py:doze", "-p", "seconds=600", "--id", "killed", "--store", target)
    until(lambda: full.calls().count("slow") >= 2)
    killed.kill()
    killed.wait()
    assert full.calls().count("charge") == 2, "one of the run that was killed, done once; one of the run that waits"


@pytest.mark.own_store  # it moves a file
def test_a_source_keeps_its_name_if_that_is_wanted(full):
    told = full("db", "copy", f"sqlite:///{STORE}", "new.db", "--keep")
    assert told.stdout.startswith("3 runs in ")
    assert "now" not in told.stdout
    assert ids(full) == ids(full, "--store", "new.db")


@pytest.mark.own_store  # it moves a file
def test_a_target_with_something_in_it_is_refused(full):
    full("run", "shop.py:text", "--store", "other.db")
    told = full("db", "copy", f"sqlite:///{STORE}", "other.db", code=2)
    assert "other.db is not empty (" in told.stderr
    assert " in history" in told.stderr
    assert ids(full) == ["one", "two", "waits"]
    full("db", "copy", f"sqlite:///{STORE}", STORE, code=2)
    full("db", "copy", "memory://", "new.db", code=5)


@pytest.mark.own_store  # it moves a file
def test_a_source_at_work_is_refused(full):
    worker = full.worker()
    told = full("db", "copy", f"sqlite:///{STORE}", "new.db", code=5)
    assert "is in use by" in told.stderr
    stop(worker)
    full("db", "copy", f"sqlite:///{STORE}", "new.db")
