"""Named queries: SQL kept in `.sql` files, taken out by name.

A file holds queries, each under a line `-- name: claim_due`.  Two marks are ours, the rest is the
database's own dialect:

    {(?, ?, ?)}     as many of these as there are rows, with commas between
    {fits}          the text of the query of that name

Invariant: a text is built once and then always the same object, so that the driver's cache of
prepared statements finds it.
"""

from __future__ import annotations

import re
from importlib.resources import files

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_INCLUDED = re.compile(r"\{(\w+)\}")
_REPEATED = re.compile(r"\{([^{}]*\?[^{}]*)\}")


class NamedSql:
    """The queries of one file of a package, read when the first is asked for."""

    def __init__(self, package: str, file: str) -> None:
        self._package = package
        self._file = file
        self._texts: dict[str, str] = {}
        self._repeated: dict[tuple[str, int], str] = {}

    def __getitem__(self, name: str) -> str:
        """The query of this name; KeyError if the file has none."""
        try:
            return self._texts[name]
        except KeyError:
            if self._texts:
                raise
            self._read()
            return self._texts[name]

    def texts(self) -> list[str]:
        """All queries."""
        if not self._texts:
            self._read()
        return list(self._texts.values())

    def _read(self) -> None:
        self._texts = parse(files(self._package).joinpath(self._file).read_text("utf-8"))

    def rows(self, name: str, count: int) -> str:
        """The query of this name, its repeated part written out for `count` rows."""
        try:
            return self._repeated[name, count]
        except KeyError:
            text = repeat(self[name], count)
            self._repeated[name, count] = text
            return text


def parse(text: str) -> dict[str, str]:
    """Queries by name, each included part put in; a comment after a query belongs to those that follow."""
    pieces = _NAME.split(text)[1:]
    plain = {name: _without_end(body) for name, body in zip(pieces[::2], pieces[1::2], strict=True)}
    return {name: _INCLUDED.sub(lambda mark: plain[mark[1]], body) for name, body in plain.items()}


def _without_end(body: str) -> str:
    lines = body.strip().splitlines()
    while lines and lines[-1].lstrip()[:2] in {"", "--"}:
        lines.pop()
    return "\n".join(lines).rstrip(";")


def repeat(query: str, count: int) -> str:
    """Write the repeated part `count` times."""
    return _REPEATED.sub(lambda mark: ", ".join([mark[1]] * count), query)
