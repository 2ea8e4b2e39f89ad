"""Words: what a check of the models found wrong, in the voice of the contract.

Every kind of error that pydantic can raise for these models is told here; a test feeds them all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

_KINDS = {dict: "a mapping", list: "a list", str: "a text", bool: "a boolean", int: "a number", float: "a number"}
_FLAGS = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}


class Wrong(NamedTuple):
    """What pydantic found: the type of its error, the error's context, the value, the value as it was typed."""

    kind: str
    context: dict[str, Any]
    value: Any
    raw: str


class Told(NamedTuple):
    """A problem's code, message and remedy."""

    code: str
    message: str
    remedy: str


def told(wrong: Wrong) -> Told:
    """The words for it."""
    tell = _WORDS.get(wrong.kind)
    return tell(wrong) if tell else Told("invalid", f"{kind_of(wrong.value)} does not fit here", "mend the value")


def kind_of(value: Any) -> str:
    """What the value is, in words."""
    return "nothing" if value is None else _KINDS.get(type(value), "something else")


def _always(code: str, message: str, remedy: str) -> Callable[[Wrong], Told]:
    return lambda _: Told(code, message, remedy)


def _wants(wanted: str, remedy: str) -> Callable[[Wrong], Told]:
    def tell(wrong: Wrong) -> Told:
        if wrong.value is None:
            return Told("type_wrong", f"there is no value, and {wanted} is wanted", f"{remedy}, or remove the field")
        return Told("type_wrong", f"{wanted} is wanted, and this is {kind_of(wrong.value)}", remedy)

    return tell


def _text(wrong: Wrong) -> Told:
    if isinstance(wrong.value, bool | int | float):
        said = f"a text is wanted, and {wrong.raw} is {kind_of(wrong.value)}"
        return Told("type_wrong", said, f'write it in quotes: "{wrong.raw}"')
    return _wants("a text", "write one text")(wrong)


def _list(wrong: Wrong) -> Told:
    if isinstance(wrong.value, str) and len(wrong.value) < 60:
        return Told("type_wrong", "a list is wanted, and this is a text", f"write [{wrong.value}]")
    return _wants("a list", "write [ … ], or lines that begin with a dash")(wrong)


def _number(wrong: Wrong) -> Told:
    text = wrong.value.strip() if isinstance(wrong.value, str) else ""
    if text.lstrip("-").isdigit() and len(text) < 20:
        return Told("type_wrong", "a number is wanted, and this is a text", f"write {text} without quotes")
    if isinstance(wrong.value, float):
        return Told("type_wrong", f"a whole number is wanted, and {wrong.raw} is not one", "write a whole number")
    return _wants("a number", "write a number")(wrong)


def _flag(wrong: Wrong) -> Told:
    meant = _FLAGS.get(str(wrong.value).lower(), "true or false")
    return Told("type_wrong", f"true or false is wanted, and this is {kind_of(wrong.value)}", f"write {meant}")


def _one_of(wrong: Wrong) -> Told:
    """The values that there are, by number of them told in the message, too."""
    expected = wrong.context.get("expected") or wrong.context.get("expected_tags") or ""
    values = str(expected).replace("'", "").replace(" or ", ", ")
    given = wrong.context.get("tag") or wrong.value
    shown = f'"{given[:60]}"' if isinstance(given, str) else kind_of(given)
    return Told("value_unknown", f"{shown} is not one of {values}", f"write one of {values}")


def _limit(words: str, key: str) -> Callable[[Wrong], Told]:
    def tell(wrong: Wrong) -> Told:
        bound = f"{words} {wrong.context[key]:,}"
        return Told("out_of_range", f"{wrong.raw[:40]} is not {bound}", f"write {bound}")

    return tell


def _few(wrong: Wrong) -> Told:
    least = wrong.context["min_length"]
    there = len(wrong.value) if hasattr(wrong.value, "__len__") else 0
    return Told("too_few", f"there are {there} items, and at least {least} must be", "add what is missing")


def _many(wrong: Wrong) -> Told:
    most = wrong.context["max_length"]
    return Told("too_many", f"there are {len(wrong.value):,} items, and at most {most:,} may be", "split it")


_WORDS: dict[str, Callable[[Wrong], Told]] = {
    "missing": _always("missing", "this field is required", "add it"),
    "extra_forbidden": _always("unknown_field", "unknown field", "remove it"),
    "model_type": _wants("a mapping", "write its fields below it, indented"),
    "model_attributes_type": _wants("a mapping", "write its fields below it, indented"),
    "dict_type": _wants("a mapping", "write `key: value` lines below it, indented"),
    "list_type": _list,
    "string_type": _text,
    "int_type": _number,
    "int_from_float": _number,
    "float_type": _number,
    "bool_type": _flag,
    "literal_error": _one_of,
    "union_tag_invalid": _one_of,
    "union_tag_not_found": _always("missing", "its type is not given", "write type: email, slack or webhook"),
    "greater_than_equal": _limit("at least", "ge"),
    "less_than_equal": _limit("at most", "le"),
    "too_short": _few,
    "too_long": _many,
    "string_too_short": _always("too_few", "the text is empty", "write it"),
}
