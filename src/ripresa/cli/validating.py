"""Validating: definition files and folders, each with what it defines or all that is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ripresa.cli.exits import UsageProblem
from ripresa.cli.nearest import did_you_mean
from ripresa.cli.settings import settings
from ripresa.contracts.errors import SpecInvalid
from ripresa.contracts.problems import Problem

if TYPE_CHECKING:
    from ripresa.contracts.spec import JobSpec, Loaded, WorkflowSpec

STARTS_SHOWN = 5


def validated(paths: list[str], *, portable: bool, now: datetime | None = None) -> list[dict[str, Any]]:
    """A report for each file, as data.  Raises UsageProblem for a path where there is nothing."""
    from ripresa.engine.definition_files import definition_files

    files: list[Path] = []
    for path in map(Path, paths):
        if not path.exists():
            raise UsageProblem(f"{path}: no such file or folder")
        found = definition_files(path)
        if not found:
            raise UsageProblem(f"{path}: no .yaml, .yml or .json file in it")
        files += found
    moment = now or datetime.now(UTC)
    return [_report(file, portable=portable, now=moment) for file in dict.fromkeys(files)]


def _report(file: Path, *, portable: bool, now: datetime) -> dict[str, Any]:
    from ripresa.contracts.spec.advice import advice_of
    from ripresa.engine.definition_files import load_file

    try:
        loaded = load_file(file)
    except SpecInvalid as error:
        return {
            "file": str(file),
            "ok": False,
            "problems": [one.to_json() for one in error.problems],
            "_": error.problems,
        }
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        remedy = "see to its path and rights"
        return _refused(file, [Problem(code="unreadable", message=why, remedy=remedy, file=str(file))])
    problems = [*_misfits(loaded), *_unknown_pools(loaded), *(_not_portable(loaded) if portable else ())]
    advice = tuple(advice_of(loaded))
    told = {"warnings": [one.to_json() for one in advice], "_warnings": advice} if advice else {}
    return {**_refused(file, problems), "ok": not problems, **told, **_facts(loaded, now)}


def _refused(file: Path, problems: Sequence[Problem]) -> dict[str, Any]:
    """A file's report with these problems; under `_` as they are, for people."""
    told = [one.to_json() for one in problems]
    return {"file": str(file), "ok": False, "problems": told, "_": tuple(problems)}


def _facts(loaded: Loaded[WorkflowSpec] | Loaded[JobSpec], now: datetime) -> dict[str, Any]:
    from ripresa.contracts.spec import JobSpec

    spec = loaded.spec
    if isinstance(spec, JobSpec):
        return {"kind": "job", "name": spec.name, "version": loaded.version}
    facts: dict[str, Any] = {"kind": "workflow", "name": spec.name, "version": loaded.version, "label": spec.version}
    facts["jobs"] = len(spec.jobs) + len(spec.finally_)
    if spec.schedule is not None and (spec.schedule.cron or spec.schedule.interval):
        facts["starts"] = _starts(spec.schedule.written(), now)
    return facts


def _starts(schedule: dict[str, Any], now: datetime) -> list[str]:
    """The next logical dates, so that a schedule can be seen to mean what was meant."""
    from ripresa.author.dates import Schedule

    read = Schedule.of(schedule)

    def following() -> Any:
        at: datetime | None = now
        while at is not None and (at := read.next_after(at)) is not None:
            yield at.astimezone(read.zone).isoformat()

    return list(islice(following(), STARTS_SHOWN))


def _misfits(loaded: Loaded[Any]) -> list[Problem]:
    """What the targets that the workflow requires do not have."""
    from ripresa.contracts.portability import unfit

    rule = getattr(loaded.spec, "portability", None)
    if rule is None:
        return []
    return [
        loaded.sources.problem(
            "not_portable",
            _SHORT_OF[use.feature.on(target)].format(target=target, feature=use.feature.says),
            "; ".join((f"do without it, or write allow: {use.feature.on(target)}", *filter(None, (use.feature.note,)))),
            use.path,
        )
        for target in rule.require
        for use in unfit(loaded.spec, target, rule.allow)
    ]


def _unknown_pools(loaded: Loaded[Any]) -> list[Problem]:
    """Pools that `ripresa.toml` does not declare, if it declares any."""
    declared = [pool.name for pool in settings().pools]
    return [
        loaded.sources.problem(
            "pool_unknown",
            f"ripresa.toml declares no pool {name!r}{did_you_mean(name, declared)}",
            f"correct the name, or declare [pools.{name}]",
            path,
        )
        for path, name in (_pools(loaded.spec) if declared else ())
        if name not in declared
    ]


def _pools(spec: WorkflowSpec | JobSpec) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Every pool that is named, and where."""
    works: list[tuple[tuple[str | int, ...], Any]] = [(("job", "pool"), spec)]
    for place, index, entry in _entries(spec):
        works.append((("workflow", place, index, entry.kind, "pool"), entry.work))
    for path, work in works:
        if (name := getattr(work, "pool", None)) is not None:
            yield path, name


def _entries(spec: WorkflowSpec | JobSpec) -> Iterator[tuple[str, int, Any]]:
    for place, entries in (("jobs", getattr(spec, "jobs", ())), ("finally", getattr(spec, "finally_", ()))):
        for index, entry in enumerate(entries):
            yield place, index, entry


_SHORT_OF = {
    "emulated": "{target} has {feature} only by other means",
    "approximate": "{target} has {feature} only nearly",
    "refused": "{target} does not have {feature}",
}


def _not_portable(loaded: Loaded[Any]) -> list[Problem]:
    from ripresa.contracts.portability import is_portable, uses

    return [
        loaded.sources.problem(
            "not_portable",
            f"not portable: {use.feature.says}",
            use.feature.note or "a portable workflow is made of containerised jobs alone",
            use.path,
        )
        for use in uses(loaded.spec)
        if not is_portable(use)
    ]
