"""A problem on its way to becoming an error: whoever finds it knows what, whoever holds the text knows where."""

from __future__ import annotations

import re

from ripresa.contracts.errors import TemplateError

_LINE_END = re.compile(r"\r\n|\r")


def with_plain_line_ends(text: str) -> str:
    """The text as Jinja2 counts it: every line end is one newline."""
    return _LINE_END.sub("\n", text) if "\r" in text else text


class Problem(Exception):
    """What is wrong, and at which character of the text (None: not known yet)."""

    def __init__(
        self, kind: type[TemplateError], problem: str, *, remedy: str = "", what: str = "", offset: int | None = None
    ) -> None:
        super().__init__(problem)
        self.kind = kind
        self.problem = problem
        self.remedy = remedy
        self.what = what
        self.offset = offset

    def located(self, text: str, where: str | None) -> TemplateError:
        """The public error, with the line and column of `text`."""
        before = with_plain_line_ends(text)[: self.offset or 0]
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        return self.kind(self.problem, remedy=self.remedy, what=self.what, where=where, line=line, column=column)
