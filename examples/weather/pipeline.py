"""A durable pipeline over real observations: four years of daily weather in Seattle.

    load_observations ─ fetch_normals ─┬─ summarise_month 2012-01 ─┬─ pause ─ (approval) ─ write_report
                                       ├─ …                        │
                                       └─ summarise_month 2015-12 ─┘

The workflow decides; the steps read, fetch and write.  Kill this program at any moment and start it again with the same
`--id`: it goes on where its journal ends.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import chart
import ledger
import report
from months import MonthSummary, summarise, summarise_record
from observations import Observation, QuarantinedRow, packaged, sift
from pydantic import BaseModel

from ripresa import App, Retry, Retryable, Terminal, map_, sleep, step, wait_for_signal, workflow

HERE = Path(__file__).resolve().parent
MONTHS_AT_ONCE = 4


class Job(BaseModel):
    """What is asked for: the input of the workflow."""

    out: Path = Path("weather")
    with_damaged_rows: bool = False
    normals_url: str | None = None
    pace_s: float = 0.0  # makes each month take this long, so that a crash can be watched
    pause_s: float = 0.0
    needs_approval: bool = False

    @property
    def ledger(self) -> Path:
        """Where each step notes that it runs."""
        return self.out / "ledger.jsonl"


class Loaded(BaseModel):
    """What was found in the files; the rows themselves stay in a file, and only their address travels."""

    rows: int
    months: list[str]
    quarantined: list[QuarantinedRow]


class MonthOf(BaseModel):
    """One month to summarise."""

    job: Job
    month: str
    normal: float | None


class Approval(BaseModel):
    """The signal that lets a report be published."""

    by: str


class Report(BaseModel):
    """Where the results are: the output of the workflow."""

    page: Path
    chart: Path
    rows: int
    quarantined: int


# --- steps: they reach the world, and their outcomes are recorded ------------------------------


@step
def load_observations(job: Job) -> Loaded:
    """Check every row; keep those that pass in one file, those that do not, with the reasons, in another."""
    job.out.mkdir(parents=True, exist_ok=True)
    ledger.note(job.ledger)
    sources = [packaged("seattle-weather.csv")] + [HERE / "damaged_rows.csv"] * job.with_damaged_rows
    passed, quarantined = sift(sources)
    _write_lines(job.out / "observations.jsonl", passed)
    _write_lines(job.out / "quarantine.jsonl", quarantined)
    months = sorted({seen.month for seen in passed})
    return Loaded(rows=len(passed), months=months, quarantined=quarantined)


@step(retry=Retry(max_attempts=6, delay="200ms"), timeout="10s")
def fetch_normals(job: Job) -> list[float]:
    """Ask the climate service for the normal mean temperature of January to December."""
    ledger.note(job.ledger)
    assert job.normals_url is not None
    try:
        with urlopen(job.normals_url, timeout=5) as answer:  # noqa: S310 - whoever asks for the run names the service
            normals: list[float] = json.load(answer)["monthly_mean"]
            return normals
    except HTTPError as error:
        kind = Retryable if error.code in {429, 502, 503, 504} else Terminal
        raise kind(f"the climate service says {error.code} {error.reason}") from error


@step
def summarise_month(of: MonthOf) -> MonthSummary:
    """The statistics of one month."""
    ledger.note(of.job.ledger)
    time.sleep(of.job.pace_s)
    lines = (of.job.out / "observations.jsonl").read_text(encoding="utf-8").splitlines()
    observations = [Observation.model_validate_json(line) for line in lines if f'"date":"{of.month}' in line]
    return summarise(of.month, observations, of.normal)


@step
def write_report(job: Job, loaded: Loaded, months: list[MonthSummary], approval: Approval | None) -> Report:
    """Draw the chart and write the page."""
    ledger.note(job.ledger)
    record = summarise_record(months)
    drawing = chart.draw(months, f"Seattle month by month, {record.years[0].year}–{record.years[-1].year}")
    text = report.page(drawing, months, record, loaded.quarantined, approval.by if approval else None)
    made = Report(
        page=job.out / "report.html",
        chart=job.out / "chart.svg",
        rows=loaded.rows,
        quarantined=len(loaded.quarantined),
    )
    _write(made.chart, drawing)
    _write(made.page, text)
    return made


# --- the workflow: it decides, and is replayed from what was recorded --------------------------


# --8<-- [start:workflow]
@workflow
async def seattle_weather(job: Job) -> Report:
    """Load, fetch, summarise month by month, pause, and write the report."""
    loaded = load_observations(job)
    normals = fetch_normals(job) if job.normals_url else [None] * 12
    tasks = [MonthOf(job=job, month=month, normal=normals[int(month[5:]) - 1]) for month in loaded.months]
    months: list[MonthSummary] = await map_(summarise_month, tasks, max_parallel=MONTHS_AT_ONCE)
    await sleep(seconds=job.pause_s)
    approval = await wait_for_signal("publish", Approval, timeout="2d") if job.needs_approval else None
    return write_report(job, loaded, months, approval)


# --8<-- [end:workflow]


# --- writing files: the same call again leaves the same file ----------------------------------


def _write_lines(path: Path, models: Sequence[BaseModel]) -> None:
    _write(path, "".join(model.model_dump_json() + "\n" for model in models))


def _write(path: Path, text: str) -> None:
    """Write the file whole and to disk, or leave it as it was."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with draft.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


# --- the program ------------------------------------------------------------------------------


async def run(job: Job, store: str, id: str) -> Report:
    """Start the run of this id, or go on with it, and wait for its report."""
    async with App(store, workflows=[seattle_weather]) as app:
        started = await app.start(seattle_weather, job, id=id)
        return await started.result()


def main() -> None:
    """Read the command line, run, and say where the report is."""
    parser = argparse.ArgumentParser(description="Four years of daily weather in Seattle, durably.")
    parser.add_argument("--out", type=Path, default=Path("weather"), help="folder for the results (weather)")
    parser.add_argument("--store", default="sqlite:///.ripresa/ripresa.db", help="store of the run")
    parser.add_argument("--id", default="seattle-weather", help="id of the run; the same id goes on with the same run")
    parser.add_argument("--damaged", action="store_true", help="mix in rows that were damaged by hand")
    parser.add_argument("--normals", metavar="URL", help="climate service to ask for the station's normals")
    parser.add_argument("--pace", type=float, default=0.0, metavar="SECONDS", help="make each month take this long")
    parser.add_argument("--pause", type=float, default=0.0, metavar="SECONDS", help="sleep before the report")
    given = parser.parse_args()
    job = Job(
        out=given.out.resolve(),
        with_damaged_rows=given.damaged,
        normals_url=given.normals,
        pace_s=given.pace,
        pause_s=given.pause,
    )
    made = asyncio.run(run(job, given.store, given.id))
    print(f"{made.rows:,} observations, {made.quarantined} rows quarantined; the report is {made.page}")


if __name__ == "__main__":
    main()
