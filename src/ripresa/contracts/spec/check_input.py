"""The schema of a workflow's input: JSON Schema (2020-12) without what would reach out or take for ever.

References lead within the schema.  A pattern repeats nothing that is itself repeated without end, so that no value
takes long to match.  An unknown keyword is refused when it is near a known one; others are somebody's own, and stay.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from ripresa.contracts.problems import Problem, nearest
from ripresa.contracts.reading.document import Path
from ripresa.contracts.spec.sources import Sources
from ripresa.contracts.spec.words import kind_of

CODE = "input_schema_invalid"
PATTERN_CHARS_MAX = 512
_ROOT: Path = ("workflow", "input")
_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}
_PARAM = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}", re.ASCII)

Found = Iterator[tuple[Path, str, str]]
"""Paths, what is wrong there, and what to write."""


def input_problems(sources: Sources) -> Iterator[Problem]:
    """All that is wrong with the input schema."""
    root = sources.at(_ROOT)
    if not isinstance(root, dict):
        return
    if root.get("type", "object") != "object":
        yield sources.problem(CODE, "the input is an object of params", "write type: object", (*_ROOT, "type"))
    waiting: list[tuple[Path, Any]] = [(_ROOT, root)]
    while waiting:
        path, schema = waiting.pop()
        if isinstance(schema, bool):
            continue
        if not isinstance(schema, dict):
            said = f"a schema is a mapping, and this is {kind_of(schema)}"
            yield sources.problem(CODE, said, "write type: string, or the like", path)
            continue
        for place, message, remedy in _wrong(path, schema, root):
            yield sources.problem(CODE, message, remedy, place)
        waiting += _inner(path, schema)
    yield from _param_names(sources, root)


def _param_names(sources: Sources, root: dict[str, Any]) -> Iterator[Problem]:
    properties = root.get("properties")
    for name in properties if isinstance(properties, dict) else ():
        path = (*_ROOT, "properties", name)
        if not _PARAM.fullmatch(name):
            said = f'"{name[:60]}" is no name of a parameter'
            yield sources.problem("name_invalid", said, "use letters, digits and _, not a digit first", path, key=True)
        elif name == "execution_date":
            said = "every run has its logical date under this name"
            yield sources.problem("name_reserved", said, "choose another name", path, key=True)


def _inner(path: Path, schema: dict[str, Any]) -> Iterator[tuple[Path, Any]]:
    for word in _SCHEMA_BY_NAME:
        if isinstance(schema.get(word), dict):
            yield from (((*path, word, name), one) for name, one in schema[word].items())
    for word in _SCHEMA_LISTS:
        if isinstance(schema.get(word), list):
            yield from (((*path, word, index), one) for index, one in enumerate(schema[word]))
    for word in _SCHEMAS:
        if word in schema:
            yield (*path, word), schema[word]


def _wrong(path: Path, schema: dict[str, Any], root: dict[str, Any]) -> Found:
    for word, value in schema.items():
        check = _KEYWORDS.get(word)
        if check is None:
            near = nearest(word, _KEYWORDS)
            if near is not None:
                yield (*path, word), "unknown keyword of JSON Schema", f'did you mean "{near}"?'
            continue
        wanted = check(value)
        if wanted:
            yield (*path, word), f"{wanted} is wanted, and this is {_shown(value)}", f"write {wanted}"
    yield from _required(path, schema)
    yield from _default(path, schema)
    reference = schema.get("$ref")
    if isinstance(reference, str) and not _leads_within(reference, root):
        yield (*path, "$ref"), "a reference leads to a part of this schema", "write #/$defs/name"


def _required(path: Path, schema: dict[str, Any]) -> Found:
    properties, required = schema.get("properties"), schema.get("required")
    if not isinstance(properties, dict) or not isinstance(required, list):
        return
    for index, name in enumerate(required):
        if isinstance(name, str) and name not in properties and not schema.get("additionalProperties"):
            near = nearest(name, properties)
            remedy = f'did you mean "{near}"?' if near else "add it to properties"
            yield (*path, "required", index), f'properties has no "{name[:60]}"', remedy


def _default(path: Path, schema: dict[str, Any]) -> Found:
    if "default" not in schema:
        return
    value, types = schema["default"], schema.get("type")
    names = [types] if isinstance(types, str) else types if isinstance(types, list) else []
    known = [name for name in names if isinstance(name, str) and name in _TYPES]
    if known and not any(_is(value, name) for name in known):
        yield (*path, "default"), f"the default is {_shown(value)}, and not of type {known[0]}", "mend one of them"
    elif isinstance(schema.get("enum"), list) and value not in schema["enum"]:
        yield (*path, "default"), "the default is none of the values of enum", "mend one of them"


def _is(value: Any, name: str) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    return isinstance(value, _TYPES[name]) or (name == "integer" and isinstance(value, float) and value.is_integer())


def _leads_within(reference: str, root: Any) -> bool:
    if reference == "#":
        return True
    if not reference.startswith("#/"):
        return False
    for step in reference[2:].split("/"):
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(root, dict) and name in root:
            root = root[name]
        elif isinstance(root, list) and name.isdigit() and int(name) < len(root):
            root = root[int(name)]
        else:
            return False
    return True


def _shown(value: Any) -> str:
    return f'"{value[:40]}"' if isinstance(value, str) else str(value) if isinstance(value, int) else kind_of(value)


# --- keywords: each check gives what is wanted, or "" ----------------------------------------------------

Check = Callable[[Any], str]


def _of(kind: type | tuple[type, ...], wanted: str) -> Check:
    return lambda value: (
        "" if isinstance(value, kind) and not (isinstance(value, bool) and kind is not bool) else wanted
    )


def _count(value: Any) -> str:
    return (
        "" if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else "a whole number of 0 or more"
    )


def _type(value: Any) -> str:
    names = value if isinstance(value, list) else [value]
    known = bool(names) and all(isinstance(name, str) and name in _TYPES for name in names)
    return "" if known else f"one of {', '.join(_TYPES)}"


def _texts(value: Any) -> str:
    return "" if isinstance(value, list) and all(isinstance(one, str) for one in value) else "a list of texts"


def _pattern(value: Any) -> str:
    if not isinstance(value, str) or len(value) > PATTERN_CHARS_MAX:
        return f"a regular expression of at most {PATTERN_CHARS_MAX} characters"
    try:
        re.compile(value)
    except (re.error, OverflowError, RecursionError):
        return "a regular expression"
    return "a regular expression that repeats nothing repeated" if _explodes(value) else ""


_TOKEN = re.compile(
    r"(?P<back>\\[1-9]|\(\?P=)|(?P<atom>\\.|\[\^?\]?(?:\\.|[^\]\\])*\])|(?P<open>\((?:\?(?:P?<\w+>|[a-zA-Z-]*:|<?[=!]))?)"
    r"|(?P<close>\))|(?P<repeat>[*+]|\{\d*,\d*\}|\{\d+\})|(?P<other>.)",
    re.DOTALL,
)


def _explodes(pattern: str) -> bool:
    """Whether a text could be matched in ever so many ways: a repetition within another, or a back-reference."""
    open_groups = [False]  # whether each holds a repetition without end
    holds = False  # whether what was read last does
    for token in _TOKEN.finditer(pattern):
        match token.lastgroup:
            case "back":
                return True
            case "open":
                open_groups.append(False)
                holds = False
            case "close":
                holds = open_groups.pop()
                open_groups[-1] = open_groups[-1] or holds
            case "repeat" if _is_endless(token[0]):
                if holds:
                    return True
                open_groups[-1] = True
            case _:
                holds = False
    return False


def _is_endless(repeat: str) -> bool:
    most = repeat.strip("{}").rpartition(",")[2]
    return not most.isdigit() or int(most) > 100


def _any(_: Any) -> str:
    return ""


_TEXT, _FLAG, _NUMBER = _of(str, "a text"), _of(bool, "true or false"), _of((int, float), "a number")
_MAPPING, _LIST = _of(dict, "a mapping"), _of(list, "a list")

_SCHEMAS = ("items", "additionalProperties", "propertyNames", "contains", "not", "if", "then", "else")
_SCHEMA_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
_SCHEMA_BY_NAME = ("properties", "$defs", "patternProperties", "dependentSchemas")
_KEYWORDS: dict[str, Check] = {
    **dict.fromkeys(("title", "description", "format", "$comment", "$schema", "$id", "$anchor", "$ref"), _TEXT),
    **dict.fromkeys(("const", "default", *_SCHEMAS), _any),
    **dict.fromkeys(("enum", "examples", *_SCHEMA_LISTS), _LIST),
    **dict.fromkeys((*_SCHEMA_BY_NAME, "dependentRequired"), _MAPPING),
    **dict.fromkeys(("uniqueItems", "deprecated", "readOnly", "writeOnly"), _FLAG),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"), _NUMBER),
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"), _count),
    **dict.fromkeys(("minContains", "maxContains"), _count),
    "type": _type,
    "required": _texts,
    "pattern": _pattern,
    "contentMediaType": _TEXT,
    "contentEncoding": _TEXT,
}
