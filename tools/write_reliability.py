"""Writes RELIABILITY.md from the report of a long run of `ripresa torture` that is kept in docs/reliability.json.

    ripresa torture --kills 200 … --report docs/reliability.json
    python tools/write_reliability.py

The page holds no figure that the report does not; a test keeps the two equal.
"""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
REPORT = ROOT / "docs" / "reliability.json"
PAGE = ROOT / "RELIABILITY.md"

FAULTS = {
    "kills": "`kill -9` of an engine",
    "stops": "engine stopped (SIGSTOP) until others had taken over, then continued",
    "holds": "nothing passed between an engine and the database until others had taken over, then all of it",
    "cuts": "connection cut while a commit was on its way",
    "terminations": "connection ended by the server",
    "crashes": "`kill -9` of PostgreSQL",
    "restarts": "PostgreSQL stopped at once and started again",
    "rolls": "all engines replaced by the next release of the code",
    "wipes": "a broker lost all that it held, while messages waited in it",
    "worker_kills": "`kill -9` of a Celery worker at work, or of a process that carried out a step for it",
    "worker_stops": "Celery worker stopped (SIGSTOP) until its steps were given up, then continued",
}
CUTS = {
    "before": "before it reached the server",
    "under_way": "right after it was sent",
    "after": "when its answer came back: written, and not told",
}
WIPES = {
    "redis: flush": "Redis: `FLUSHALL`",
    "redis: kill": "Redis: `kill -9`, and begun anew with nothing",
    "rabbitmq: kill": "RabbitMQ: `kill -9`, and begun anew with nothing",
}
KINDS = {
    "kill": "`kill -9` of an engine, to the next recorded step of one of its runs",
    "stop": "SIGSTOP of an engine, to the next recorded step of one of its runs",
    "wipe": "a broker is wiped, to the next recorded step of a run that waited for a message in it",
    "worker": "`kill -9` of a worker, or below it, to the next recorded step of one of its runs",
    "database": "PostgreSQL answers again, to the next recorded step of any run",
}
NOT_SHOWN = """\
- **Power cuts.** Processes are killed, machines are not: what the operating system holds is written all the same. That
  PostgreSQL keeps what it has acknowledged then is its own promise, and needs `fsync` and an honest disk.
- **Several machines.** Engines and database are on one, with one clock. Networks fail in more ways than a connection
  that breaks, holds or is slow.
- **Replication and failover** of PostgreSQL. A standby that is promoted without the last commits has lost them.
{brokers}- **That effects outside happen once.** A step that was cut off is begun again, with the same idempotency
  key: that is counted above, and what the key is for.
- **Rarer things.** No violation in so many faults of a kind says that fewer than about 3 in as many are to be expected
  (95 %); it does not say that there is none."""

WITHOUT_BROKERS = "- **Brokers.** Queues and their workers took no part in this run.\n"


def page(report: dict[str, Any]) -> str:
    """The page."""
    runs = report["runs"]
    broken = sum(len(run["violations"]) for run in runs)
    return "\n".join(
        [
            "# What ripresa has been through",
            "",
            "<!-- Written by tools/write_reliability.py from docs/reliability.json: change those. -->",
            "",
            f"**{broken} violations** in one run of [`ripresa torture`](docs/reliability.md), which you can repeat:",
            "",
            "```console",
            f"$ {report['again']}",
            "```",
            "",
            *_table(("", ""), _where(report)),
            "",
            "## Faults",
            "",
            *_table(("fault", "number"), _faults(runs)),
            "",
            "## What was checked",
            "",
            *_table(("", "number"), _checked(runs)),
            "",
            "## Engines that others had taken over from",
            "",
            "Each was continued after its lease had been broken, wrote nothing from then on, and ended.",
            "",
            *_table(("", "number"), _sum(runs, "zombies").items()),
            "",
            *_workers(runs),
            "## Back at work",
            "",
            f"Seconds, with a lease of {report['options']['lease_s']:g} s, of faults during which no other one hit.",
            "",
            *_table(("from, to", "number", "p50", "p99", "longest"), _recovery(runs, "recovery_lone")),
            "",
            "All of them, also those during which the next fault hit whoever was to take over, or the database:",
            "",
            *_table(("from, to", "number", "p50", "p99", "longest"), _recovery(runs, "recovery")),
            "",
            "## What this does not show",
            "",
            NOT_SHOWN.format(brokers="" if report.get("brokers") else WITHOUT_BROKERS),
            "",
        ]
    )


