"""Comparing: `==`, `<`, `in` and their kin, for values that can be compared."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from ripresa.author.templates.problem import Problem
from ripresa.author.templates.values import kind_of
from ripresa.contracts.errors import TemplateValue


def _equal(left: Any, right: Any) -> bool:
    if isinstance(left, datetime) is not isinstance(right, datetime) and left is not None and right is not None:
        raise TypeError
    return bool(left == right)


def _contains(left: Any, right: Any) -> bool:
    if isinstance(right, str | list | tuple | Mapping):
        return left in right
    raise TypeError


COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": _equal,
    "ne": lambda left, right: not _equal(left, right),
    "lt": operator.lt,
    "lteq": operator.le,
    "gt": operator.gt,
    "gteq": operator.ge,
    "in": _contains,
    "notin": lambda left, right: not _contains(left, right),
}
"""Raise TypeError where the values cannot be compared."""
_SIGNS = {"eq": "==", "ne": "!=", "lt": "<", "lteq": "<=", "gt": ">", "gteq": ">=", "notin": "not in"}


def incomparable(sign: str, left: Any, right: Any, offset: int) -> Problem:
    dates = isinstance(left, datetime) or isinstance(right, datetime)
    return Problem(
        TemplateValue,
        f"{kind_of(left)} and {kind_of(right)} cannot be compared with `{_SIGNS.get(sign, sign)}`",
        remedy="compare `ds`, or write the date with `| date(…)`" if dates else "convert one with `int` or `string`",
        what=sign,
        offset=offset,
    )
