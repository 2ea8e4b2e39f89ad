"""The demo: run the pipeline, kill it twice with SIGKILL, and prove that nothing recorded was done again.

    make demo DEMO=weather        (or: python examples/weather/demo.py)

The pipeline runs in a process of its own.  This one starts it, watches its journal through the store, kills it at two
chosen moments and starts it again each time.  In the end it compares the journal with the ledger into which each step
wrote a line before it did anything else.  Exits with 1 if they contradict the promise.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import ledger
from flaky_normals import FlakyNormals
from journal import Journal
from pipeline import MONTHS_AT_ONCE, Loaded, Report
from proof import Crash, Evidence, judge

from ripresa.ports.rows import HistoryEvent

HERE = Path(__file__).resolve().parent
RUN_ID = "seattle-2012-2015"
STORE = "demo.db"
MONTHS = 48
PACE_S = 0.08
PAUSE_S = 1.6
PATIENCE_S = 60.0


# --- the terminal ---------------------------------------------------------------------------------


def _paint(code: str) -> Callable[[str], str]:
    in_colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
    return lambda words: f"\033[{code}m{words}\033[0m" if in_colour else words


bold, dim, red, green, blue = map(_paint, ("1", "2", "1;31", "32", "34"))


def say(words: str = "", end: str = "\n") -> None:
    """Print at once, terminal or not."""
    print(words, end=end, flush=True)


def stop(words: str) -> NoReturn:
    """End the demo as failed."""
    say(red(f"\n  ✗ {words}\n"))
    sys.exit(1)


class Squares:
    """One mark for each month that the journal holds, in groups of a year."""

    def __init__(self) -> None:
        self.shown = 0

    def show(self, count: int, mark: str) -> None:
        """Add marks until there are `count`."""
        while self.shown < count:
            gap = "    " if self.shown == 0 else "  " if self.shown % 12 == 0 else ""
            say(gap + mark, end="")
            self.shown += 1


NOW, BEFORE = blue("■"), dim("□")


# --- the program under test -----------------------------------------------------------------------


class Pipeline:
    """The pipeline's program: one process at a time, started with the same command each time."""

    def __init__(self, folder: Path, store: str, normals_url: str) -> None:
        self.log = folder / "pipeline.log"
        self._command = [sys.executable, str(HERE / "pipeline.py"), "--id", RUN_ID, "--store", store, "--damaged"]
        self._command += ["--out", str(folder / "out"), "--normals", normals_url]
        self._command += ["--pace", str(PACE_S), "--pause", str(PAUSE_S)]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The latest process."""
        assert self._process is not None
        return self._process

    def start(self) -> None:
        """Start the program; again is fine once it is dead."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def kill(self) -> int:
        """SIGKILL: no handler runs, nothing is flushed, and nobody tells the engine.  Returns the process id."""
        self.process.kill()
        self.process.wait()
        return self.process.pid

    def kill_if_running(self) -> None:
        """Leave nothing behind."""
        if self._process is not None:
            self.kill()

    def last_words(self) -> str:
        """The end of what it wrote."""
        return self.log.read_text(encoding="utf-8", errors="replace")[-2000:]


# --- the story ------------------------------------------------------------------------------------


