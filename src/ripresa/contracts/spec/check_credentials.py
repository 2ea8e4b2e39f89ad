"""No credentials: a definition that holds one is refused, and the credential is shown nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ripresa.contracts.credentials import assigned_in, found_in, named
from ripresa.contracts.problems import Problem
from ripresa.contracts.reading.document import Path
from ripresa.contracts.spec.sources import Sources
from ripresa.contracts.spec.strings import String, within_work

CODE = "hardcoded_secret"
REMEDY = "write NAME: secret:path#key under `secrets:`, and replace the credential where it was issued"

_FREE = frozenset(("params", "env", "with", "targets", "input", "output", "for_each"))
"""Where keys are the user's own, so that their names tell something."""


def credential_problems(sources: Sources, strings: list[String]) -> Iterator[Problem]:
    """A problem for each credential that stands in the definition as it is."""
    seen: set[Path] = set()
    for path, what in _found(sources, strings):
        if path not in seen:
            seen.add(path)
            yield sources.problem(CODE, f"this looks like {what}", REMEDY, path, hidden=True)


def _found(sources: Sources, strings: list[String]) -> Iterator[tuple[Path, str]]:
    for index, what, _ in found_in([one.text for one in strings]):
        yield strings[index].path, what
    for one in strings:
        if not one.key:
            if "=" in one.text or "-" in one.text or ":" in one.text:
                for name, _ in assigned_in(one.text, prose=one.path[-1:] == ("description",)):
                    yield one.path, f"the value of {name}"
        elif _FREE.intersection(one.path[:-1]):
            value = sources.at(one.path)
            if named(one.text, value):
                yield one.path, f"the value of {one.text}"
            elif isinstance(value, dict) and "properties" in one.path[-2:]:
                yield from _of_schema(one, value)
    yield from _of_arguments(sources, strings)


def _of_schema(one: String, schema: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    for word in ("default", "const"):
        if named(one.text, schema.get(word)):
            yield (*one.path, word), f"the value of {one.text}"


def _of_arguments(sources: Sources, strings: list[String]) -> Iterator[tuple[Path, str]]:
    """`["--password", "hunter2"]`: the flag in one argument, the credential in the next."""
    for path, text, is_key in strings:
        work = within_work(path)
        if is_key or not text.startswith("-") or work is None or work[1][:1] not in {("args",), ("command",)}:
            continue
        after = (*path[:-1], int(path[-1]) + 1) if isinstance(path[-1], int) else path
        value = sources.at(after)
        if isinstance(value, str) and not value.startswith("-") and named(text.lstrip("-"), value):
            yield after, f"the value of {text}"
