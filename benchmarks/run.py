"""`make bench`: the same work by ripresa, by DBOS and by a bare loop over sqlite3, side by side on this machine.

Every contestant is a process of its own on a new file.  Rounds are interleaved – all contestants, then all again – so
that a busy minute of the machine falls on everybody; numbers are medians over the rounds.  What is measured, and what
it does not say, is in docs/benchmarks.md.

    make bench                          seven rounds, some minutes
    make bench ARGS=--quick             one small round of the most telling, half a minute at most
    make bench ARGS='--rounds 9 --publish'
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # a script's own folder is on the path, its neighbours are not

from benchmarks import machine
from benchmarks.asleep import story
from benchmarks.chart import Bar, Panel, svg
from benchmarks.contestants import ROOT, Entry, empty_directory, run, syncs_per_step
from benchmarks.measure import median_of

OUT = ROOT / "benchmarks" / "out"
PUBLISHED = ROOT / "docs" / "img" / "bench.svg"

OURS = "ripresa"
TUNED = "DBOS, tuned (WAL)"
TUNED_SHORT = "DBOS, tuned"
INSTALLED = "DBOS, as installed"
RAW = "sqlite3, no engine"

Results = dict[str, Any]
Samples = dict[str, list[Results]]
"""What each entry reported, round by round."""


def entries(*, quick: bool) -> list[Entry]:
    """Who takes part, at how many clients, with how many runs a round; a quick run does without the slowest."""
    runs = {1: 30, 100: 500} if quick else {1: 200, 10: 600, 100: 2500, 500: 4000}
    theirs = {1: 6, 100: 100} if quick else {1: 40, 100: 200}
    ours = [Entry(name=OURS, module="benchmarks.ripresa_steps", clients=c, runs=n) for c, n in runs.items()]
    raw = [Entry(name=RAW, module="benchmarks.raw_rows", clients=e.clients, runs=e.runs, recorded=e.key) for e in ours]
    dbos = [
        Entry(name=name, module="benchmarks.dbos_steps", clients=clients, runs=number, options=options)
        for name, options in ((TUNED, ("--tuned",)), (INSTALLED, ()))
        for clients, number in theirs.items()
        if not (quick and name == INSTALLED and clients > 1)
    ]
    return [*ours, *(entry for entry in raw if entry.clients != 10), *dbos]


def throughput(all_entries: list[Entry], rounds: int, note: Callable[[str], None]) -> Samples:
    """Steps a second, latencies, commits: every entry once a round."""
    samples: Samples = {entry.key: [] for entry in all_entries}
    with empty_directory() as recordings:
        for entry in all_entries:
            if entry.recorded:
                note(f"recording the rows of {entry.recorded}")
                _record(entry, recordings / str(entry.clients))
        for number in range(1, rounds + 1):
            for entry in all_entries:
                note(f"round {number} of {rounds}: {entry.key}")
                options = entry.arguments()
                if entry.recorded:
                    options.append(f"--recorded={recordings / str(entry.clients)}")
                samples[entry.key].append(run(entry.module, *options))
    return samples


def _record(entry: Entry, target: Path) -> None:
    with empty_directory() as directory:
        run(entry.module, *entry.arguments(), f"--keep={directory}")
        shutil.copytree(directory, target)


def syncs(all_entries: list[Entry], results: Results, note: Callable[[str], None], *, quick: bool) -> None:
    """Add how often each entry waits for the disk, per step."""
    for entry in all_entries:
        if entry.recorded or (quick and entry.name != OURS):
            continue
        note(f"counting fsyncs: {entry.key}")
        few = max(entry.clients, min(entry.runs, 20 if entry.clients == 1 else 3 * entry.clients))
        options = (f"--clients={entry.clients}", f"--runs={few}", *entry.options)
        counted, how = syncs_per_step(entry.module, *options)
        results[entry.key]["syncs_per_step"] = results[entry.key]["commits_per_step"] if counted is None else counted
        results[entry.key]["syncs_counted_by"] = how if counted is not None else f"commits of the store ({how})"


def scale(rounds: int, note: Callable[[str], None], *, quick: bool) -> Results:
    """Long and short runs, wide and narrow fan-outs, and waking up."""
    sizes = {"long": (100, 1_000), "wide": (250, 2_500)} if quick else {"long": (1_000, 10_000), "wide": (500, 5_000)}
    told: Results = {}
    for kind, (small, large) in sizes.items():
        samples: dict[int, list[Results]] = {small: [], large: []}
        for _ in range(rounds):
            for size, taken in samples.items():
                note(f"scale: {kind}, {size:,}")
                taken.append(run("benchmarks.scale", kind, f"--size={size}"))
        few, many = median_of(samples[small]), median_of(samples[large])
        told[kind] = {"small": few, "large": many, "cost_ratio": many["us_per_step"] / few["us_per_step"]}
    note("scale: waking parked runs")
    parked = "--size=100" if quick else "--size=1000"
    told["wake"] = median_of([run("benchmarks.scale", "wake", parked) for _ in range(rounds)])
    return told


def graphs(rounds: int, note: Callable[[str], None], *, quick: bool) -> Results:
    """What a job costs in graphs of three shapes, as a function in a thread."""
    jobs = 250 if quick else 1_000
    samples: Samples = {"wide": [], "layered": [], "chain": []}
    for _ in range(rounds):
        for kind, taken in samples.items():
            note(f"graphs: {kind}, {jobs:,}")
            taken.append(run("benchmarks.graphs", kind, f"--size={jobs}"))
    return {kind: median_of(taken) for kind, taken in samples.items()}


# -- telling ----------------------------------------------------------------------------------------------------------


def compared(samples: Samples) -> dict[str, float]:
    """What the table and the chart compare: medians of the rounds' ratios, as one round is one state of the machine."""

    def ratio(name: str, key: str, other: str) -> float | None:
        if key not in samples or other not in samples:
            return None
        pairs = zip(samples[key], samples[other], strict=True)
        return median(float(ours[name]) / float(theirs[name]) for ours, theirs in pairs)

    ratios = {
        "steps/s @100 against DBOS, tuned": ratio("steps_per_s", f"{OURS} @100", f"{TUNED} @100"),
        "steps/s @100 against DBOS, as installed": ratio("steps_per_s", f"{OURS} @100", f"{INSTALLED} @100"),
        "p50 of DBOS, tuned @1 against ours": ratio("p50_ms", f"{TUNED} @1", f"{OURS} @1"),
        "p50 of DBOS, as installed @1 against ours": ratio("p50_ms", f"{INSTALLED} @1", f"{OURS} @1"),
        "CPU of a step of DBOS, tuned @100 against ours": ratio("cpu_us_per_step", f"{TUNED} @100", f"{OURS} @100"),
        "share of the ceiling @1": ratio("steps_per_s", f"{OURS} @1", f"{RAW} @1"),
        "share of the ceiling @100": ratio("steps_per_s", f"{OURS} @100", f"{RAW} @100"),
        "share of the ceiling @500": ratio("steps_per_s", f"{OURS} @500", f"{RAW} @500"),
    }
    return {what: found for what, found in ratios.items() if found is not None}


