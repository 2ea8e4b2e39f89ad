"""The weather example: the demo as people see it, its pipeline, its quarantine, and a proof that can fail."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from chart import draw
from flaky_normals import FlakyNormals
from ledger import Execution
from months import summarise
from observations import Observation, sift
from pipeline import Approval, Job, seattle_weather
from proof import Crash, Evidence, judge
from report import page

from ripresa import App, RunFailed
from ripresa.ports.rows import HistoryEvent

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "weather"
DAMAGED = EXAMPLE / "damaged_rows.csv"


# --- the demo, as `make demo DEMO=weather` runs it --------------------------------------------------------------


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    command = [sys.executable, EXAMPLE / "demo.py", "--dir", folder]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=100, check=False)
    return done, folder / "weather-demo"


def test_the_demo_survives_two_kills_and_proves_it(demo):
    done, _ = demo

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert done.stdout.count("✗ kill -9") == 2
    assert "51 of 51 steps" in done.stdout
    assert "503, 503, 200: done at attempt 3" in done.stdout
    assert "\033[" not in done.stdout  # no colours: this is no terminal


def test_the_demo_leaves_a_report_of_every_month(demo):
    _, folder = demo
    report = (folder / "out" / "report.html").read_text(encoding="utf-8")
    chart = (folder / "out" / "chart.svg").read_text(encoding="utf-8")

    assert "1,461 daily observations in 48 months" in report
    assert "81 days" in report  # summer 2012, over three ends of months
    assert chart.strip() in report
    assert chart.count('class="month"') == chart.count('class="bar"') == 48
    assert report.count("2012-") == 12 * 2  # each month in its table, and in the chart


def test_the_demo_quarantines_exactly_the_damaged_rows(demo):
    _, folder = demo
    rows = [json.loads(line) for line in (folder / "out" / "quarantine.jsonl").read_text("utf-8").splitlines()]
    observations = (folder / "out" / "observations.jsonl").read_text("utf-8").splitlines()

    assert {row["source"] for row in rows} == {"damaged_rows.csv"}
    assert len(rows) == 9
    assert all(row["reasons"] for row in rows)
    assert len(observations) == 1461


def test_the_demo_leaves_a_ledger_in_which_only_lost_work_was_done_twice(demo):
    _, folder = demo
    lines = [json.loads(line) for line in (folder / "out" / "ledger.jsonl").read_text("utf-8").splitlines()]
    processes = {}
    for line in lines:
        processes.setdefault(line["operation"], set()).add(line["pid"])
    begun_twice = [operation for operation, pids in processes.items() if len(pids) > 1]

    assert len(processes) == 51
    assert len(begun_twice) <= 4
    assert all("summarise_month" in operation for operation in begun_twice)
    assert len({line["pid"] for line in lines}) >= 2


def test_the_demo_leaves_no_drafts_behind(demo):
    _, folder = demo

    assert sorted(path.name for path in (folder / "out").iterdir()) == [
        *("chart.svg", "ledger.jsonl", "observations.jsonl", "quarantine.jsonl", "report.html")
    ]


# --- the pipeline ------------------------------------------------------------------------------------


async def test_without_options_the_pipeline_takes_the_real_rows_only(tmp_path):
    async with App("memory://", [seattle_weather]) as app:
        report = await (await app.start(seattle_weather, Job(out=tmp_path))).result()

    assert (report.rows, report.quarantined) == (1461, 0)
    assert "None: every row met the contract." in report.page.read_text("utf-8")
    assert 'class="normal"' not in report.chart.read_text("utf-8").partition("</style>")[2].partition("<polygon")[2]


async def test_a_flaky_service_is_asked_again(tmp_path):
    with FlakyNormals(failures=1) as service:
        async with App("memory://", [seattle_weather]) as app:
            await (await app.start(seattle_weather, Job(out=tmp_path, normals_url=service.url))).result()

    assert service.answers == [503, 200]


async def test_a_service_that_never_recovers_fails_the_run_after_six_attempts(tmp_path, monkeypatch):
    from pipeline import fetch_normals

    monkeypatch.setattr(fetch_normals, "retry", replace(fetch_normals.retry, delay="1ms"))
    with FlakyNormals(failures=100) as service:
        async with App("memory://", [seattle_weather]) as app:
            run = await app.start(seattle_weather, Job(out=tmp_path, normals_url=service.url))
            with pytest.raises(RunFailed, match="503 Service Unavailable"):
                await run.result()

    assert service.answers == [503] * 6


async def test_a_report_that_needs_approval_waits_for_it(tmp_path):
    async with App("memory://", [seattle_weather]) as app:
        run = await app.start(seattle_weather, Job(out=tmp_path, needs_approval=True))
        await app.signal(run, "publish", Approval(by="Ada <ada@example.com>"))
        report = await run.result()

    assert "approved by Ada &lt;ada@example.com&gt;" in report.page.read_text("utf-8")


async def test_the_same_rows_give_the_same_bytes(tmp_path):
    async with App("memory://", [seattle_weather]) as app:
        for name in ("one", "two"):
            await (await app.start(seattle_weather, Job(out=tmp_path / name, with_damaged_rows=True))).result()

    for name in ("report.html", "chart.svg", "observations.jsonl", "quarantine.jsonl"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


# --- the quarantine ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("2012/07/04,0.0,12.1,21.7,2.9,sun", "temp_min 21.7 is above temp_max 12.1"),
        ("2013/02/30,4.1,9.4,3.9,3.2,rain", "date: should be a valid date"),
        ("2013/08/15,-2.5,27.2,16.1,2.6,sun", "precipitation: should be greater than or equal to 0"),
        ("2014/05/20,1.3,,9.4,3.1,rain", "temp_max: is missing"),
        ("2014/11/28,3.0,4.4,-999.9,4.9,snow", "temp_min: should be greater than or equal to -40"),
        ("2015/03/09,0.0,18.9,5.6,1.7,frogs", "weather: should be 'drizzle', 'fog', 'rain', 'snow' or 'sun'"),
        ("2015/06/30,nan,32.2,17.8,4.3,sun", "precipitation: should be a finite number"),
        ("2015/12/24,5.8,5.0", "temp_min: is missing"),
        ("2015/12/24,5.8,5.0,1.0,2.0,rain,surplus", "field 7: is not in the contract"),
    ],
)
def test_a_damaged_row_is_quarantined_with_its_reason(tmp_path, row, reason):
    file = tmp_path / "rows.csv"
    file.write_text(f"# a remark\ndate,precipitation,temp_max,temp_min,wind,weather\n{row}\n", "utf-8")

    passed, (quarantined,) = sift([file])

    assert passed == []
    assert (quarantined.source, quarantined.line) == ("rows.csv", 3)
    assert reason in "; ".join(quarantined.reasons)


def test_of_two_rows_for_one_day_the_first_is_kept(tmp_path):
    file = tmp_path / "rows.csv"
    file.write_text(
        "date,precipitation,temp_max,temp_min,wind,weather\n"
        "2014/01/01,0.0,7.2,3.3,1.2,fog\n"
        "2014/01/01,9.0,7.2,3.3,1.2,rain\n",
        "utf-8",
    )

    (kept,), (quarantined,) = sift([file])

    assert kept.weather == "fog"
    assert quarantined.reasons == ["date: 2014-01-01 has been observed already"]


def test_every_row_shipped_as_damaged_is_damaged():
    from observations import packaged

    rows = [line for line in DAMAGED.read_text("utf-8").splitlines() if not line.startswith(("#", "date"))]

    assert len(sift([packaged("seattle-weather.csv"), DAMAGED]).quarantined) == len(rows) == 9


# --- the report --------------------------------------------------------------------------------------


def test_what_a_row_says_cannot_become_markup():
    from months import summarise_record
    from observations import QuarantinedRow

    day = Observation(date="2020-01-01", precipitation=0, temp_max=1, temp_min=0, wind=1, weather="sun")
    months = [summarise("2020-01", [day])]
    row = QuarantinedRow(source="x.csv", line=2, row={"date": "<script>"}, reasons=["<b>"])

    text = page(draw(months, "<title>"), months, summarise_record(months), [row])

    assert "<script>" not in text
    assert "<b>" not in text
    assert "&lt;title&gt;" in text


# --- the proof: it must be able to fail ----------------------------------------------------------------


def an_event(operation, kind="step_completed"):
    return HistoryEvent("r", 1, kind, 0, operation, operation, None, 1, None, None, None)


def an_execution(operation, pid=1, attempt=1, key=None):
    return Execution(key or f"r:{operation}", operation, attempt, pid)


HONEST = Evidence(
    events=[an_event("a"), an_event("b"), an_event("c"), an_event("sleep", "timer_fired")],
    executions=[an_execution("a"), an_execution("b"), an_execution("b", pid=2), an_execution("c", pid=2)],
    crashes=[Crash(1, frozenset({"a"}))],
)


def broken(evidence):
    return [verdict.promise for verdict in judge(evidence, steps=3, at_once=1) if not verdict.kept]


def test_an_honest_run_passes():
    assert broken(HONEST) == []


@pytest.mark.parametrize(
    ("change", "promise"),
    [
        ({"events": [*HONEST.events, an_event("a")]}, "The journal holds each step once"),
        ({"events": HONEST.events[1:]}, "The journal holds each step once"),
        ({"executions": HONEST.executions[:-1]}, "The ledger knows the same steps"),
        ({"executions": [*HONEST.executions, an_execution("x")]}, "The ledger knows the same steps"),
        ({"executions": [*HONEST.executions, an_execution("a", pid=2)]}, "No step that was recorded ran again"),
        ({"executions": [*HONEST.executions, an_execution("c")]}, "Only what was in work at a crash ran again"),
        ({"executions": [*HONEST.executions, an_execution("b", 2, 2, "other")]}, "Each step kept one idempotency key"),
        ({"executions": [*HONEST.executions, an_execution("c", pid=2)]}, "No process ran an attempt twice"),
        ({"events": [*HONEST.events, an_event("sleep", "timer_fired")]}, "The pause was slept once"),
    ],
)
def test_each_broken_promise_is_found(change, promise):
    assert any(found.startswith(promise) for found in broken(replace(HONEST, **change)))
