"""Migration: files of the draft 0.9 of the contract become files of 1.0, by edits that leave all else as it was typed.

An edit renames a key where it stands, or puts a value into the mapping that now holds it.  Comments, order and layout
stay.  The edits are data: a later version of the contract adds a table.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from ripresa.contracts.problems import as_path
from ripresa.contracts.reading import read
from ripresa.contracts.reading.document import Document, MapPlace, Path

OLD, NEW = "0.9", "1.0"


@dataclass(frozen=True, slots=True)
class Rename:
    """A key of 0.9, and what it is in 1.0.  `within`: the new key is a mapping that holds the value under this name."""

    where: str
    old: str
    new: str
    within: Callable[[Any], str] | None = None


def _interval_or_cron(value: Any) -> str:
    text = str(value)
    return "cron" if text.startswith("@") or " " in text.strip() else "interval"


RENAMES: Final = (
    Rename("workflow", "tasks", "jobs"),
    Rename("workflow", "default_args", "defaults"),
    Rename("workflow", "schedule_interval", "schedule", _interval_or_cron),
    Rename("schedule", "tz", "timezone"),
    Rename("entry", "depends", "depends_on"),
    Rename("job", "environment", "env"),
    Rename("job", "parameters", "params"),
    Rename("job", "cmd", "command"),
    Rename("job", "retries", "retry", lambda _: "max_retries"),
    Rename("retry", "backoff", "exponential_backoff"),
)
_TABLE = {(one.where, one.old): one for one in RENAMES}
_LISTS = frozenset(("jobs", "tasks", "finally"))


@dataclass(frozen=True, slots=True)
class Migrated:
    """A file's text in the new version; `done` and `left` tell what was changed, and what must be by hand."""

    text: str
    done: tuple[str, ...]
    left: tuple[str, ...]


def migrate(data: bytes | str, file: str = "<text>") -> Migrated:
    """The text of contract 1.0 for one of 0.9; one of 1.0 stays as it is.  Raises SpecInvalid if it cannot be read."""
    document = read(data, file)
    value = document.value
    if isinstance(value, dict) and value.get("contract", OLD) != OLD:
        return Migrated(document.text, (), ())
    return _Edits(document).of_all()


class _Edits:
    """The edits of one document: begin, end, and what comes in their place."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._edits: list[tuple[int, int, str]] = []
        self._done: list[str] = []
        self._left: list[str] = []

    def of_all(self) -> Migrated:
        for path, place in _mappings(self._document):
            kind = _kind_of(path)
            for key in place.keys:
                rename = _TABLE.get((kind, key))
                if rename is not None:
                    self._rename((*path, key), place, rename)
            if not path and "contract" in place.keys:
                self._edits.append((*_scalar(self._document, place, ("contract",)), f'"{NEW}"'))
                self._done.append(f"contract: {OLD} is now {NEW}")
        return Migrated(_edited(self._document.text, self._edits), tuple(self._done), tuple(self._left))

    def _rename(self, path: Path, around: MapPlace, rename: Rename) -> None:
        value = self._document.value
        for step in path:
            value = value[step]
        if rename.new in around.keys:
            self._left.append(f"{as_path(path)}: {rename.new} is there too; keep one of them")
        elif rename.within is not None and isinstance(value, dict | list):
            self._left.append(f"{as_path(path)}: write it as {rename.new}:")
        else:
            self._carry_out(path, around, rename, value)

    def _carry_out(self, path: Path, around: MapPlace, rename: Rename, value: Any) -> None:
        text, at = self._document.text, around.keys[rename.old]
        self._edits.append((at, at + _length_of_key(text, at, rename.old), _like(text, at, rename.new)))
        now = rename.new
        if rename.within is not None:
            inner = _like(text, at, rename.within(value))
            spelled = f"{{{inner}: {json.dumps(value, ensure_ascii=False)}}}"
            self._edits.append((*_scalar(self._document, around, path), spelled))
            now = f"{now}.{rename.within(value)}"
        self._done.append(f"{as_path(path)} is now {now}")


def _mappings(document: Document) -> Iterator[tuple[Path, MapPlace]]:
    waiting: list[tuple[Path, Any]] = [((), document.place)]
    while waiting:
        path, place = waiting.pop(0)
        if isinstance(place, MapPlace):
            yield path, place
            waiting += [((*path, key), inner) for key, inner in place.inside.items()]
        elif not isinstance(place, int):
            waiting += [((*path, index), inner) for index, inner in enumerate(place.inside)]


def _kind_of(path: Path) -> str:
    """Which kind of mapping stands at a path of 0.9."""
    if path == ("workflow",):
        return "workflow"
    if path[-1:] == ("job",) and (len(path) == 1 or (len(path) == 4 and path[1] in _LISTS)):
        return "job"
    if len(path) == 3 and path[0] == "workflow" and path[1] in _LISTS:
        return "entry"
    return str(path[-1]) if path[-1:] in {("schedule",), ("retry",)} else ""


def _length_of_key(text: str, at: int, key: str) -> int:
    return len(key) + 2 if text[at] in "\"'" else len(key)


def _like(text: str, at: int, name: str) -> str:
    """The name, in quotes if the key at this place is."""
    return f"{text[at]}{name}{text[at]}" if text[at] in "\"'" else name


_QUOTED = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^']|'')*'", re.DOTALL)
_IN_FLOW = re.compile(r"[^,}\]\n]*")
_IN_BLOCK = re.compile(r"(?:(?!\s#)[^\n])*")


def _scalar(document: Document, around: MapPlace, path: Path) -> tuple[int, int]:
    """Where a scalar begins and ends in the text."""
    start = document.offset(path)
    in_flow = document.text[around.at] == "{"
    found = _QUOTED.match(document.text, start) or (_IN_FLOW if in_flow else _IN_BLOCK).match(document.text, start)
    end = found.end() if found else start
    return start, start + len(document.text[start:end].rstrip())


def _edited(text: str, edits: list[tuple[int, int, str]]) -> str:
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    return text