def table(results: Results) -> str:
    """All entries as a Markdown table."""
    columns = "steps/s", "run p50 ms", "run p99 ms", "commits/step", "fsyncs/step", "CPU µs/step", "peak RSS MB"
    lines = [f"| contestant | clients | {' | '.join(columns)} | journal |", f"|---|--:{'|--:' * len(columns)}|---|"]
    for key, value in results.items():
        name, _, clients = key.rpartition(" @")
        cells = [
            name,
            clients,
            f"{value['steps_per_s']:,.0f}",
            _cell(value.get("p50_ms"), ".1f"),
            _cell(value.get("p99_ms"), ".1f"),
            _cell(value.get("commits_per_step"), ".4f"),
            _cell(value.get("syncs_per_step"), ".4f"),
            f"{value['cpu_us_per_step']:.0f}",
            f"{value['rss_peak_mb']:.0f}",
            f"{value['journal_mode']}, {value['synchronous']}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def told_scale(told: Results) -> list[str]:
    """Scale and sleep, a line each."""
    lines = []
    for kind, what in (("long", "run of {:,} steps"), ("wide", "fan-out of {:,}")):
        few, many = told[kind]["small"], told[kind]["large"]
        lines.append(
            f"{what.format(many['size'])}: {many['us_per_step']:.0f} µs a step, "
            f"{told[kind]['cost_ratio']:.2f} × that of {few['size']:,} ({few['us_per_step']:.0f} µs)"
        )
    wake = told["wake"]
    lines.append(
        f"waking one of {wake['parked']:,} parked runs: p50 {wake['p50_ms']:.1f} ms, p99 {wake['p99_ms']:.1f}; "
        f"by a message from another process: p50 {wake['outside_p50_ms']:.1f} ms, p99 {wake['outside_p99_ms']:.1f}"
    )
    if "asleep" in told:
        asleep = told["asleep"]
        lines.append(
            f"{asleep['runs']:,} runs asleep through three kills: {asleep['started_per_s']:,.0f} starts/s, "
            f"RSS {asleep['rss_asleep_mb']:.0f} MB asleep, {asleep['rss_peak_waking_mb']:.0f} MB waking, "
            f"{asleep['finished_per_s']:,.0f} woken and finished a second, none lost"
        )
    return lines


def told_graphs(told: Results) -> str:
    """Graphs as a Markdown table."""
    lines = ["| graph | jobs | ms/job | CPU µs/job | commits/job |", "|---|--:|--:|--:|--:|"]
    for kind, value in told.items():
        lines.append(
            f"| {kind} | {value['size']:,} | {value['ms_per_job']:.2f} | {value['cpu_us_per_job']:.0f} "
            f"| {value['commits_per_job']:.3f} |"
        )
    return "\n".join(lines)


def chart(results: Results, ratios: dict[str, float], about: Results) -> str:
    """The picture."""

    def bar(name: str, clients: int, what: str, note: str = "", kind: str = "other") -> Bar:
        return Bar(name, results[f"{name} @{clients}"][what], note, kind)

    share = 100 * ratios["share of the ceiling @100"]
    more = [
        bar(RAW, 100, "steps_per_s", kind="ceiling"),
        bar(OURS, 100, "steps_per_s", f"{share:.0f} % of the ceiling", "ripresa"),
        bar(TUNED, 100, "steps_per_s", f"1/{ratios[f'steps/s @100 against {TUNED_SHORT}']:.0f} of ripresa"),
    ]
    if f"{INSTALLED} @100" in results:
        more.append(bar(INSTALLED, 100, "steps_per_s", f"1/{ratios[f'steps/s @100 against {INSTALLED}']:.0f}"))
    sooner = [
        bar(OURS, 1, "p50_ms", kind="ripresa"),
        bar(TUNED, 1, "p50_ms", f"{ratios[f'p50 of {TUNED_SHORT} @1 against ours']:.1f} × ripresa"),
        bar(INSTALLED, 1, "p50_ms", f"{ratios[f'p50 of {INSTALLED} @1 against ours']:.1f} ×"),
    ]
    return svg(
        "Durable steps on one SQLite file",
        [
            Panel("Steps a second, 100 clients (more is better)", "steps/s", more),
            Panel("Run of ten steps, one client, median (less is better)", "ms", sooner),
        ],
        "Workflow of ten steps that do nothing; synchronous=FULL everywhere. Bars are medians of the rounds, ratios "
        f"medians of the rounds’ own ratios. {machine.told(about)}.",
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="ripresa beside DBOS and beside bare sqlite3")
    parser.add_argument("--quick", action="store_true", help="one small round: half a minute at most")
    parser.add_argument("--rounds", type=int, default=0, help="interleaved rounds (7; 1 if quick)")
    parser.add_argument("--asleep", type=int, default=-1, help="runs asleep (100000; 300 if quick; 0: leave it out)")
    parser.add_argument("--publish", action="store_true", help=f"copy the chart to {PUBLISHED.relative_to(ROOT)}")
    given = parser.parse_args()
    if given.publish and given.quick:
        parser.error("--publish wants a whole run: leave --quick out")
    rounds = given.rounds or (1 if given.quick else 7)
    asleep = given.asleep if given.asleep >= 0 else 300 if given.quick else 100_000

    all_entries = entries(quick=given.quick)
    with empty_directory() as directory:
        about = machine.facts(directory)
    print(machine.told(about), flush=True)
    samples = throughput(all_entries, rounds, _note)
    results = {key: median_of(taken) for key, taken in samples.items()}
    syncs(all_entries, results, _note, quick=given.quick)
    told = scale(1 if given.quick else min(rounds, 3), _note, quick=given.quick)
    shapes = graphs(1 if given.quick else min(rounds, 3), _note, quick=given.quick)
    if asleep:
        _note(f"asleep: {asleep:,} runs")
        with empty_directory() as directory:
            told["asleep"] = story(asleep, directory)
    _note("")
    about["load_after"] = os.getloadavg()[0]

    print(f"\n{table(results)}\n")
    ratios = compared(samples)
    for what, ratio in ratios.items():
        print(f"{what}: {ratio:.2f}")
    print(*told_scale(told), sep="\n")
    print(f"\n{told_graphs(shapes)}")

    OUT.mkdir(parents=True, exist_ok=True)
    everything = {
        "machine": about,
        "rounds": rounds,
        "entries": results,
        "samples": samples,
        "ratios": ratios,
        "scale": told,
        "graphs": shapes,
    }
    (OUT / "results.json").write_text(json.dumps(everything, indent=2) + "\n", "utf-8")
    (OUT / "bench.svg").write_text(chart(results, ratios, about), "utf-8")
    print(f"\n{(OUT / 'results.json').relative_to(ROOT)}, {(OUT / 'bench.svg').relative_to(ROOT)}")
    if given.publish:
        PUBLISHED.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(OUT / "bench.svg", PUBLISHED)
        print(PUBLISHED.relative_to(ROOT))
    return 0


def _note(text: str) -> None:
    """Say on a terminal what is going on."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
    elif text:
        print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
