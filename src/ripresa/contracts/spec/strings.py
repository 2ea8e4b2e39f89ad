"""Strings: every text of a resolved value with the way to it, and what the contract says of that place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from ripresa.contracts.reading.document import Path
from ripresa.contracts.spec.entries import KINDS

LISTS = ("jobs", "finally")
"""Where a workflow has entries."""


class String(NamedTuple):
    """A text, and the way to it; `key`: it is a key."""

    path: Path
    text: str
    key: bool


def strings_of(value: Any) -> list[String]:
    """All texts of a value, keys included, in no particular order."""
    found: list[String] = []
    waiting: list[tuple[Path, Any]] = [((), value)]
    while waiting:
        path, one = waiting.pop()
        if isinstance(one, str):
            found.append(String(path, one, key=False))
        elif isinstance(one, dict):
            for key, item in one.items():
                found.append(String((*path, key), key, key=True))
                waiting.append(((*path, key), item))
        elif isinstance(one, list):
            waiting.extend(((*path, index), item) for index, item in enumerate(one))
    return found


def within_work(path: Path) -> tuple[str, Path] | None:
    """The kind of work that a path leads into, and the rest of the way; None: it leads elsewhere."""
    if path[:1] == ("job",):
        return "job", path[1:]
    if len(path) > 3 and path[0] == "workflow" and path[1] in LISTS and path[3] in KINDS:
        return str(path[3]), path[4:]
    return None


def takes_template(path: Path) -> bool:
    """Whether the value at `path` may hold a template."""
    work = within_work(path)
    if work is not None:
        kind, rest = work
        return (kind, *rest[:1]) in _TAKES or (kind == "choice" and rest[-1:] == ("if",))
    if path[:1] != ("workflow",):
        return False
    if path[1:2] == ("output",) or path[1:] in {("idempotency_key",), ("concurrency", "key")}:
        return True
    return len(path) > 3 and path[1] in LISTS and path[3] in {"when", "for_each"}


_TAKES = {
    ("job", "args"),
    ("job", "params"),
    ("job", "env"),
    ("job", "pool_key"),
    ("python", "pool_key"),
    ("pipeline", "pool_key"),
    ("python", "with"),
    ("pipeline", "params"),
    ("workflow", "params"),
    ("wait", "until"),
}
"""Fields of each kind that take templates."""


def entries_of(value: Any) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The entries of a workflow file's value, as far as they are mappings: path, entry."""
    workflow = value.get("workflow") if isinstance(value, dict) else None
    for name in LISTS:
        entries = workflow.get(name) if isinstance(workflow, dict) else None
        for index, entry in enumerate(entries if isinstance(entries, list) else ()):
            if isinstance(entry, dict):
                yield ("workflow", name, index), entry
