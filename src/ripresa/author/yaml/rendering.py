"""Rendering: the fields of an entry as expressions – templates are read once, and rendered when the node starts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ripresa.author.templates import Template, is_template
from ripresa.author.templates.template import render_tree

if TYPE_CHECKING:
    from ripresa.author.graph.plan import Expression, Values


def expression(value: Any, where: str) -> Expression:
    """A text with templates, or any value that holds such texts."""
    if isinstance(value, str) and is_template(value):
        return Template.parse(value, where).render
    if isinstance(value, Mapping | list):
        return lambda values: render_tree(value, values, where)
    return lambda _: value


def condition(value: Any, where: str) -> Expression:
    """A condition: true, false, or a template that gives one of them."""
    if isinstance(value, bool):
        return lambda _: value
    return Template.parse(value, where).holds


def text(value: str, where: str) -> Expression:
    """A text for an argument or variable: what is no text is written as JSON, null as nothing."""
    if not is_template(value):
        return lambda _: value
    template = Template.parse(value, where)
    return lambda values: _as_text(template.render(values))


def texts(values: Mapping[str, str], where: str) -> Expression:
    """The same, of each value of a mapping."""
    each = {key: text(value, f"{where}.{key}") for key, value in values.items()}
    return lambda given: {key: one(given) for key, one in each.items()}


def listed(values: list[str], where: str) -> Expression:
    """The same, of each text of a list."""
    each = [text(value, f"{where}[{place}]") for place, value in enumerate(values)]
    return lambda given: tuple(one(given) for one in each)


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def config_names(templates: list[Template]) -> frozenset[str]:
    """The keys of `config` that the templates read."""
    return frozenset(path[1] for one in templates for path in one.names if path[0] == "config" and len(path) > 1)


def without(values: Values, *names: str) -> dict[str, Any]:
    """The values but for these."""
    return {name: value for name, value in values.items() if name not in names}
