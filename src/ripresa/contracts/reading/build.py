"""Building: the values and places of a document, from a parser's events, within limits.

One builder serves YAML and JSON, so that both refuse the same things in the same words.  It goes on after a duplicate
key or a tag, so that all of them are told at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn

from ripresa.contracts.errors import SpecInvalid
from ripresa.contracts.problems import PROBLEMS_MAX, Problem, as_path
from ripresa.contracts.reading.document import Document, ListPlace, MapPlace, Place

DEPTH_MAX = 32
VALUES_MAX = 500_000
"""Ten thousand jobs with a hundred thousand edges fit."""


@dataclass(slots=True)
class _Frame:
    """A mapping or list that has not ended; `key` is the key whose value comes next, or came last."""

    value: Any
    place: Any
    key: str | None = None


class Builder:
    """Takes a parser's events in order.  Raises SpecInvalid where a limit ends the reading."""

    def __init__(self, text: str, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self._text = Document(file, text, None, 0)
        self._open: list[_Frame] = []
        self._whole: tuple[Any, Place] | None = None
        self._values = 0

    # --- events ---------------------------------------------------------------------------------

    def scalar(self, value: Any, at: int) -> None:
        """A value without parts."""
        self._put(value, at, at)

    def key(self, name: str, at: int) -> None:
        """The key of the value that comes next."""
        frame = self._open[-1]
        frame.key = name
        if name in frame.place.keys:
            line, _ = self._text.position(frame.place.keys[name])
            self.problem("duplicate_key", f'"{name}" stands here twice (first on line {line})', "keep one of them", at)
        frame.place.keys[name] = at

    def open_map(self, at: int) -> None:
        """A mapping begins."""
        self._enter({}, MapPlace(at), at)

    def open_list(self, at: int) -> None:
        """A list begins."""
        self._enter([], ListPlace(at), at)

    def close(self) -> None:
        """The innermost mapping or list ends."""
        self._open.pop()

    def problem(self, code: str, message: str, remedy: str, at: int) -> None:
        """Something is refused, and reading goes on."""
        line, column = self._text.position(at)
        self.problems.append(
            Problem(
                code=code,
                message=message,
                remedy=remedy,
                file=self.file,
                line=line,
                column=column,
                path=self._path(),
                source=self._text.line(line),
            )
        )
        if len(self.problems) >= PROBLEMS_MAX:
            raise SpecInvalid(self.problems)

    def stop(self, code: str, message: str, remedy: str, at: int) -> NoReturn:
        """Something is refused, and nothing more can be read."""
        self.problem(code, message, remedy, at)
        raise SpecInvalid(self.problems)

    def document(self) -> Document:
        """All that was read.  Raises SpecInvalid if anything was refused."""
        if self.problems:
            raise SpecInvalid(self.problems)
        if self._whole is None:
            self.stop("empty", "the file holds no value", "begin with `workflow:` or `job:`", 0)
        value, place = self._whole
        return Document(self.file, self._text.text, value, place)

    # --- the tree -------------------------------------------------------------------------------

    def _enter(self, value: Any, place: MapPlace | ListPlace, at: int) -> None:
        if len(self._open) >= DEPTH_MAX:
            self.stop("too_deep", f"values nest deeper than {DEPTH_MAX} levels", "flatten them", at)
        self._put(value, place, at)
        self._open.append(_Frame(value, place))

    def _put(self, value: Any, place: Place, at: int) -> None:
        self._values += 1
        if self._values > VALUES_MAX:
            self.stop("too_many_values", f"the file holds more than {VALUES_MAX:,} values", "split the workflow", at)
        if not self._open:
            self._whole = (value, place)
            return
        frame = self._open[-1]
        if frame.key is None:
            frame.value.append(value)
            frame.place.inside.append(place)
        else:
            frame.value[frame.key] = value
            frame.place.inside[frame.key] = place

    def _path(self) -> str:
        lists = [(one.key, len(one.value) - 1) for one in self._open]
        return as_path([key if key is not None else index for key, index in lists if key is not None or index >= 0])
