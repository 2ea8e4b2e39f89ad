"""Values: how data becomes text, what counts as true, and the limits that hold while a text is built.

Values are JSON data, and datetimes.  Every text that a template makes goes through here, and none is longer than
`TEXT_CHARS_MAX`: the limit is checked before a text is built, not after.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from ripresa.author.templates.problem import Problem
from ripresa.contracts.errors import TemplateValue

TEXT_CHARS_MAX = 65_536
_INTEGER_BITS_MAX = 4_096
_DEPTH_MAX = 100
_SHOWN_CHARS_MAX = 60
_KINDS = {bool: "a boolean", int: "a number", float: "a number", str: "a text", type(None): "null", datetime: "a date"}


def kind_of(value: Any) -> str:
    """What the value is, for a message."""
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list"
    return _KINDS.get(type(value), f"a {type(value).__name__}")


def shown(value: Any) -> str:
    """The value in a message: short texts and numbers as they are, of the rest only what it is."""
    if isinstance(value, str) and len(value) > _SHOWN_CHARS_MAX:
        return f"{value[:_SHOWN_CHARS_MAX]!r}…"
    if isinstance(value, str | float) or (isinstance(value, int) and value.bit_length() <= _SHOWN_CHARS_MAX):
        return repr(value)
    return kind_of(value)


def text_of(value: Any) -> str:
    """The value inside a text: text as it is, numbers and booleans as in JSON, dates in ISO 8601, the rest as JSON.

    Raises Problem for null and for what would be too long.
    """
    if type(value) is str:
        if len(value) > TEXT_CHARS_MAX:
            raise too_long(len(value))
        return value
    if value is None:
        raise Problem(TemplateValue, "the value is null, which has no text", remedy='write `| default("…", true)`')
    if isinstance(value, datetime):
        return value.isoformat()
    parts: list[str] = []
    _write_json(value, parts, TEXT_CHARS_MAX, 0)
    return "".join(parts)


def json_of(value: Any) -> str:
    """The value as JSON text on one line, keys in their order.  Raises Problem if it would be too long."""
    parts: list[str] = []
    _write_json(value, parts, TEXT_CHARS_MAX, 0)
    return "".join(parts)


def concatenated(texts: Iterable[str], between: str = "") -> str:
    """The texts, one after another.  Raises Problem as soon as they are too long."""
    parts: list[str] = []
    room = TEXT_CHARS_MAX + len(between)
    for text in texts:
        room -= len(text) + len(between)
        if room < 0:
            raise too_long()
        parts.append(text)
    return between.join(parts)


def replaced(text: str, old: str, new: str, count: int) -> str:
    """`text.replace`, refused beforehand if its result would be too long."""
    hits = text.count(old) if count < 0 else min(text.count(old), count)
    length = len(text) + hits * (len(new) - len(old))
    if length > TEXT_CHARS_MAX:
        raise too_long(length)
    return text.replace(old, new, count)


def too_long(length: int | None = None) -> Problem:
    """A text beyond the limit."""
    size = f"a text of {length:,} characters" if length is not None else "the text"
    return Problem(
        TemplateValue,
        f"{size} is longer than the {TEXT_CHARS_MAX:,} characters that a template may make",
        remedy="pass the value whole, as `{{ … }}` and nothing else, or write it to a file",
    )


def result_of(value: Any) -> Any:
    """The value of a template that is one whole expression, as JSON data: dates become text."""
    return value.isoformat() if isinstance(value, datetime) else value


def truth_of(value: Any) -> bool:
    """Whether a condition holds: false, null, 0 and what is empty do not; a text must say `true` or `false`.

    Raises Problem for any other text, for it was most likely meant to be compared with something.
    """
    if not isinstance(value, str):
        return bool(value)
    word = value.strip().lower()
    if word in {"true", "false", ""}:
        return word == "true"
    raise Problem(
        TemplateValue,
        f"a condition is true or false, and this one is the text {shown(value)}",
        remedy="write one expression that compares it, as `{{ params.region == 'eu' }}`",
    )


def _write_json(value: Any, parts: list[str], room: int, depth: int) -> int:
    """Append the value's JSON; the characters that are left of `room`."""
    if depth > _DEPTH_MAX:
        raise Problem(TemplateValue, f"a value is nested more than {_DEPTH_MAX} deep", remedy="pass a part of it")
    if isinstance(value, Mapping):
        return _write_all(value, parts, room, depth, "{}")
    if isinstance(value, list | tuple):
        return _write_all(value, parts, room, depth, "[]")
    text = _scalar(value, room)
    parts.append(text)
    room -= len(text)
    if room < 0:
        raise too_long()
    return room


def _write_all(value: Any, parts: list[str], room: int, depth: int, brackets: str) -> int:
    comma = ""
    parts.append(brackets[0])
    for item in value:
        parts.append(comma)
        room -= len(comma)
        comma = ","
        if brackets == "{}":
            room = _write_json(str(item), parts, room, depth + 1)
            parts.append(":")
            room -= 1
        room = _write_json(value[item] if brackets == "{}" else item, parts, room, depth + 1)
    parts.append(brackets[1])
    room -= 2
    if room < 0:
        raise too_long()
    return room


def _scalar(value: Any, room: int) -> str:
    if isinstance(value, datetime):
        value = value.isoformat()
    if isinstance(value, str):
        if len(value) > room:
            raise too_long()
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, float) and not math.isfinite(value):
        raise Problem(TemplateValue, f"{value} is no JSON number", remedy="use null or a text for it")
    if isinstance(value, int) and value.bit_length() > _INTEGER_BITS_MAX:
        raise Problem(TemplateValue, "an integer has more than a thousand digits", remedy="pass it as a text")
    if value is None or isinstance(value, bool | int | float):
        return json.dumps(value)
    raise Problem(TemplateValue, f"{kind_of(value)} is no JSON data", remedy="pass texts, numbers, lists and objects")
