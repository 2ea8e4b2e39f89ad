"""Paths: what `params.region`, `files[0]` and `row[item.key]` lead to, and what is said where they lead nowhere.

Only dicts have parts by name, only lists and texts parts by number: no attribute of a Python object is ever read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ripresa.author.templates.names import DATES, TEXTS, VARIABLES, did_you_mean
from ripresa.author.templates.problem import Problem
from ripresa.author.templates.values import kind_of, shown
from ripresa.contracts.errors import TemplateForbidden, TemplateUndefined, TemplateValue

Variables = Mapping[str, Any]
Evaluate = Callable[[Variables], Any]
Link = tuple[Any, Evaluate | None, str, int]
"""One `.name` or `[…]`: its constant key, or the function that gives it; how it is written; its offset."""


class Missing:
    """Something that is not there, and what can be said about it."""

    __slots__ = ("key", "known", "offset", "problem", "remedy")

    def __init__(
        self, key: object, problem: str, offset: int, *, remedy: str = "", known: Mapping[str, Any] | None = None
    ) -> None:
        self.key = key
        self.problem = problem
        self.offset = offset
        self.remedy = remedy
        self.known = known

    def raised(self) -> Problem:
        """The error of whoever needs it; the search for a near name is made only now."""
        remedy = self.remedy if self.known is None else did_you_mean(self.key, self.known)
        return Problem(TemplateUndefined, self.problem, remedy=remedy, what=shown(self.key), offset=self.offset)


def variable_of(name: str, offset: int) -> Evaluate:
    """The variable, or `Missing`."""

    def variable(variables: Variables) -> Any:
        try:
            return variables[name]
        except KeyError:
            return Missing(name, f"`{name}` has no value here", offset, known=variables)

    return variable


def followed(base: Evaluate, name: str, links: list[Link]) -> Evaluate:
    """What stands at the end of the links; `Missing` at the first that leads nowhere."""
    if not links:
        return base

    def follow(variables: Variables) -> Any:
        value = base(variables)
        for position, (constant, dynamic, _, offset) in enumerate(links):
            if type(value) is Missing:
                return value
            key = constant if dynamic is None else _dynamic(dynamic(variables), offset)
            if type(value) is dict and type(key) is str and key in value:
                value = value[key]
            else:
                written = name + "".join(link[2] for link in links[:position])
                value = _part(value, key, written, offset)
        return value

    return follow


def _part(value: Any, key: Any, written: str, offset: int) -> Any:
    """One part of a value by key or index, or `Missing`."""
    if isinstance(value, Mapping) and isinstance(key, str):
        if key in value:
            return value[key]
        problem = f"`{written}` has no {shown(key)}"
        if written == "steps":
            problem = f"there is no step {shown(key)}, or it has not run"
        return Missing(key, problem, offset, known=value)
    if isinstance(value, list | tuple | str) and type(key) is int:
        if -len(value) <= key < len(value):
            return value[key]
        problem = f"`{written}` has {len(value)} items, and no number {key}"
        return Missing(key, problem, offset, remedy="items are counted from 0")
    problem = f"`{written}` is {kind_of(value)}, which has no part {shown(key)}"
    return Missing(key, problem, offset, remedy="objects have parts by name, lists by number")


def _dynamic(key: Any, offset: int) -> Any:
    if type(key) is not str and type(key) is not int:
        raise Problem(
            TemplateValue,
            f"{kind_of(key)} stands in […]",
            remedy="a part is named by a text or a whole number",
            offset=offset,
        )
    require_open(key, offset)
    return key


def require_open(key: object, offset: int) -> None:
    """Refuse a key with a leading underscore: such are nobody's data."""
    if isinstance(key, str) and key.startswith("_"):
        raise Problem(
            TemplateForbidden,
            f"{shown(key)} begins with an underscore",
            remedy="rename the key, or hand its value on under another name",
            what=shown(key),
            offset=offset,
        )


def require_variable(name: str, offset: int) -> None:
    """Refuse a name that no run has."""
    if name not in VARIABLES:
        raise Problem(
            TemplateForbidden,
            f"`{name}` is no variable of templates",
            remedy=did_you_mean(name, VARIABLES),
            what=name,
            offset=offset,
        )


def require_parts(name: str, link: Link, offset: int) -> None:
    """Refuse a part of a variable that has none."""
    if name in DATES:
        problem, remedy = f"`{name}` is a date and has no parts", f'write `{name} | date("%Y-%m-%d")`'
    elif name in TEXTS and isinstance(link[0], str):
        problem, remedy = f"`{name}` is a text and has no parts", "use it as it is, or behind a filter"
    else:
        return
    raise Problem(TemplateForbidden, problem, remedy=remedy, what=f"{name}{link[2]}", offset=offset)
