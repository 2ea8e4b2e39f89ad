"""The daily sales example: the demo as people see it, other days, a day of rest, and a gate that closes."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("duckdb", reason="the extra `examples` is not installed")

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "daily_sales"
HERE = Path(sys.executable).parent  # unresolved: an environment's python is a link


def called(*command, cwd=EXAMPLE):
    ours = {name: value for name, value in os.environ.items() if not name.startswith("RIPRESA_")}
    env = {**ours, "PATH": f"{HERE}{os.pathsep}{ours['PATH']}"}
    return subprocess.run(
        [*map(str, command)], cwd=cwd, env=env, capture_output=True, text=True, timeout=100, check=False
    )


def a_day(folder, day, *options, cwd=EXAMPLE):
    command = [HERE / "ripresa", "run", "workflow.yaml", "--date", day, "--id", day, "-o", "json"]
    given = ["-p", f"lake={folder / 'lake'}", "-p", "hiccups=0", "--store", f"sqlite:///{folder / 'runs.db'}"]
    return called(*command, *given, *options, cwd=cwd)


def steps_of(folder, day):
    store = f"sqlite:///{folder / 'runs.db'}"
    shown = called(HERE / "ripresa", "runs", "show", day, "-o", "json", "--store", store)
    return {one["step"]: one["status"] for one in json.loads(shown.stdout)["steps"]}


# --- the demo, as `make demo` runs it --------------------------------------------------------------


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    return called(sys.executable, EXAMPLE / "demo.py", "--dir", folder), folder / "daily-sales-demo"


def test_the_demo_survives_a_kill_and_proves_it(demo):
    done, _ = demo

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert done.stdout.count("✗") == 1
    assert "✗ kill -9" in done.stdout
    assert "3 of 3 jobs" in done.stdout
    assert "\033[" not in done.stdout  # no colours: this is no terminal


def test_the_demo_began_each_job_again_that_was_cut_off_and_no_other(demo):
    _, folder = demo
    lines = [json.loads(line) for line in (folder / "lake" / "ledger.jsonl").read_text("utf-8").splitlines()]

    assert [line["job"] for line in lines] == ["extract_sales", "extract_sales", "transform", "transform", "report"]
    assert len({line["idempotency_key"] for line in lines}) == 3


def test_the_demo_leaves_a_page_of_the_day(demo):
    _, folder = demo
    page = (folder / "lake" / "reports" / "sales-all-2017-12-23.html").read_text("utf-8")

    assert "<h1>Sales of Saturday, 23 December 2017</h1>" in page
    assert "7,024 lines in 626 baskets" in page
    assert page.count("$24,757") == 3  # on top, above its column, and on pointing at it
    assert page.count("<svg") == 3


def test_the_demo_leaves_no_drafts_behind(demo):
    _, folder = demo

    assert not [path.name for path in folder.rglob("*") if path.is_file() and path.suffix in (".1", ".2")]


# --- other days --------------------------------------------------------------------------------------


def test_another_day_in_one_region_has_other_sales(tmp_path):
    done = a_day(tmp_path, "2017-07-04", "-p", "region=north")
    output = json.loads(done.stdout)

    assert done.returncode == 0, done.stderr
    assert output == {"page": str(tmp_path / "lake" / "reports" / "sales-north-2017-07-04.html"), "sales": 9369.71}


def test_a_day_that_the_tills_do_not_know_fails_at_the_first_attempt(tmp_path):
    done = a_day(tmp_path, "2018-05-05")

    assert done.returncode == 1
    assert "the tills know the days from 2017-01-01 to 2017-12-31, and not 2018-05-05" in done.stderr
    assert steps_of(tmp_path, "2018-05-05") == {
        "extract_sales": "failed",
        "transform": "skipped",
        "report": "skipped",
    }


def test_a_day_on_which_nothing_was_sold_is_skipped(tmp_path):
    done = a_day(tmp_path, "2017-12-25")

    assert done.returncode == 0, done.stderr
    assert set(steps_of(tmp_path, "2017-12-25").values()) == {"skipped"}


def test_a_day_that_breaks_the_gate_is_set_aside(tmp_path):
    strict = tmp_path / "strict"
    shutil.copytree(EXAMPLE, strict)
    text = (EXAMPLE / "workflow.yaml").read_text("utf-8")
    (strict / "workflow.yaml").write_text(text.replace("min_valid_rate: 0.95", "min_valid_rate: 0.999"), "utf-8")

    done = a_day(tmp_path, "2017-12-23", cwd=strict)

    assert done.returncode == 3
    assert "min_valid_rate is 0.999" in done.stderr
    assert steps_of(tmp_path, "2017-12-23")["extract_sales"] == "quarantined"
