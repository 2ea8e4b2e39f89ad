"""Loading: text in, a checked spec out, with the one resolved body that is recorded for its runs.

Reads no file itself, and does not know how templates are written: `read` gives the bytes of an included file,
`templates` reads a template (`author.templates.Template.parse`).

    reading     text -> values with places                 reading/
    including   `from:` -> the job of another file         including
    checking    values -> models, and the whole file       checking, check_*
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Generic, TypeVar, overload

from ripresa.contracts.credentials import MASK
from ripresa.contracts.errors import SpecInvalid
from ripresa.contracts.problems import PROBLEMS_MAX, Problem, as_path
from ripresa.contracts.reading import read as read_text
from ripresa.contracts.spec.base import Spec
from ripresa.contracts.spec.check_credentials import credential_problems
from ripresa.contracts.spec.check_graph import graph_problems
from ripresa.contracts.spec.check_input import input_problems
from ripresa.contracts.spec.check_references import reference_problems
from ripresa.contracts.spec.check_templates import ReadTemplate, in_code, misplaced, templates_of
from ripresa.contracts.spec.checking import checked
from ripresa.contracts.spec.entries import JobSpec
from ripresa.contracts.spec.graph import nodes_of
from ripresa.contracts.spec.implied import imply
from ripresa.contracts.spec.including import ReadFile, include
from ripresa.contracts.spec.sources import Sources
from ripresa.contracts.spec.strings import String, strings_of
from ripresa.contracts.spec.versions import version_problems
from ripresa.contracts.spec.workflow import JobFile, WorkflowFile, WorkflowSpec

S = TypeVar("S", bound=Spec)


@dataclass(frozen=True, slots=True)
class Loaded(Generic[S]):
    """A definition that was read and found in order."""

    spec: S
    body: str
    """All of it as one JSON text, includes resolved: loading it again gives the same spec and version."""
    version: str
    """Hash of the content; comments, spacing and the order of keys do not count."""
    files: tuple[str, ...]
    """The files it was read from."""
    sources: Sources = field(repr=False, compare=False)
    """Where each of its values stands."""


def load(
    data: bytes | str, file: str = "<text>", *, read: ReadFile | None = None, templates: ReadTemplate | None = None
) -> Loaded[WorkflowSpec] | Loaded[JobSpec]:
    """The workflow or job that `data` defines.  Raises SpecInvalid with all problems.

    `file` is its name in messages; one that ends in `.json` is read as JSON, all else as YAML.
    """
    sources = _read(data, file)
    if isinstance(sources.value, dict) and "job" in sources.value and "workflow" not in sources.value:
        return _result(_checked(JobFile, sources, read, templates).job, sources)
    return _result(_checked(WorkflowFile, sources, read, templates).workflow, sources)


def load_workflow(
    data: bytes | str, file: str = "<text>", *, read: ReadFile | None = None, templates: ReadTemplate | None = None
) -> Loaded[WorkflowSpec]:
    """The workflow that `data` defines, as `load`; a job that stands alone is refused."""
    sources = _read(data, file)
    return _result(_checked(WorkflowFile, sources, read, templates).workflow, sources)


def load_job(data: bytes | str, file: str = "<text>", *, templates: ReadTemplate | None = None) -> Loaded[JobSpec]:
    """The job that `data` defines by itself, as `load`; a workflow is refused."""
    sources = _read(data, file)
    return _result(_checked(JobFile, sources, None, templates).job, sources)


def _read(data: bytes | str, file: str) -> Sources:
    document = read_text(data, file)
    return Sources(document, document.value)


@overload
def _checked(
    model: type[WorkflowFile], sources: Sources, read: ReadFile | None, templates: ReadTemplate | None
) -> WorkflowFile: ...
@overload
def _checked(
    model: type[JobFile], sources: Sources, read: ReadFile | None, templates: ReadTemplate | None
) -> JobFile: ...
def _checked(model: Any, sources: Sources, read: ReadFile | None, templates: ReadTemplate | None) -> Any:
    """The whole file as its model.  Raises SpecInvalid."""
    problems = [*_top(sources), *version_problems(sources)]
    if problems:
        raise SpecInvalid(problems)
    problems += include(sources, read)
    strings = strings_of(sources.value)
    written = [] if templates is None else list(templates_of(sources, strings, templates))
    readable = [(path, one) for path, one in written if not isinstance(one, Problem)]
    imply(sources, readable)
    spec, found = checked(model, sources)
    found += _of_the_whole(sources, strings)
    found += islice((one for _, one in written if isinstance(one, Problem)), PROBLEMS_MAX)
    found += islice(reference_problems(sources, nodes_of(sources.value), readable), PROBLEMS_MAX)
    problems += [one for one in found if not _follows_from_unread(one, sources)]
    if spec is None or problems:
        raise SpecInvalid(_presentable(problems, sources))
    return spec


def _top(sources: Sources) -> Iterator[Problem]:
    """What keeps the file from being looked at any closer."""
    value = sources.value
    if not isinstance(value, dict):
        yield sources.problem("type_wrong", "a definition is a mapping", "begin with `workflow:` or `job:`", ())
    elif "workflow" in value and "job" in value:
        said = "a file holds a workflow or a job, and this one both"
        yield sources.problem("given_twice", said, "put the job into a file of its own", ("job",), key=True)
    elif "workflow" not in value and "job" not in value:
        if "jobs" in value or "image" in value:
            kind = "workflow" if "jobs" in value else "job"
            said, remedy = (
                f"`{kind}:` is missing above these fields",
                f"begin with `{kind}:`, and indent all else below it",
            )
        else:
            said, remedy = "there is no workflow and no job here", "begin with `workflow:` or `job:`"
        yield sources.problem("missing", said, remedy, ())


def _follows_from_unread(problem: Problem, sources: Sources) -> bool:
    """Whether it is only told because a file could not be included, which is told already."""
    if not sources.unread:
        return False
    within = any(problem.path.startswith(as_path(path)) for path in sources.unread)
    return within or problem.code in {"unknown_entry", "unknown_reference"}


def _of_the_whole(sources: Sources, strings: list[String]) -> Iterator[Problem]:
    """What no field can know by itself; of each kind no more than anybody reads."""
    for check in (
        credential_problems(sources, strings),
        misplaced(sources, strings),
        in_code(sources),
        input_problems(sources),
        graph_problems(sources, nodes_of(sources.value)),
    ):
        yield from islice(check, PROBLEMS_MAX)


def _presentable(problems: list[Problem], sources: Sources) -> list[Problem]:
    """Each once, in the order of the text, and no credential in any of them."""
    unique = {(one.file, one.line, one.column, one.code, one.path): one for one in problems}
    ordered = sorted(
        unique.values(), key=lambda one: (one.file != sources.document.file, one.file, one.line or 0, one.column or 0)
    )
    secrets = sorted((str(value) for value in sources.hidden), key=len, reverse=True)
    return [_struck(one, secrets) for one in ordered[:PROBLEMS_MAX]]


def _struck(problem: Problem, secrets: list[str]) -> Problem:
    changed = {}
    for name in ("message", "remedy", "value", "source", "path"):
        text = getattr(problem, name)
        for secret in secrets:
            if text and secret in text:
                text = text.replace(secret, MASK)
        if text != getattr(problem, name):
            changed[name] = text
    return replace(problem, **changed) if changed else problem


def _result(spec: S, sources: Sources) -> Loaded[S]:
    files = (sources.document.file, *dict.fromkeys(document.file for document, _ in sources.parts.values()))
    return Loaded(spec, body_of(sources.value), version_of(sources.value), files, sources)


def body_of(value: Any) -> str:
    """A resolved value as JSON text, keys in the order they were written in."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def version_of(value: Any) -> str:
    """The content hash of a resolved value."""
    canonical = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return hashlib.blake2b(canonical.encode(), digest_size=8).hexdigest()
