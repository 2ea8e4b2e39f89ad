"""Explaining: what is typed is a field of the contract, or a file that is read and told about."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ripresa.cli.exits import UsageProblem
from ripresa.cli.nearest import did_you_mean

if TYPE_CHECKING:
    from ripresa.author.explaining import WorkflowTold
    from ripresa.author.explaining.jobs import JobTold
    from ripresa.contracts.spec import JobSpec, Loaded, WorkflowSpec
    from ripresa.contracts.spec.fields import Explained

_SUFFIXES = (".yaml", ".yml", ".json")
_CODE = (".py",)


def is_file(what: str) -> bool:
    """Whether a file or folder is meant rather than a field: it has a file's ending, a slash, or exists."""
    first = what.partition(".")[0].partition("[")[0]
    if what.endswith((*_SUFFIXES, *_CODE)) or "/" in what or what in {".", ".."}:
        return True
    return what != "" and first not in {"workflow", "job", "contract"} and Path(what).exists()


def field(path: str) -> Explained:
    """The field of the contract.  Raises UsageProblem that names the nearest."""
    from ripresa.contracts.spec.fields import FieldUnknown, explain

    try:
        return explain(path)
    except FieldUnknown as error:
        raise UsageProblem(str(error)) from None


def definition(file: str, *, now: str | None) -> tuple[Loaded[WorkflowSpec] | Loaded[JobSpec], WorkflowTold]:
    """The file, read and told about.  Raises UsageProblem, SpecInvalid with all problems."""
    from ripresa.author.explaining import explain_job, explain_workflow
    from ripresa.contracts.spec import WorkflowSpec

    moment = _moment(now)
    loaded = loaded_file(file)
    if isinstance(loaded.spec, WorkflowSpec):
        return loaded, explain_workflow(loaded.spec, now=moment)
    return loaded, explain_job(loaded.spec)


def loaded_file(file: str) -> Loaded[WorkflowSpec] | Loaded[JobSpec]:
    """The workflow or job in a file or folder.  Raises UsageProblem, SpecInvalid with all problems."""
    from ripresa.contracts.errors import SpecInvalid
    from ripresa.engine.definition_files import load_file

    if file.endswith(_CODE):
        raise UsageProblem(f"{file}: only definition files can be explained; `ripresa check {file}` looks at code")
    try:
        return load_file(Path(file))
    except SpecInvalid:
        raise
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise UsageProblem(f"{file}: {why}") from None


def _moment(text: str | None) -> datetime:
    if text is None:
        return datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageProblem(f"--now {text}: write 2026-03-28 or 2026-03-28T06:00:00+01:00") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def require_targets(given: list[str]) -> None:
    """Raises UsageProblem for a target that there is not."""
    from ripresa.contracts.portability import TARGETS

    for one in given:
        if one not in TARGETS:
            raise UsageProblem(f"--target {one}: no such target{did_you_mean(one, TARGETS)}")


def only_job(told: WorkflowTold, name: str) -> JobTold:
    """The entry of this name.  Raises UsageProblem."""
    found = next((job for job in told.jobs if job.name == name), None)
    if found is None:
        raise UsageProblem(
            f"--job {name}: {told.name} has no such job{did_you_mean(name, [one.name for one in told.jobs])}"
        )
    return found


def data(loaded: Loaded[Any], told: WorkflowTold, targets: list[str]) -> dict[str, Any]:
    """As JSON data; with `targets`, only those."""
    from ripresa.author.explaining import to_json

    facts: dict[str, Any] = to_json(told)
    if targets:
        facts["targets"] = [one for one in facts["targets"] if one["target"] in targets]
    kind = "workflow" if hasattr(loaded.spec, "jobs") else "job"
    return {"kind": kind, "file": loaded.files[0], "version": loaded.version, **facts}
