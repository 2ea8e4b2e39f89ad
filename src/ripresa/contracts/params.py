"""Params: whether given values fit a workflow's input schema, in the contract's words.

The part of JSON Schema (2020-12) that describes values; what only composes schemas (`$ref`, `if`) is passed over.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from typing import Any

PROBLEMS_MAX = 20
_TYPES: dict[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: _is_number(value) and float(value).is_integer(),
    "number": lambda value: _is_number(value),  # noqa: PLW0108 - it is defined below
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, Mapping),
    "null": lambda value: value is None,
}


def problems_of(schema: Mapping[str, Any], params: Mapping[str, Any]) -> list[str]:
    """What is wrong with the params, a line each, naming the field, the value and what is wanted."""
    found = []
    for problem in _problems(schema, params, "", 0):
        found.append(problem)
        if len(found) == PROBLEMS_MAX:
            break
    return found


def _problems(schema: Any, value: Any, at: str, depth: int) -> Iterator[str]:
    if schema is False:
        yield f"{at or 'params'}: nothing may stand here"
    if not isinstance(schema, Mapping) or depth > 50:
        return
    kinds = schema.get("type")
    if kinds is not None:
        names = [kinds] if isinstance(kinds, str) else list(kinds)
        if not any(_TYPES.get(name, lambda _: True)(value) for name in names):
            yield f"{at or 'params'}: {_shown(value)} is not {_listed(names)}"
            return
    yield from _among(schema, value, at)
    if _is_number(value):
        yield from _of_number(schema, value, at)
    elif isinstance(value, str):
        yield from _of_text(schema, value, at)
    elif isinstance(value, list):
        yield from _of_list(schema, value, at, depth)
    elif isinstance(value, Mapping):
        yield from _of_object(schema, value, at, depth)
    yield from _combined(schema, value, at, depth)


def _among(schema: Mapping[str, Any], value: Any, at: str) -> Iterator[str]:
    if "enum" in schema and not any(_same(value, one) for one in schema["enum"]):
        yield f"{at}: {_shown(value)} is not one of {', '.join(map(_shown, schema['enum'][:20]))}"
    if "const" in schema and not _same(value, schema["const"]):
        yield f"{at}: {_shown(value)} is not {_shown(schema['const'])}"


def _of_number(schema: Mapping[str, Any], value: float, at: str) -> Iterator[str]:
    for name, holds, said in _LIMITS:
        if _is_number(schema.get(name)) and not holds(value, schema[name]):
            yield f"{at}: {value} is {said} {schema[name]}"
    step = schema.get("multipleOf")
    if _is_number(step) and step and not math.isclose(value / step, round(value / step), abs_tol=1e-9):
        yield f"{at}: {value} is no multiple of {step}"


_LIMITS: tuple[tuple[str, Callable[[float, float], bool], str], ...] = (
    ("minimum", operator.ge, "less than"),
    ("maximum", operator.le, "more than"),
    ("exclusiveMinimum", operator.gt, "not more than"),
    ("exclusiveMaximum", operator.lt, "not less than"),
)


def _of_text(schema: Mapping[str, Any], value: str, at: str) -> Iterator[str]:
    if len(value) < schema.get("minLength", 0):
        yield f"{at}: {_shown(value)} has fewer than {schema['minLength']} characters"
    if len(value) > schema.get("maxLength", math.inf):
        yield f"{at}: {_shown(value)} has more than {schema['maxLength']} characters"
    pattern = schema.get("pattern")
    if isinstance(pattern, str) and not _matches(pattern, value):
        yield f"{at}: {_shown(value)} does not match {pattern}"
    read = _FORMATS.get(str(schema.get("format")))
    if read is not None:
        try:
            read(value)
        except ValueError:
            yield f"{at}: {_shown(value)} is no {schema['format']}"


_FORMATS: dict[str, Callable[[str], Any]] = {"date": date.fromisoformat, "date-time": datetime.fromisoformat}


def _matches(pattern: str, value: str) -> bool:
    try:
        return re.search(pattern, value[:10_000]) is not None
    except re.error:  # another dialect's
        return True


def _of_list(schema: Mapping[str, Any], value: list[Any], at: str, depth: int) -> Iterator[str]:
    if len(value) < schema.get("minItems", 0):
        yield f"{at}: there are {len(value)} items, and {schema['minItems']} are needed"
    if len(value) > schema.get("maxItems", math.inf):
        yield f"{at}: there are {len(value)} items, and {schema['maxItems']} is the most"
    if schema.get("uniqueItems") and len({repr(one) for one in value}) < len(value):
        yield f"{at}: two items are the same"
    if "items" in schema:
        for place, one in enumerate(value):
            yield from _problems(schema["items"], one, f"{at}[{place}]", depth + 1)


def _of_object(schema: Mapping[str, Any], value: Mapping[str, Any], at: str, depth: int) -> Iterator[str]:
    properties = schema.get("properties", {})
    for name in schema.get("required", ()):
        if name not in value and "default" not in properties.get(name, {}):
            yield f"{_below(at, name)}: it is missing"
    for name, one in value.items():
        if name in properties:
            yield from _problems(properties[name], one, _below(at, name), depth + 1)
        elif "additionalProperties" in schema and at:
            yield from _problems(schema["additionalProperties"], one, _below(at, name), depth + 1)


def _combined(schema: Mapping[str, Any], value: Any, at: str, depth: int) -> Iterator[str]:
    for one in schema.get("allOf", ()):
        yield from _problems(one, value, at, depth + 1)
    for name, wanted in (("anyOf", "any"), ("oneOf", "exactly one")):
        among = schema.get(name)
        if not among:
            continue
        fitting = sum(next(_problems(one, value, at, depth + 1), None) is None for one in among)
        if fitting == 0 or (name == "oneOf" and fitting > 1):
            yield f"{at or 'params'}: {_shown(value)} does not fit {wanted} of the {len(among)} forms it may have"


def _below(at: str, name: str) -> str:
    return f"{at}.{name}" if at else name


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _same(value: Any, other: Any) -> bool:
    return value == other and isinstance(value, bool) == isinstance(other, bool)


def _listed(names: list[str]) -> str:
    return " or ".join(f"a{'n' if name[0] in 'aio' else ''} {name}" if name != "null" else name for name in names)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
