"""Filters: all that may stand behind `|`, with the arguments that each takes.

A filter gets its input and its arguments by position, those left out as in `defaults`; it raises Problem without a
place, for the walk knows that.  `default` is not here: it alone may have an input that is undefined.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ripresa.author.templates.moments import check_pattern, moment_of, written
from ripresa.author.templates.problem import Problem
from ripresa.author.templates.values import concatenated, json_of, replaced, shown, text_of
from ripresa.contracts.errors import TemplateValue

_ABSENT: Any = object()
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_NUMBER_CHARS_MAX = 64
_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0", ""})


class Empty:
    """What `first` and `last` give for an empty list: undefined, so that `default` applies."""


@dataclass(frozen=True, slots=True)
class Filter:
    """One filter: its parameters in order, the values of those that may be left out, and a check of constants."""

    apply: Callable[..., Any]
    parameters: tuple[str, ...] = ()
    defaults: tuple[Any, ...] = ()
    check: Callable[..., object] | None = None

    @property
    def required(self) -> int:
        return len(self.parameters) - len(self.defaults)

    def usage(self, name: str) -> str:
        """How it is written, as `replace(old, new, count)`."""
        return f"{name}({', '.join(self.parameters)})" if self.parameters else name


def _int(value: Any, default: Any) -> Any:
    number = _number(value)
    if number is not None:
        return int(number)
    return _instead(value, default, "int")


def _float(value: Any, default: Any) -> Any:
    number = _number(value)
    if number is not None:
        try:
            return float(number)
        except OverflowError:
            pass
    return _instead(value, default, "float")


def _number(value: Any) -> int | float | None:
    """The number that the value is or that its text says; None if there is none, or no finite one."""
    if isinstance(value, str):
        text = value.strip()
        if len(text) > _NUMBER_CHARS_MAX or not _NUMBER.fullmatch(text):
            return None
        value = int(text) if text.lstrip("+-").isdigit() else float(text)
    if isinstance(value, int):
        return value
    return value if isinstance(value, float) and math.isfinite(value) else None


def _bool(value: Any) -> bool:
    if value is None or isinstance(value, bool):
        return bool(value)
    if isinstance(value, str) and value.strip().lower() in _TRUE | _FALSE:
        return value.strip().lower() in _TRUE
    if isinstance(value, int | float) and value in (0, 1):
        return value == 1
    raise _unfit("bool", value, "it takes true, false, yes, no, on, off, 1, 0 and null")


def _instead(value: Any, default: Any, name: str) -> Any:
    if default is _ABSENT:
        raise _unfit(name, value, f"write `{name}(0)` if it is to be 0 then")
    return default


def _length(value: Any) -> int:
    if isinstance(value, str | list | tuple | dict):
        return len(value)
    raise _unfit("length", value, "it takes a text, a list or an object")


def _join(value: Any, between: Any) -> str:
    if not isinstance(value, list | tuple):
        raise _unfit("join", value, "it takes a list")
    return concatenated((text_of(item) for item in value), text_of(between))


def _replace(value: Any, old: Any, new: Any, count: Any) -> str:
    if count is not None and type(count) is not int:
        raise _unfit("replace", count, "its count is a whole number")
    return replaced(text_of(value), text_of(old), text_of(new), -1 if count is None else count)


def _trim(value: Any, characters: Any) -> str:
    return text_of(value).strip(None if characters is None else text_of(characters))


def _first(value: Any) -> Any:
    return _end(value, 0, "first")


def _last(value: Any) -> Any:
    return _end(value, -1, "last")


def _end(value: Any, index: int, name: str) -> Any:
    if not isinstance(value, str | list | tuple):
        raise _unfit(name, value, "it takes a list or a text")
    return value[index] if value else Empty


def _date(value: Any, pattern: Any) -> str:
    return written(moment_of(value), check_pattern(pattern))


def _unfit(name: str, value: Any, remedy: str) -> Problem:
    """The problem of an input that the filter has no answer for."""
    return Problem(TemplateValue, f"`{name}` cannot take {shown(value)}", remedy=remedy, what=name)


FILTERS: dict[str, Filter] = {
    "bool": Filter(_bool),
    "date": Filter(_date, ("pattern",), ("%Y-%m-%d",), check=check_pattern),
    "first": Filter(_first),
    "float": Filter(_float, ("default",), (_ABSENT,)),
    "int": Filter(_int, ("default",), (_ABSENT,)),
    "join": Filter(_join, ("d",), ("",)),
    "last": Filter(_last),
    "length": Filter(_length),
    "lower": Filter(lambda value: text_of(value).lower()),
    "replace": Filter(_replace, ("old", "new", "count"), (None,)),
    "string": Filter(text_of),
    "tojson": Filter(json_of),
    "trim": Filter(_trim, ("chars",), (None,)),
    "upper": Filter(lambda value: text_of(value).upper()),
    "default": Filter(lambda value: value, ("default_value", "boolean"), ("", False)),
}
"""All filters.  The walk applies `default` itself; its entry says what arguments it takes."""
