"""The page of a definition file: when, in which order, how often and how long at the most, for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import groupby

from rich.console import RenderableType
from rich.text import Text

from ripresa.author.explaining import ScheduleTold, TargetTold, WorkflowTold
from ripresa.author.explaining.attempts import Attempts
from ripresa.author.explaining.jobs import JobTold
from ripresa.cli.prose import Page, grid, prose, stacked
from ripresa.contracts.durations import spelled
from ripresa.contracts.job_order import DATE_NAMES, RUN_NAMES
from ripresa.contracts.time_limits import TimeLimits

_FIT_STYLES = {"exact": "green", "emulated": "cyan", "approximate": "yellow", "refused": "red"}
_NAMES_SHOWN_MAX = 12
_OPEN_SHOWN_MAX = 5
_LAYERS_SHOWN_MAX = 40
_JOBS_SHOWN_MAX = 200


def write_definition(told: WorkflowTold, *, version: str, file: str) -> None:
    """All of it, to stdout."""
    page = Page()
    _head(page, told, version, file)
    page.gap()
    page.facts(_facts(told))
    if told.schedule is not None and told.schedule.starts:
        _starts(page, told.schedule)
    if len(told.jobs) > _JOBS_SHOWN_MAX:
        page.gap()
        page.write(prose(f"{len(told.jobs):,} entries: `--job NAME` tells of one, `-o json` of all", "dim"))
        return
    for job in told.jobs:
        write_job(page, job)
    if any(job.environment is not None for job in told.jobs):
        page.gap()
        page.write(prose(f"Every job gets {', '.join(RUN_NAMES)}, {', '.join(DATE_NAMES)} in its environment.", "dim"))


def write_targets(told: WorkflowTold, names: Sequence[str], *, version: str, file: str) -> None:
    """What these targets make of each thing that the definition uses, the worst first."""
    page = Page()
    _head(page, told, version, file)
    for target in told.targets:
        if target.target not in names:
            continue
        page.title(f"{target.target}: {target.fit}")
        rows = [
            (
                Text(fit, style=_FIT_STYLES[fit]),
                one.feature,
                one.at,
                prose(one.says + (f" – {one.note}" if one.note else "")),
            )
            for fit in ("refused", "approximate", "emulated", "exact")
            for one in target.those(fit)
        ]
        page.table(("fit", "feature", "first used at", ""), rows, fixed=2)


def _head(page: Page, told: WorkflowTold, version: str, file: str) -> None:
    head = Text(told.name, style="bold")
    if told.label:
        head.append(f" {told.label}")
    page.write(head.append(f"   {file}, version {version}", style="dim"))
    if told.description:
        page.write(Text(told.description))


# --- the whole ---------------------------------------------------------------------------------


def _facts(told: WorkflowTold) -> Iterable[tuple[str, RenderableType]]:
    if told.schedule is not None:
        yield "starts", stacked([told.schedule.says, *told.schedule.rules])
    else:
        yield "starts", "when it is asked to"
    if told.params:
        yield "takes", stacked(told.params)
    if told.rules:
        yield "runs", stacked(told.rules)
    yield "order", stacked(list(_order(told)))
    yield "at most", _longest(told)
    if told.timeout_us is not None:
        yield "limit", f"{spelled(told.timeout_us)} for its jobs; what stands in finally comes on top"
    if told.notices:
        yield "tells", stacked(told.notices)
    if told.secrets:
        yield "secrets", stacked([_secret(one.reference, one.used_by, one.variable) for one in told.secrets])
    yield "targets", grid([_target(one) for one in told.targets])


def _order(told: WorkflowTold) -> Iterable[str]:
    for number, layer in enumerate(told.layers[:_LAYERS_SHOWN_MAX], 1):
        yield f"{number}. {_names(layer)}"
    if len(told.layers) > _LAYERS_SHOWN_MAX:
        yield f"… {len(told.layers):,} layers in all"
    for layer in told.finally_layers:
        yield f"finally {_names(layer)}"
    if told.undoing:
        yield f"to undo {_names(told.undoing)}"


def _names(names: Sequence[str], most: int = _NAMES_SHOWN_MAX) -> str:
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most:,} more" if len(names) > most else shown


def _longest(told: WorkflowTold) -> Text:
    longest = told.longest
    if longest.us is None:
        said = Text(f"no limit, because of {_names(longest.open, _OPEN_SHOWN_MAX)}")
    else:
        said = Text(spelled(longest.us), style="bold")
        limit = "the run's own limit" if told.timeout_us is not None and not _way_counts(told) else ""
        way = " → ".join(longest.way)
        said.append(f"  {', then '.join(filter(None, (limit, way)))}", style="")
    apart = "not counted: waits for a slot without a limit, undoing, and repeats after a crash"
    return said.append(f"\n{apart}", style="dim")


def _way_counts(told: WorkflowTold) -> bool:
    """Whether the jobs, rather than the run's limit, decide."""
    return any(name in told.longest.way for layer in told.layers for name in layer)


