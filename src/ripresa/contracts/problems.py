"""Problems: what is wrong with a definition, where, and what to do about it.

A definition is never refused one problem at a time: `SpecInvalid` holds all of them.  Whatever looks like a credential
is shown as `•••`, in values as in source lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from typing import Any

from ripresa.contracts.credentials import masked

PROBLEMS_MAX = 200
"""Beyond these, one more would help nobody."""
VALUE_CHARS_MAX = 60
SOURCE_CHARS_MAX = 160
MASKED_CHARS = 2_000
"""So much of a line is looked at to either side, so that a credential is not cut in two before it is seen."""

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong.

    `code` is a stable word for programs.  `path` leads to the value, as `workflow.jobs[2].job.retry.max_attempts`;
    `line` and `column` count from 1.  `value` is what was found there, shortened, never a credential.
    """

    code: str
    message: str
    remedy: str = ""
    did_you_mean: str | None = None
    file: str = ""
    line: int | None = None
    column: int | None = None
    path: str = ""
    value: str | None = None
    source: str | None = None
    """The line it stands on; of a long one, the part around the column."""
    source_from: int = 1
    """The column that `source` begins with."""

    def __post_init__(self) -> None:
        for name in ("message", "remedy", "path", "value"):
            text = getattr(self, name)
            if text:
                object.__setattr__(self, name, masked(text))
        if self.source is not None:
            source, start = _window(self.source, self.column or 1)
            object.__setattr__(self, "source", source)
            object.__setattr__(self, "source_from", start)

    @property
    def where(self) -> str:
        """`file:line:column`, as far as they are known."""
        return ":".join(str(part) for part in (self.file, self.line, self.column) if part)

    @property
    def advice(self) -> str:
        """What to do: the near name first."""
        near = f'did you mean "{self.did_you_mean}"?' if self.did_you_mean else ""
        return "; ".join(part for part in (near, self.remedy) if part)

    def __str__(self) -> str:
        said = f"{self.path}: {self.message}" if self.path else self.message
        place = f"{self.where}: " if self.where else ""
        return f"{place}{said}; {self.advice}" if self.advice else f"{place}{said}"

    def lines(self) -> list[str]:
        """For people: the problem, its source line with a caret, the remedy."""
        said = f"{self.path}: {self.message}" if self.path else self.message
        told = [f"{self.where}: {said}" if self.where else said]
        if self.source is not None and self.line is not None and self.column is not None:
            told += _pointed(self.source, self.line, self.column - self.source_from + 1)
        if self.advice:
            told.append(f"    = {self.advice}")
        return told

    def to_json(self) -> dict[str, Any]:
        """As a JSON object without empty fields."""
        return {key: value for key, value in asdict(self).items() if value not in (None, "") and key != "source_from"}


def _window(line: str, column: int) -> tuple[str, int]:
    """The part of a line around a column, masked, and the column that it would have to begin with to fit."""
    start = max(0, column - 1 - MASKED_CHARS)
    before = masked(line[start : column - 1])
    whole = masked(line[start : column - 1 + MASKED_CHARS])
    caret = len(before) if whole.startswith(before) else min(column - 1 - start, len(whole))
    first = max(0, min(caret - SOURCE_CHARS_MAX // 2, len(whole) - SOURCE_CHARS_MAX))
    return whole[first : first + SOURCE_CHARS_MAX], column - (caret - first)


def _pointed(source: str, line: int, column: int) -> list[str]:
    shown = source.replace("\t", " ")
    return [f"    {line} | {shown}", f"    {' ' * len(str(line))} | {' ' * min(column - 1, len(shown))}^"]


def as_path(steps: Sequence[str | int]) -> str:
    """Keys and indexes as people write them: `workflow.jobs[2].job.env["a b"]`."""
    text = ""
    for step in steps:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _PLAIN_KEY.fullmatch(step):
            text += f".{step}" if text else step
        else:
            text += f'["{step[:VALUE_CHARS_MAX]}"]'
    return text


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that was probably meant."""
    names = list(known)
    folded = {one.casefold().replace("-", "_"): one for one in names}
    same = folded.get(name.casefold().replace("-", "_"))
    if same is not None:
        return same
    found = get_close_matches(name, names, 1, 0.7)
    return found[0] if found else None
