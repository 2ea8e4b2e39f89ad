"""Refused: what Jinja2 has and templates have not, in words, and what to write instead."""

from __future__ import annotations

from jinja2 import nodes

from ripresa.author.templates.filters import FILTERS
from ripresa.author.templates.problem import Problem
from ripresa.contracts.errors import TemplateForbidden

_ELSEWHERE = "compute it in a step, and use its output"
_ARITHMETIC: dict[type[nodes.Node], str] = {
    nodes.Add: "+",
    nodes.Sub: "-",
    nodes.Mul: "*",
    nodes.Div: "/",
    nodes.FloorDiv: "//",
    nodes.Mod: "%",
    nodes.Pow: "**",
    nodes.Neg: "-",
    nodes.Pos: "+",
}
_METHODS = {"strftime": "date", "isoformat": "string", "get": "default", "strip": "trim", "format": "replace"}


def refusal(node: nodes.Node) -> Problem:
    """The Problem of a node that no template may have."""
    sign = _ARITHMETIC.get(type(node))
    if sign is not None:
        remedy = f"texts are joined by `~`; numbers: {_ELSEWHERE}" if sign in "+%" else _ELSEWHERE
        return _forbidden(node, f"`{sign}` is arithmetic", remedy)
    if isinstance(node, nodes.Call):
        return _call(node)
    if isinstance(node, nodes.Test):
        return _forbidden(node, f"`is {node.name}` is a test", _instead_of_test(node.name))
    if isinstance(node, nodes.Slice):
        return _forbidden(node, "`[a:b]` is a slice", "take one item by its number, or `| first` and `| last`")
    return _forbidden(node, f"{type(node).__name__} is no part of templates", _ELSEWHERE)


def _call(node: nodes.Call) -> Problem:
    name = ""
    if isinstance(node.node, nodes.Getattr):
        name = node.node.attr
    elif isinstance(node.node, nodes.Name):
        name = node.node.name
    instead = _METHODS.get(name, name)
    remedy = f"there is a filter: `… | {FILTERS[instead].usage(instead)}`" if instead in FILTERS else _ELSEWHERE
    return _forbidden(node, f"`{name or '…'}(…)` is a call", remedy)


def _instead_of_test(name: str) -> str:
    if name in {"defined", "undefined", "none"}:
        return "write `… | default(none)`, and compare with `== none`"
    return "compare with `==`, `<`, `in` …"


def _forbidden(node: nodes.Node, problem: str, remedy: str) -> Problem:
    return Problem(
        TemplateForbidden,
        f"{problem}, which templates do not have",
        remedy=remedy,
        what=type(node).__name__,
        offset=node.lineno,
    )