def _secret(reference: str, used_by: str, variable: str) -> str:
    return f"`{reference}` for {used_by}" + (f", as {variable}" if variable else "")


def _target(target: TargetTold) -> tuple[Text, Text, Text]:
    worst = target.those(target.fit) if target.fit in ("refused", "approximate") else ()
    fit = Text(target.fit, style=_FIT_STYLES[target.fit])
    return Text(target.target), fit, Text(_names([one.feature for one in worst]), style="dim")


# --- starts ------------------------------------------------------------------------------------


def _starts(page: Page, schedule: ScheduleTold) -> None:
    page.title("Next starts")
    rows = [
        (
            _moment(one.due),
            f"{one.logical_date:%Y-%m-%d %H:%M}",
            f"{one.data_interval_start:%m-%d %H:%M} → {one.data_interval_end:%m-%d %H:%M}",
        )
        for one in schedule.starts
    ]
    page.table(("due", "logical date", "data interval"), rows, indent=2)
    for one in schedule.starts:
        if one.notes:
            page.write(Text(f"{one.due:%a %Y-%m-%d}: {'; '.join(one.notes)}", style="yellow"), indent=2)
    if schedule.clock_change:
        page.write(Text(schedule.clock_change, style="dim"), indent=2)


def _moment(at: datetime) -> str:
    return f"{at:%a %Y-%m-%d %H:%M %z}" if not at.second else f"{at:%a %Y-%m-%d %H:%M:%S %z}"


# --- one job -----------------------------------------------------------------------------------


def write_one_job(job: JobTold) -> None:
    """One entry by itself, to stdout."""
    write_job(Page(), job, first=True)


def write_job(page: Page, job: JobTold, *, first: bool = False) -> None:
    """The block of one entry."""
    if not first:
        page.gap()
    page.write(
        Text(job.name, style="bold").append(f"   {job.kind}", style="dim").append("   ").append_text(prose(job.does))
    )
    if job.description:
        page.write(Text(job.description), indent=2)
    facts = [(what, prose(text)) for what, text in _job_facts(job) if text]
    page.facts(facts, indent=2)


def _job_facts(job: JobTold) -> Iterable[tuple[str, str]]:
    yield "starts", job.starts
    yield "for each", job.fan_out
    if job.kind not in ("choice", "wait", "signal", "workflow"):
        yield "attempts", _attempts(job.attempts)
    yield "memory", _runs([_bytes(size) for size in job.attempts.memory_bytes])
    yield "limits", _limits(job.limits)
    if job.kind != "choice":
        yield "at most", f"no limit: {job.no_limit}" if job.longest_us is None else spelled(job.longest_us)
    yield "needs", ", ".join(filter(None, (job.resources, f"a slot of pool {job.pool}" if job.pool else "")))
    yield "exit codes", job.exit_codes
    yield "quality", job.quality
    yield "outputs", ", ".join(f"{name}: {kind}" for name, kind in (job.outputs or {}).items())
    yield "sees", _own_variables(job)
    yield "undone by", job.undone_by
    yield "if it fails", job.on_failure
    yield "note", "; ".join(job.notes)


def _attempts(attempts: Attempts) -> str:
    if attempts.total == 1:
        return "one"
    said = f"{attempts.total} in all; waits of {_runs([spelled(us) for us in attempts.waits_us])}"
    if attempts.total > 2:
        said += f", {spelled(attempts.waited_us)} together"
    if attempts.jitter == "full":
        said += "; full jitter draws each evenly between 0s and that"
    if attempts.max_elapsed_us is not None:
        said += f"; none begins later than {spelled(attempts.max_elapsed_us)} after the first"
    return said


def _runs(words: Sequence[str]) -> str:
    """`5m, 10m, 1h × 7`: a word that comes several times in a row is counted."""
    told = []
    for word, group in groupby(words):
        count = len(list(group))
        told.append(word if count == 1 else f"{word} × {count}")
    return ", ".join(told)


def _limits(limits: TimeLimits) -> str:
    told = [
        ("{} an attempt", limits.attempt_us),
        ("{} for all of it", limits.total_us),
        ("{} for a slot", limits.queue_us),
        ("{} between signs of life", limits.heartbeat_us),
        ("{} from SIGTERM to SIGKILL", limits.grace_us),
    ]
    return ", ".join(words.format(spelled(us)) for words, us in told if us is not None)


def _own_variables(job: JobTold) -> str:
    given = job.environment
    return "" if given is None else ", ".join((*given.params, *given.env, *given.secrets))


def _bytes(size: int) -> str:
    for unit, power in (("Gi", 30), ("Mi", 20), ("Ki", 10)):
        if size >= 1 << power:
            return f"{size / (1 << power):g}{unit}"
    return str(size)
