"""A document: plain values, and for each of them where it stands.

A place is an offset into the text; line and column are counted only when somebody asks, which is when something is
wrong.  The tree of places has the shape of the value: an offset for a scalar, `MapPlace` and `ListPlace` for the rest.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from typing import Any

Path = tuple[str | int, ...]
"""The way from a document's root to a value: keys and indexes."""


@dataclass(slots=True)
class MapPlace:
    """Where a mapping, each of its keys, and each of its values stand."""

    at: int
    keys: dict[str, int] = field(default_factory=dict)
    inside: dict[str, Place] = field(default_factory=dict)


@dataclass(slots=True)
class ListPlace:
    """Where a list and each of its items stand."""

    at: int
    inside: list[Place] = field(default_factory=list)


Place = int | MapPlace | ListPlace


@dataclass(frozen=True)
class Document:
    """What a file says: `value` in plain dicts, lists and scalars, `place` the tree of their places."""

    file: str
    text: str
    value: Any
    place: Place

    def offset(self, path: Sequence[str | int], *, key: bool = False) -> int:
        """Where the value at `path` begins – or its key –, or the nearest value around it that there is."""
        place, at = self.place, 0 if isinstance(self.place, int) else self.place.at
        for step in path:
            if isinstance(place, MapPlace) and step in place.inside:
                at = place.keys[str(step)] if key else offset_of(place.inside[str(step)])
                place = place.inside[str(step)]
            elif isinstance(place, ListPlace) and isinstance(step, int) and step < len(place.inside):
                place = place.inside[step]
                at = offset_of(place)
            else:
                break
        return at

    @cached_property
    def _starts(self) -> array[int]:
        return array("q", accumulate(map(len, self.text.splitlines(keepends=True)), initial=0))

    def position(self, offset: int) -> tuple[int, int]:
        """Line and column, both from 1."""
        line = max(bisect_right(self._starts, offset) - 1, 0)
        if line and line == len(self._starts) - 1 and offset >= len(self.text):
            line -= not self.text.endswith("\n")
        return line + 1, offset - self._starts[line] + 1

    def line(self, number: int) -> str:
        """The text of a line, without its end."""
        start = self._starts[number - 1]
        end = self._starts[number] if number < len(self._starts) else len(self.text)
        return self.text[start:end].rstrip("\r\n")

    def raw(self, offset: int) -> str:
        """The plain word at an offset as it was typed: a number, a boolean or null in its own spelling."""
        end = offset
        while end < len(self.text) and self.text[end] not in " \t\r\n,]}#:\"'":
            end += 1
        return self.text[offset:end]


def offset_of(place: Place) -> int:
    """Where a value begins."""
    return place if isinstance(place, int) else place.at