class Story:
    """Three processes, one run."""

    def __init__(self, folder: Path, journal: Journal, pipeline: Pipeline, service: FlakyNormals) -> None:
        self.ledger = folder / "out" / "ledger.jsonl"
        self.journal = journal
        self.pipeline = pipeline
        self.service = service
        self.squares = Squares()
        self.crashes: list[Crash] = []
        self._told: set[str] = set()

    async def tell(self) -> Evidence:
        """Run, kill, run, kill, run."""
        await self.half_of_it()
        asleep_since = await self.the_other_half()
        await asyncio.sleep(max(0.0, asleep_since + PAUSE_S + 0.1 - time.monotonic()))
        await self.the_end()
        return Evidence(self.journal.events, ledger.read(self.ledger), self.crashes)

    async def half_of_it(self) -> None:
        """Start, and be killed when half of the months are recorded."""
        say(bold("\n1  Start it, and kill it half-way"))
        self.pipeline.start()
        await self._until(lambda: len(self._months()) >= MONTHS // 2 and len(self._in_work()) > 1)
        crash = await self._crash()
        self.squares.show(len(self._months()), NOW)
        say(red(f"\n  ✗ kill -9 {crash.pid}"))
        done, lost = len(self._months()), len(self._in_work())
        say(f"    {done} of {MONTHS} months are in the journal. {lost} more were in work, and are lost.")

    async def the_other_half(self) -> float:
        """Go on with the months, and be killed during the pause; return when that began."""
        say(bold("\n2  Start it again: the same command, and so the same run"))
        self.squares.shown = 0
        self.squares.show(len(self._months()), BEFORE)
        self.pipeline.start()
        await self._until(lambda: len(self._months()) == MONTHS)
        asleep_since = time.monotonic()
        say(f"\n    {BEFORE} came out of the journal   {NOW} computed now")
        self._tell("sleep", f"{PAUSE_S:g} s, durably: a row in the store that needs no process. So, meanwhile …")
        await asyncio.sleep(PAUSE_S / 5)
        crash = await self._crash()
        say(red(f"  ✗ kill -9 {crash.pid}"))
        say(
            "    The pause was over sooner than the kill came: this machine is busy. The proof holds all the same."
            if self.journal.has("timer_fired")
            else "    The pause runs out, and nobody is there to notice."
        )
        return asleep_since

    async def the_end(self) -> None:
        """Wake from a pause that is over, and finish."""
        say(bold("\n3  Start it once more"))
        known, started = len(self.journal.events), time.time()
        self.pipeline.start()
        await self._until(lambda: self.journal.has("finished"))
        first, last = (self.journal.events[place].at / 1e6 for place in (known, -1))
        work_ms = (last - first) * 1000
        say(f"    {first - started:.1f} s to start Python and read the journal, then {work_ms:.0f} ms of work:")
        say("    no month was computed again, and there was no second pause.")
        if code := self.pipeline.process.wait(timeout=PATIENCE_S):
            stop(f"the pipeline ended with {code}:\n{self.pipeline.last_words()}")

    async def _until(self, condition: Callable[[], bool]) -> None:
        """Wait until the journal fulfils the condition, telling what it learns; stop if that cannot be any more."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            ended = self.pipeline.process.poll()
            await self.journal.read()
            self._tell_news()
            if condition():
                break
            if ended is not None:
                stop(f"the pipeline ended with {ended} before its time:\n{self.pipeline.last_words()}")
            if time.monotonic() > deadline:
                stop(f"nothing came of it within {PATIENCE_S:.0f} s:\n{self.pipeline.last_words()}")
            await asyncio.sleep(0.01)

    async def _crash(self) -> Crash:
        pid = self.pipeline.kill()
        await self.journal.read()  # now that nobody writes any more
        self.crashes.append(Crash(pid, self.journal.operations()))
        return self.crashes[-1]

    def _months(self) -> list[HistoryEvent]:
        return self.journal.done("summarise_month")

    def _in_work(self) -> set[str]:
        """Steps that have begun, and are not recorded as done."""
        return {one.operation for one in ledger.read(self.ledger)} - self.journal.operations()

    def _tell_news(self) -> None:
        for name in ("load_observations", "fetch_normals", "write_report"):
            if name not in self._told and (done := self.journal.done(name)):
                self._told.add(name)
                self._tell(name, self._news_of(name, done[0].data or "null", done[0].attempt or 1))
        self.squares.show(len(self._months()), NOW)

    def _news_of(self, name: str, output: str, attempt: int) -> str:
        if name == "load_observations":
            loaded = Loaded.model_validate_json(output)
            return (
                f"{loaded.rows:,} rows keep the contract; {len(loaded.quarantined)} quarantined, each with its reason"
            )
        if name == "fetch_normals":
            answers = ", ".join(map(str, self.service.answers))
            return f"the flaky service answered {answers}: done at attempt {attempt}"
        return "page and chart"

    def _tell(self, name: str, words: str) -> None:
        say(f"  {green('✓') if name != 'sleep' else blue('…')} {name:<18} {words}")


def conclude(folder: Path, evidence: Evidence, report: Report, seconds: float) -> bool:
    """Print the judgement; whether every promise was kept."""
    say(bold("\nThe proof: the engine’s journal against the steps’ own ledger\n"))
    verdicts = judge(evidence, steps=MONTHS + 3, at_once=MONTHS_AT_ONCE)
    for verdict in verdicts:
        say(f"  {green('✓') if verdict.kept else red('✗')} {verdict.promise:<60} {dim(verdict.count)}")
    say(
        f"\n  {len(evidence.steps)} steps took {len(evidence.executions)} executions: {evidence.retries} retries of the"
        f" flaky service, {len(evidence.repeated)} repeated after a crash."
    )
    say(f"  Two kills, {seconds:.1f} s.\n")
    for path in (report.page, report.chart, report.page.with_name("ledger.jsonl")):
        say(f"  {path.stem:<8}{_from_here(path)}")
    say(f"  journal ripresa runs history {RUN_ID} --store sqlite:///{_from_here(folder / STORE)}")
    kept = all(verdict.kept for verdict in verdicts)
    say(red("\n  A promise was broken.\n") if not kept else "")
    return kept


def _from_here(path: Path) -> Path:
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


async def perform(folder: Path) -> bool:
    """The whole demo in this folder; whether every promise was kept."""
    store = f"sqlite:///{folder / STORE}"
    begun = time.monotonic()
    async with Journal.of(store, RUN_ID) as journal:
        with FlakyNormals(failures=2) as service:
            pipeline = Pipeline(folder, store, service.url)
            try:
                evidence = await Story(folder, journal, pipeline, service).tell()
            finally:
                pipeline.kill_if_running()
        report = Report.model_validate_json(journal.done("write_report")[0].data or "null")
        return conclude(folder, evidence, report, time.monotonic() - begun)


def main() -> None:
    """Run the demo in a fresh folder; exit with 1 if a promise was broken."""
    parser = argparse.ArgumentParser(description="Run the weather pipeline, kill it twice, and prove what happened.")
    parser.add_argument("--dir", type=Path, default=HERE.parents[1] / ".ripresa", help="where to work (.ripresa)")
    folder = parser.parse_args().dir.resolve() / "weather-demo"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without squares gets question marks
    say(bold("Four years of Seattle weather, summarised by a workflow that is killed twice\n"))
    say("  1,461 real observations, and 9 rows damaged by hand for the quarantine to catch.")
    say(f"  {MONTHS} months to summarise, {MONTHS_AT_ONCE} at a time. The run lives in one SQLite file.")
    sys.exit(0 if asyncio.run(perform(folder)) else 1)


if __name__ == "__main__":
    main()
