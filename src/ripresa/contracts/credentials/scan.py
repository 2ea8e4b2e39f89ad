"""Scan: credentials that stand in a definition as they are, and texts with them struck out."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate

from ripresa.contracts.credentials.names import hints_at_credential, is_literal, is_random, promises_credential
from ripresa.contracts.credentials.shapes import AUTHORIZATION, PRIVATE_KEY, USERINFO, shapes

MASK = "•••"
_ASSIGNED = re.compile(
    r"(?P<name>(?:--?)?[A-Za-z][A-Za-z0-9_-]{0,60})(?P<between>=|[\"']\s{0,3}:\s{0,3})"
    r"(?P<quote>[\"']?)(?P<value>[^\s\"',;&|{}()<>]{1,300})"
)
_FLAG = re.compile(r"(?P<name>--[A-Za-z][A-Za-z0-9-]{0,60})\s{1,3}(?P<quote>[\"']?)(?P<value>[^\s\"'-][^\s\"']{0,300})")
_USER = re.compile(
    r"\bcurl\b[^|;&]{0,200}?\s(?:-u|--user)[ =]?[\"']?[A-Za-z0-9_.@-]{1,60}:(?P<value>[^\s\"'{}$]{1,200})"
)
_LINE = re.compile(r"(?P<name>[A-Za-z][A-Za-z0-9_-]{0,60})[\"']?(?:\s{0,3}[:=]|[\"']?,)\s{0,5}(?P<value>[^\s\[{].*)")
_RUN = re.compile(r"[A-Za-z0-9+/_=-]{40,}")


def found_in(texts: Sequence[str]) -> Iterator[tuple[int, str, str]]:
    """The texts that hold a credential of a known shape: index, what it is, the credential.

    All texts are searched at once: a definition of a thousand jobs costs a few milliseconds.
    """
    whole = "\n".join(texts)
    starts = list(accumulate((len(text) + 1 for text in texts), initial=0))
    for shape in shapes():
        if shape.holds in whole:
            for found in shape.expression.finditer(whole):
                yield bisect_right(starts, found.start()) - 1, shape.what, found[0]
    for what, marks, expression in _MARKED:
        for mark in marks:
            for value, start in _around(mark, expression, whole):
                if what != "a password in an address" or is_literal(value):
                    yield bisect_right(starts, start) - 1, what, value


_MARKED = (
    ("a private key", ("-----BEGIN",), PRIVATE_KEY),
    ("a password in an address", ("://",), USERINFO),
    ("an authorization", ("earer", "EARER", "asic", "ASIC", "oken", "OKEN"), AUTHORIZATION),
    ("a password", ("curl",), _USER),
)
"""Expressions that begin with anything: they are tried only around a text that each of theirs holds."""
BEFORE, AFTER = 40, 700


def _around(mark: str, expression: re.Pattern[str], whole: str) -> Iterator[tuple[str, int]]:
    """What the expression finds near the mark, and where."""
    at = whole.find(mark)
    while at >= 0:
        found = expression.search(whole, max(0, at - BEFORE), at + AFTER)
        if found and found.start() <= at:
            yield found["value"] if "value" in expression.groupindex else found[0], found.start()
        at = whole.find(mark, at + len(mark))


def assigned_in(text: str, *, prose: bool = False) -> Iterator[tuple[str, str]]:
    """`NAME=value`, `"name": "value"` and `--name value` in a text, whose name promises a credential: name, value.

    In `prose`, what follows `--name` is the sentence.
    """
    for expression in (_ASSIGNED,) if prose else (_ASSIGNED, _FLAG):
        for found in expression.finditer(text):
            name, value = found["name"].lstrip("-"), found["value"]
            if promises_credential(name) and is_literal(value) and not value.startswith(("-", "*", "%", "`", "\\")):
                yield name, value


def named(name: str, value: object) -> bool:
    """Whether a key of this name and its value are a credential."""
    if promises_credential(name):
        return is_literal(value)
    return hints_at_credential(name) and is_random(value)


def masked(text: str) -> str:
    """The text with all that looks like a credential struck out; for messages and source lines."""
    for _, _, value in list(found_in([text])):
        text = text.replace(value, MASK)
    if "-----BEGIN" in text or "-----END" in text:
        return MASK
    for found in _LINE.finditer(text):
        if promises_credential(found["name"]) and is_literal(found["value"].strip(" \"',")):
            text = text.replace(found["value"], MASK)
    for _, value in list(assigned_in(text)):
        text = text.replace(value, MASK)
    return _RUN.sub(lambda run: MASK if is_random(run[0]) else run[0], text)
