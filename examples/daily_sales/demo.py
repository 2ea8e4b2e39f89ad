"""The demo: run a day's sales, kill the engine with SIGKILL half-way, start it again, and prove what happened.

    make demo        (or: python examples/daily_sales/demo.py)

What runs is the command line, with a definition in YAML and jobs that are programs of their own:

    ripresa run workflow.yaml --date 2017-12-23 --id sales-2017-12-23

It is killed while the second of three jobs is at work, and the same command is given again.  In the end the journal is
held against the ledger, into which each job wrote a line before it did anything else.  Exits with 1 if they contradict
the promise.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

HERE = Path(__file__).resolve().parent
JOBS = ("extract_sales", "transform", "report")
PACE_S = 0.12
"""How long `transform` stays with a department, so that there is time to kill it."""
DEPARTMENTS_BEFORE_THE_KILL = 8
PATIENCE_S = 60.0


# --- the terminal ---------------------------------------------------------------------------------


def _paint(code: str) -> Callable[[str], str]:
    in_colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
    return lambda words: f"\033[{code}m{words}\033[0m" if in_colour else words


bold, dim, red, green = map(_paint, ("1", "2", "1;31", "32"))


def say(words: str = "") -> None:
    """Print at once, terminal or not."""
    print(words, flush=True)


def stop(words: str) -> NoReturn:
    """End the demo as failed."""
    say(red(f"\n  ✗ {words}\n"))
    sys.exit(1)


# --- the command line, as a reader would use it ---------------------------------------------------


class CommandLine:
    """`ripresa` on a store and a lake of this demo's own, for one day."""

    def __init__(self, folder: Path, day: str) -> None:
        self.lake = folder / "lake"
        self.run_id = f"sales-{day}"
        self.store = f"sqlite:///{folder / 'demo.db'}"
        self.run = ["run", "workflow.yaml", "--date", day, "--id", self.run_id]
        self._params = ["-p", f"lake={self.lake}", "-p", f"pace={PACE_S}"]
        here = os.path.dirname(sys.executable)  # noqa: PTH120 - unresolved: an environment's python is a link
        self._ripresa = str(Path(here) / "ripresa")
        ours = {name: value for name, value in os.environ.items() if not name.startswith("RIPRESA_")}
        self._env = {**ours, "PATH": os.pathsep.join((here, ours.get("PATH", os.defpath))), "NO_COLOR": "1"}

    def start(self) -> subprocess.Popen[str]:
        """Start the run, or go on with it: the command is the same."""
        command = [self._ripresa, *self.run, *self._params, "--store", self.store]
        return subprocess.Popen(
            command, cwd=HERE, env=self._env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def history(self) -> list[dict[str, Any]]:
        """The run's journal."""
        command = [self._ripresa, "runs", "history", self.run_id, "-o", "json", "--store", self.store]
        done = subprocess.run(command, cwd=HERE, env=self._env, text=True, capture_output=True, check=False)
        if done.returncode:
            stop(f"the journal cannot be read: {done.stderr}")
        events: list[dict[str, Any]] = json.loads(done.stdout)
        return events

    def done(self) -> list[str]:
        """The jobs that the journal holds as done, in order."""
        return [one["step"] for one in self.history() if one["kind"] == "step_completed" and one["step"] in JOBS]

    def ledger(self) -> list[dict[str, Any]]:
        """What each job wrote when it began."""
        path = self.lake / "ledger.jsonl"
        return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


# --- the story ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Crash:
    """What there was when the engine was dead: jobs in the journal, lines in the ledger."""

    done: list[str]
    begun: int


def half_of_it(cli: CommandLine) -> Crash:
    """Run until `transform` is half-way; kill."""
    say(bold("\n1  Start it, and kill it half-way"))
    say(dim(f"  $ ripresa {' '.join(cli.run)}"))
    process = cli.start()
    departments = 0
    with closing(heard(process)) as lines:
        for line in lines:
            departments += "is added up" in line
            if departments == DEPARTMENTS_BEFORE_THE_KILL:
                process.kill()
                break
    process.wait()
    if departments < DEPARTMENTS_BEFORE_THE_KILL:
        stop(f"the engine ended with {process.returncode} before its time")
    say(red(f"  ✗ kill -9 {process.pid}"))
    crash = Crash(cli.done(), len(cli.ledger()))
    say(f"    The journal holds {', '.join(crash.done)}. transform was at work, and is lost.")
    return crash


def the_rest(cli: CommandLine) -> dict[str, Any]:
    """The same command again, to the end; what the run returned."""
    say(bold("\n2  Start it again: the same command, and so the same run"))
    say(dim(f"  $ ripresa {' '.join(cli.run)}"))
    process = cli.start()
    for _ in heard(process):
        pass
    returned = process.communicate(timeout=PATIENCE_S)[0]
    if process.returncode:
        stop(f"the engine ended with {process.returncode}")
    output: dict[str, Any] = json.loads(returned)
    return output


def heard(process: subprocess.Popen[str]) -> Generator[str]:
    """The lines of its progress, shown as they come; what jobs print of each department in one line."""
    assert process.stderr is not None
    names: list[str] = []
    try:
        for line in process.stderr:
            if "is added up" in line:
                names.append(line.split("|")[-1].removesuffix("is added up\n").strip())
            else:
                told(names)
                names = []
                say(f"    {line.rstrip()}")
            yield line
    finally:
        told(names)


def told(names: list[str]) -> None:
    """One line for many departments."""
    if names:
        say(f"             transform | {len(names)} departments: {names[0]} … {names[-1]}")


def conclude(cli: CommandLine, crash: Crash, output: dict[str, Any], seconds: float) -> bool:
    """Print the judgement; whether every promise was kept."""
    say(bold("\nThe proof: the engine’s journal against the jobs’ own ledger\n"))
    done, ledger = cli.done(), cli.ledger()
    again = {line["job"] for line in ledger[crash.begun :]} & set(crash.done)
    keys = {(line["job"], line["idempotency_key"]) for line in ledger}
    attempts = [line["attempt"] for line in ledger if line["job"] == "extract_sales"]
    repeated = {one["job"] for one in ledger[: crash.begun]} & {one["job"] for one in ledger[crash.begun :]}
    verdicts = [
        ("The journal holds each job once", done == list(JOBS), f"{len(done)} of {len(JOBS)} jobs"),
        ("No job that was recorded ran again after the crash", not again, f"{len(again)} did"),
        ("Only what was in work at the crash ran again", repeated == {"transform"}, ", ".join(sorted(repeated))),
        ("Each job kept one idempotency key through it all", len(keys) == len(JOBS), f"{len(keys)} keys"),
        ("The tills hung up once, and were asked again", attempts == ["1", "2"], f"attempts {' and '.join(attempts)}"),
        ("The page is there", Path(output["page"]).is_file(), f"${output['sales']:,.0f} of sales"),
    ]
    for promise, kept, count in verdicts:
        say(f"  {green('✓') if kept else red('✗')} {promise:<60} {dim(count)}")
    say(f"\n  One kill, {seconds:.1f} s.\n")
    say(f"  report  {from_here(Path(output['page']))}")
    say(f"  ledger  {from_here(cli.lake / 'ledger.jsonl')}")
    say(f"  journal ripresa runs history {cli.run_id} --store {cli.store}\n")
    return all(kept for _, kept, _ in verdicts)


def from_here(path: Path) -> Path:
    """The path, relative to the current directory if it lies below."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def main() -> None:
    """Run the demo in a fresh folder; exit with 1 if a promise was broken."""
    parser = argparse.ArgumentParser(description="Run a day's sales, kill the engine, and prove what happened.")
    parser.add_argument("--dir", type=Path, default=HERE.parents[1] / ".ripresa", help="where to work (.ripresa)")
    parser.add_argument("--date", default="2017-12-23", help="a day of 2017 (2017-12-23)")
    given = parser.parse_args()
    folder = given.dir.resolve() / "daily-sales-demo"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without ticks gets question marks
    say(bold("A day’s sales: out of the tills, through a gate, onto a page – with a crash in between\n"))
    say("  Three jobs with a Dockerfile each, run as processes: there is no container engine here to need.")
    begun = time.monotonic()
    cli = CommandLine(folder, given.date)
    crash = half_of_it(cli)
    output = the_rest(cli)
    sys.exit(0 if conclude(cli, crash, output, time.monotonic() - begun) else 1)


if __name__ == "__main__":
    main()
