"""Plain scalars: which unquoted words of YAML are numbers, booleans or null.

YAML 1.2's core schema, and narrower in one point: a number has no leading zeros, so that `0123` stays the text that it
looks like.  All other words are text: `NO`, `on`, `1:30`, `2024-01-01`.
"""

from __future__ import annotations

import math
import re
from typing import Any

INTEGER_MAX = 2**53
"""Beyond it, other readers of JSON see another number."""

_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)", re.ASCII)
_OTHER_BASE = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+", re.ASCII)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", re.ASCII)
_DIGITS_MAX = 400


class NumberRefused(Exception):
    """A number that JSON cannot hold, or that others would read as another one."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


def plain(word: str) -> Any:
    """What an unquoted word of YAML means.  Raises NumberRefused."""
    if word in _WORDS:
        return _WORDS[word]
    if word[0] not in "-+.0123456789":
        return word
    if _INTEGER.fullmatch(word):
        return integer(word)
    if _OTHER_BASE.fullmatch(word):
        return _within(int(word, 0) if len(word) <= _DIGITS_MAX else INTEGER_MAX + 1, word)
    if _FLOAT.fullmatch(word) or _NOT_FINITE.fullmatch(word):
        return real(word)
    return word


def integer(word: str) -> int:
    """A whole number.  Raises NumberRefused beyond 2^53."""
    return _within(int(word) if len(word) <= _DIGITS_MAX else INTEGER_MAX + 1, word)


def real(word: str) -> float:
    """A number with a fraction or an exponent.  Raises NumberRefused if it is not finite."""
    number = float(word) if len(word) <= _DIGITS_MAX and not _NOT_FINITE.fullmatch(word) else math.inf
    if not math.isfinite(number):
        raise NumberRefused(
            f"{word[:40]} is no number that JSON can hold", "write a finite number, or a text in quotes"
        )
    return number or 0.0


def _within(number: int, word: str) -> int:
    if abs(number) > INTEGER_MAX:
        raise NumberRefused(
            f"{word[:40]} is beyond 2^53, where other readers see another number", f'write it in quotes: "{word[:40]}"'
        )
    return number
