"""Shape: what can be said of a node as it is written, without any variable."""

from __future__ import annotations

from jinja2 import nodes

from ripresa.author.templates.problem import Problem
from ripresa.contracts.errors import TemplateForbidden


def number_of(node: nodes.Node) -> int | float | None:
    """The signed number that the node is, or None."""
    sign = 1
    while isinstance(node, nodes.Neg | nodes.Pos):
        sign = -sign if isinstance(node, nodes.Neg) else sign
        node = node.node
    if isinstance(node, nodes.Const) and type(node.value) in (int, float):
        value: int | float = sign * node.value
        return value
    return None


def start_of(node: nodes.Node) -> int:
    """The offset at which an expression begins: Jinja2 places a part at its dot, a filter at its name."""
    while True:
        inner = getattr(node, _FIRST.get(type(node), ""), None)
        if inner is None:
            return node.lineno
        node = inner[0] if isinstance(inner, list) else inner


_FIRST: dict[type[nodes.Node], str] = {
    nodes.Getattr: "node",
    nodes.Getitem: "node",
    nodes.Filter: "node",
    nodes.Compare: "expr",
    nodes.CondExpr: "expr1",
    nodes.Concat: "nodes",
}
"""Where the first operand of a node is."""


def require_constants(node: nodes.Node) -> None:
    """Refuse a list of values that are not constants: it would multiply what it holds."""
    for child in node.iter_child_nodes():
        if isinstance(child, nodes.List | nodes.Tuple | nodes.Dict | nodes.Pair):
            require_constants(child)
        elif not isinstance(child, nodes.Const) and number_of(child) is None:
            raise Problem(
                TemplateForbidden,
                "a list or object in a template holds constants only",
                remedy="write the list in YAML, with a template for each item",
                what=type(child).__name__,
                offset=child.lineno,
            )


def key_of(node: nodes.Node) -> str:
    """The key of a constant object.  Raises Problem if it is no text."""
    if isinstance(node, nodes.Const) and isinstance(node.value, str):
        return node.value
    raise Problem(
        TemplateForbidden, "the keys of an object are texts", remedy='write `{"a": 1}`', what="key", offset=node.lineno
    )
