"""JSON, strictly (RFC 8259), with the place of every value; iterative, so that depth costs nothing."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from ripresa.contracts.reading.build import Builder
from ripresa.contracts.reading.scalars import NumberRefused, integer, real

_SPACE = re.compile(r"[ \t\n\r]*")
_TOKEN = re.compile(
    # Possessive: a long string is never read back, so nothing need be kept of each character.
    r'(?P<string>"(?:[^"\\\x00-\x1f]++|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*+")'
    r"|(?P<number>-?(?:0|[1-9][0-9]*)(?P<fraction>(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?))(?![0-9A-Za-z_.+-])"
    r"|(?P<word>true|false|null)(?![0-9A-Za-z_])"
    r"|(?P<mark>[\[\]{}:,])",
    re.ASCII,
)
_WORDS = {"true": True, "false": False, "null": None}
_SURROGATE = re.compile("[\ud800-\udfff]")
_VALUE, _KEY, _FIRST_KEY, _FIRST_VALUE, _COLON, _AFTER, _END = range(7)
_EXPECTED = {
    _VALUE: "a value",
    _KEY: "a key in double quotes",
    _FIRST_KEY: "a key in double quotes, or }",
    _FIRST_VALUE: "a value, or ]",
    _COLON: "a colon",
    _AFTER: "a comma, or the closing bracket",
    _END: "nothing more",
}


def parse(text: str, builder: Builder) -> None:
    """Hand the text's values to `builder`.  Raises SpecInvalid."""
    reader = _Reader(text, builder)
    while reader.step():
        pass


class _Reader:
    """Reads token by token; `_open` holds the brackets to be closed, `_next` what may come."""

    def __init__(self, text: str, builder: Builder) -> None:
        self._text = text
        self._builder = builder
        self._at = 0
        self._open: list[str] = []
        self._next = _VALUE

    def step(self) -> bool:
        """Read a token; False at the end of the text."""
        space = _SPACE.match(self._text, self._at)
        self._at = space.end() if space else self._at
        if self._at == len(self._text):
            if self._next != _END:
                self._unexpected("the end of the text")
            return False
        token = _TOKEN.match(self._text, self._at)
        if token is None:
            self._no_token()
        if token.lastgroup == "mark":
            self._mark(token[0])
        elif self._next in (_KEY, _FIRST_KEY):
            self._key(token)
        elif self._next in (_VALUE, _FIRST_VALUE):
            self._builder.scalar(self._value(token), self._at)
            self._placed()
        else:
            self._unexpected(token[0])
        self._at = token.end()
        return True

    def _mark(self, mark: str) -> None:
        if mark in "{[" and self._next in (_VALUE, _FIRST_VALUE):
            (self._builder.open_map if mark == "{" else self._builder.open_list)(self._at)
            self._open.append("}" if mark == "{" else "]")
            self._next = _FIRST_KEY if mark == "{" else _FIRST_VALUE
        elif mark == ":" and self._next == _COLON:
            self._next = _VALUE
        elif mark == "," and self._next == _AFTER:
            self._next = _KEY if self._open[-1] == "}" else _VALUE
        elif self._open and mark == self._open[-1] and self._next in (_AFTER, _FIRST_KEY, _FIRST_VALUE):
            self._open.pop()
            self._builder.close()
            self._placed()
        else:
            self._unexpected(mark)

    def _placed(self) -> None:
        self._next = _AFTER if self._open else _END

    def _key(self, token: re.Match[str]) -> None:
        if token.lastgroup != "string":
            self._unexpected(token[0])
        self._builder.key(self._string(token[0]), self._at)
        self._next = _COLON

    def _value(self, token: re.Match[str]) -> Any:
        if token["string"]:
            return self._string(token["string"])
        if token["word"]:
            return _WORDS[token["word"]]
        try:
            return real(token["number"]) if token["fraction"] else integer(token["number"])
        except NumberRefused as refused:
            self._builder.problem("number_refused", refused.message, refused.remedy, self._at)
            return 0

    def _string(self, literal: str) -> str:
        if "\\" not in literal:
            return literal[1:-1]
        value: str = json.loads(literal)
        if _SURROGATE.search(value):
            said = "half of a surrogate pair is no character"
            self._builder.problem("character_forbidden", said, "write both halves, or the character itself", self._at)
            return _SURROGATE.sub("?", value)
        return value

    def _no_token(self) -> NoReturn:
        rest = self._text[self._at : self._at + 20]
        if rest.startswith('"'):
            said, remedy = (
                "the string is not closed, or holds a bad escape or a line break",
                "close it; escape \\ as \\\\",
            )
        elif rest.startswith("'"):
            said, remedy = "strings stand in double quotes", 'write "…"'
        elif rest.startswith(("//", "/*", "#")):
            said, remedy = "JSON has no comments", "remove it, or write YAML"
        elif rest.startswith(("NaN", "Infinity", "-Infinity")):
            said, remedy = "NaN and Infinity are not JSON", "write null, or a text in quotes"
        else:
            said, remedy = f"{rest.split()[0]!r} is no JSON", "put a text in double quotes"
        self._builder.stop("json_syntax", said, remedy, self._at)

    def _unexpected(self, found: str) -> NoReturn:
        said = f"{found[:40]} where {_EXPECTED[self._next]} should be"
        remedy = "remove the comma before it" if self._text[: self._at].rstrip().endswith(",") else "mend the JSON here"
        self._builder.stop("json_syntax", said, remedy, min(self._at, max(len(self._text) - 1, 0)))
