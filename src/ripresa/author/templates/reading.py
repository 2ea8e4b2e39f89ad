"""Reading: a template's text as Jinja2's syntax tree, with the place of every node.

Jinja2's lexer cuts the text; we judge each token before the parser sees it (no statement, no whitespace control, no
deep nesting) and put the token's offset where Jinja2 keeps a line number, so that every node and every syntax error
knows its character.  Jinja2's parser does the rest; nothing of Jinja2 ever evaluates anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from jinja2 import Environment, TemplateSyntaxError, nodes
from jinja2.lexer import Token, TokenStream, operators
from jinja2.parser import Parser

from ripresa.author.templates.problem import Problem
from ripresa.contracts.errors import TemplateForbidden, TemplateSyntax

BYTES_MAX = 4_096
NESTING_MAX = 20
"""Brackets within brackets; and how often one expression may say `not`, `if`, `+` and `-`."""
_INTEGER_MAX = 2**63

_ENVIRONMENT = Environment(keep_trailing_newline=True, autoescape=False)  # noqa: S701 - it lexes; nothing is rendered
_SKIPPED = frozenset({"whitespace", "comment_begin", "comment", "comment_end"})
_TAG = re.compile(r"\{%[-+]?\s*(\w*)")
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)", re.DOTALL)
_ESCAPES = {"\\": "\\", "'": "'", '"': '"', "n": "\n", "r": "\r", "t": "\t", "\n": ""}
_HELP = 'a value stands in {{ … }}; a literal {{ is written {{ "{{" }}'


def read(text: str) -> list[nodes.Expr]:
    """The parts of a template, texts (`TemplateData`) and expressions, in order.  Raises Problem."""
    if len(text.encode("utf-8", "replace")) > BYTES_MAX:
        raise Problem(
            TemplateForbidden,
            f"a template has at most {BYTES_MAX:,} bytes, and this one has more",
            remedy="keep long texts in a file or a parameter",
            what="length",
            offset=0,
        )
    parser = Parser(_ENVIRONMENT, "")
    parser.stream = TokenStream(iter(list(_tokens(text))), None, None)
    try:
        body = parser.parse().body
    except TemplateSyntaxError as error:
        raise _unreadable(error, error.lineno) from None
    except RecursionError:
        raise _too_deep(0) from None
    return [part for output in body if isinstance(output, nodes.Output) for part in output.nodes]


def _tokens(text: str) -> Iterator[Token]:
    """The tokens that the parser is to see; `lineno` is the offset.  Raises Problem."""
    offset = 0
    limits = _Limits()
    try:
        for _, kind, value in _ENVIRONMENT.lexer.tokeniter(text, None):
            _require_allowed(kind, value, text, offset)
            limits.count(kind, value, offset)
            if kind not in _SKIPPED:
                yield _token(kind, value, offset)
            offset += len(value)
    except TemplateSyntaxError as error:
        raise _unreadable(error, offset) from None


def _require_allowed(kind: str, value: str, text: str, offset: int) -> None:
    if kind in {"block_begin", "raw_begin"}:
        at = text.find("{%", offset)
        name = tag[1] if (tag := _TAG.match(text, at)) else ""
        raise Problem(
            TemplateForbidden,
            f"the statement `{{% {name} … %}}` is not in the templates of a definition",
            remedy='use {{ a if condition else b }}, or when and for_each; a literal {% is written {{ "{%" }}',
            what=name or "{%",
            offset=at,
        )
    if value[:3] in {"{{-", "{{+", "{#-", "{#+"} or (kind in {"variable_end", "comment_end"} and value[0] in "-+"):
        shown = value.strip()
        raise Problem(
            TemplateForbidden,
            f"`{shown}` is whitespace control, which would change the text around it",
            remedy=f"write `{shown.strip('-+')}`, with a blank before or after a number's sign",
            what=shown,
            offset=text.find(shown, offset),
        )


class _Limits:
    """What one template may nest: the parser calls itself for each of these."""

    def __init__(self) -> None:
        self.open = 0
        self.words = 0

    def count(self, kind: str, value: str, offset: int) -> None:
        if kind == "variable_begin":
            self.words = 0
        elif kind == "operator":
            self.open += (value in "([{") - (value in ")]}")
            self.words += value in "+-"
        elif kind == "name":
            self.words += value in {"not", "if"}
        if self.open > NESTING_MAX or self.words > NESTING_MAX:
            raise _too_deep(offset)


def _too_deep(offset: int) -> Problem:
    return Problem(
        TemplateForbidden,
        f"an expression is nested more than {NESTING_MAX} deep, or says `not`, `if`, `+` or `-` more often",
        remedy="compute it in a step, and use its output",
        what="nesting",
        offset=offset,
    )


def _token(kind: str, value: str, offset: int) -> Token:
    content: Any = value
    if kind == "operator":
        kind = operators[value]
    elif kind == "string":
        content = _unescaped(value, offset)
    elif kind == "integer":
        content = int(value.replace("_", ""), 0)
        if content >= _INTEGER_MAX:
            raise Problem(TemplateSyntax, "the number is beyond 64 bits", remedy="write it as a text", offset=offset)
    elif kind == "float":
        content = float(value.replace("_", ""))
        if content == float("inf"):
            raise Problem(TemplateSyntax, "the number is infinite", remedy="write it as a text", offset=offset)
    elif kind == "name" and not value.isidentifier():
        raise Problem(TemplateSyntax, f"{value!r} is no name", remedy=_HELP, offset=offset)
    return Token(offset, kind, content)


def _unescaped(literal: str, offset: int) -> str:
    def meant(match: re.Match[str]) -> str:
        escape = match[1]
        if escape in _ESCAPES:
            return _ESCAPES[escape]
        number = int(escape[1:], 16) if len(escape) > 1 else -1
        if 0 < number <= 0x10FFFF and not 0xD800 <= number <= 0xDFFF:
            return chr(number)
        raise Problem(
            TemplateSyntax,
            f"`{match[0]}` in a text is no escape of a character",
            remedy=r"there are: \\ \' \" \n \r \t \xHH \uHHHH \UHHHHHHHH; a backslash is \\",
            offset=offset + 1 + match.start(),
        )

    return _ESCAPE.sub(meant, literal[1:-1])


def _unreadable(error: TemplateSyntaxError, offset: int) -> Problem:
    """What Jinja2 says, in terms of the text."""
    message = (error.message or "it cannot be read").rstrip(".")
    if message == "Missing end of comment tag":
        remedy = 'a comment ends with #}; a literal {# is written {{ "{#" }}'
        return Problem(
            TemplateSyntax, "`{#` begins a comment that has no end", remedy=remedy, offset=offset - len("{#")
        )
    for inner, said in (("begin of print statement", "{{"), ("end of print statement", "}}")):
        message = message.replace(f"'{inner}'", f"`{said}`")
    message = re.sub(r" at \d+$", "", message)
    return Problem(TemplateSyntax, message, remedy=_HELP, offset=offset)