def _where(report: dict[str, Any]) -> list[tuple[str, ...]]:
    machine, database, runs = report["machine"], dict(report["database"]), report["runs"]
    server = database.pop("server")
    settings = ", ".join(f"{name} {value}" for name, value in database.items())
    return [
        ("ripresa", f"{report['ripresa']}, commit `{report['commit']}`"),
        ("date", f"{report['date']}, {sum(run['seconds'] for run in runs):.0f} s"),
        ("machine", f"{machine['cpus']} CPUs, {machine['memory_gib']} GiB, Python {machine['python']}"),
        ("load at the end", f"{machine['load_at_the_end']}"),
        ("database", f"{server} ({settings})"),
        *([("brokers", ", ".join(brokers))] if (brokers := report.get("brokers")) else []),
        ("engines", f"{report['options']['engines']} at a time, {sum(run['engines']['begun'] for run in runs)} in all"),
        ("seeds", ", ".join(str(run["seed"]) for run in runs)),
        ("came to an end", "no: it was interrupted" if report["interrupted"] else "yes"),
    ]


def _faults(runs: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    faults, cuts, whiles = _sum(runs, "faults"), _sum(runs, "cuts"), _sum(runs, "kills_while")
    rows: list[tuple[str, ...]] = []
    for name, what in FAULTS.items():
        if name not in faults:
            continue
        rows.append((what, f"{faults[name]:,}"))
        if name == "kills":
            rows += [(f"– while it was {when}", f"{number:,}") for when, number in whiles.items()]
        if name in {"wipes", "worker_kills"}:
            rows += [(f"– {WIPES.get(how, how)}", f"{number:,}") for how, number in _sum(runs, name).items()]
        if name == "cuts":
            rows += [(f"– {CUTS[how]}", f"{number:,}") for how, number in cuts.items()]
    return rows


def _checked(runs: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, int]] = list(_sum(runs, "checked").items())
    for name, what in (
        ("commits_of_unknown_fate", "commits whose fate an engine had to look up"),
        ("interrupted", "at-most-once steps that were cut off, whose workflow was told"),
        ("quarantined_by_losses", "steps set aside after five losses in a row"),
    ):
        rows.append((what, sum(run[name] for run in runs)))
    return [(what, f"{number:,}") for what, number in rows]


def _workers(runs: list[dict[str, Any]]) -> list[str]:
    rows = _sum(runs, "workers") if all("workers" in run for run in runs) else {}
    if not rows:
        return []
    begun = sum(run["steps_begun_by_workers"] for run in runs)
    lost = sum(run["attempts_lost_by_workers"] for run in runs)
    rows = {"steps begun by workers": begun, "attempts given up, as their worker was silent or gone": lost, **rows}
    told = "Celery workers carried out steps; what a worker told of a step that was given up was refused."
    return ["## Workers", "", told, "", *_table(("", "number"), [(what, f"{n:,}") for what, n in rows.items()]), ""]


def _recovery(runs: list[dict[str, Any]], which: str) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for run in runs:
        for kind, what in KINDS.items():
            times = run[which].get(kind, {"number": 0})
            if times["number"]:
                figures = (f"{times[name]:.2f}" for name in ("p50_s", "p99_s", "max_s"))
                rows.append((what, str(times["number"]), *figures))
    return rows


def _sum(runs: list[dict[str, Any]], name: str) -> Counter[str]:
    total: Counter[str] = Counter()
    for run in runs:
        total.update(run[name])
    return total


def _table(head: tuple[str, ...], rows: Any) -> list[str]:
    right = ["---", *["--:"] * (len(head) - 1)] if head[-1] else ["---"] * len(head)
    lines = [head, right, *rows]
    return ["| " + " | ".join(map(str, line)) + " |" for line in lines]


def main() -> int:
    """Write it."""
    PAGE.write_text(page(json.loads(REPORT.read_text())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
