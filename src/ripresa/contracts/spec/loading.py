"""Loading: text in, a checked spec out, with the one resolved body that is recorded for its runs.

Reads no file itself.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ripresa.contracts.errors import SpecInvalid
from ripresa.contracts.problems import PROBLEMS_MAX, Problem
from ripresa.contracts.reading import read as read_text
from ripresa.contracts.spec.base import Spec
from ripresa.contracts.spec.checking import checked
from ripresa.contracts.spec.entries import JobSpec
from ripresa.contracts.spec.sources import Sources
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


def load_workflow(data: bytes | str, file: str = "<text>") -> Loaded[WorkflowSpec]:
    """The workflow that `data` defines.  Raises SpecInvalid with all problems.

    `file` is its name in messages; one that ends in `.json` is read as JSON, all else as YAML.
    """
    found, sources = _loaded(WorkflowFile, data, file)
    return _result(found.workflow, sources)


def load_job(data: bytes | str, file: str = "<text>") -> Loaded[JobSpec]:
    """The job that `data` defines by itself.  Raises SpecInvalid with all problems."""
    found, sources = _loaded(JobFile, data, file)
    return _result(found.job, sources)


def _loaded(model: type[S], data: bytes | str, file: str) -> tuple[S, Sources]:
    document = read_text(data, file)
    sources = Sources(document, document.value)
    problems: list[Problem] = []
    spec, found = checked(model, sources)
    problems += found
    if spec is None or problems:
        raise SpecInvalid(_in_order(problems))
    return spec, sources


def _in_order(problems: list[Problem]) -> list[Problem]:
    unique = {(one.file, one.line, one.column, one.code, one.path): one for one in problems}
    ordered = sorted(unique.values(), key=lambda one: (one.file, one.line or 0, one.column or 0))
    return ordered[:PROBLEMS_MAX]


def _result(spec: S, sources: Sources) -> Loaded[S]:
    files = (sources.document.file, *dict.fromkeys(document.file for document, _ in sources.parts.values()))
    return Loaded(spec, body_of(sources.value), version_of(sources.value), files)


def body_of(value: Any) -> str:
    """A resolved value as JSON text, keys in the order they were written in."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def version_of(value: Any) -> str:
    """The content hash of a resolved value."""
    canonical = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return hashlib.blake2b(canonical.encode(), digest_size=8).hexdigest()
