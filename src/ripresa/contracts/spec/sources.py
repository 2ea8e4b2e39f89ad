"""Sources: a resolved value, and the documents that its parts were read from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ripresa.contracts.problems import VALUE_CHARS_MAX, Problem, as_path
from ripresa.contracts.reading.document import Document, Path


@dataclass
class Sources:
    """`value` is what `document` says, with every included part in its place; `parts` are where those came from."""

    document: Document
    value: Any
    parts: dict[Path, tuple[Document, Path]] = field(default_factory=dict)
    """For the path of an included value: its document, and the path within that."""

    unread: list[Path] = field(default_factory=list)
    """Where a part was to be included that could not be."""
    hidden: list[Any] = field(default_factory=list)
    """Credentials that stand in the value: they are shown nowhere."""

    def at(self, path: Sequence[str | int]) -> Any:
        """The value at `path`; None if there is none."""
        value = self.value
        for step in path:
            try:
                value = value[step]
            except (KeyError, IndexError, TypeError):
                return None
        return value

    def raw(self, path: Sequence[str | int]) -> str:
        """The scalar at `path` as it was typed."""
        value = self.at(path)
        if isinstance(value, str):
            return value
        document, inner = self._home(path)
        return document.raw(document.offset(inner)) if isinstance(value, bool | int | float) else ""

    def problem(
        self,
        code: str,
        message: str,
        remedy: str,
        path: Sequence[str | int],
        *,
        key: bool = False,
        did_you_mean: str | None = None,
        hidden: bool = False,
    ) -> Problem:
        """A problem of the value at `path`, or of its key, with its place; `hidden`: the value is a credential."""
        document, inner = self._home(path)
        line, column = document.position(document.offset(inner, key=key))
        if hidden:
            self.hidden.append(self.at(path))
        return Problem(
            code=code,
            message=message,
            remedy=remedy,
            did_you_mean=did_you_mean,
            file=document.file,
            line=line,
            column=column,
            path=as_path(path),
            value=None if hidden else _shown(self.at(path)),
            source=document.line(line),
        )

    def position(self, path: Sequence[str | int]) -> tuple[int, int]:
        """Line and column of the value at `path`."""
        document, inner = self._home(path)
        return document.position(document.offset(inner))

    def _home(self, path: Sequence[str | int]) -> tuple[Document, Path]:
        for end in range(len(path), 0, -1):
            if tuple(path[:end]) in self.parts:
                document, inner = self.parts[tuple(path[:end])]
                return document, (*inner, *path[end:])
        return self.document, tuple(path)


def _shown(value: Any) -> str | None:
    if isinstance(value, dict | list) or value is None:
        return None
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= VALUE_CHARS_MAX else f"{text[:VALUE_CHARS_MAX]}…"
