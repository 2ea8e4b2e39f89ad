"""Mermaid: a graph as a flowchart that documents and code hosts draw."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ripresa.cli.drawing.sketch import Sketch, Vertex

_SHAPES = {
    "choice": ("{{", "}}"), "wait": ("([", "])"), "signal": (">", "]"), "workflow": ("[[", "]]"),
}  # fmt: skip
_STYLES = {
    "succeeded": "fill:#d7f5dd,stroke:#2e7d32,color:#1b4d1f",
    "failed": "fill:#fddcdc,stroke:#c62828,color:#7f1d1d",
    "quarantined": "fill:#f3e0f7,stroke:#8e24aa,color:#4a148c",
    "running": "fill:#d9f1f7,stroke:#00838f,color:#004d56",
    "waiting": "fill:#dfe8fb,stroke:#1565c0,color:#0d3c78",
    "cancelled": "fill:#fdf1d3,stroke:#b7791f,color:#6b4a10",
    "compensated": "fill:#fdf1d3,stroke:#b7791f,color:#6b4a10",
    "skipped": "fill:#f2f2f2,stroke:#9e9e9e,color:#616161,stroke-dasharray:4 3",
    "pending": "fill:#ffffff,stroke:#bdbdbd,color:#757575",
}


def lines(sketch: Sketch) -> Iterator[str]:
    """The flowchart, line by line."""
    ids = {name: f"n{number}_{re.sub(r'[^A-Za-z0-9]', '_', name)}" for number, name in enumerate(sketch.vertices)}
    yield "flowchart TD"
    for area in sketch.areas:
        inside = "    "
        if area.title:
            yield f"    subgraph {area.title}_area [{area.title}]"
            inside = "        "
        for layer in area.layers:
            for name in layer:
                yield f"{inside}{ids[name]}{_shape(sketch.vertices[name])}"
        for arrow in area.arrows:
            label = f"|{arrow.label}|" if arrow.label else ""
            yield f"{inside}{ids[arrow.start]} -->{label} {ids[arrow.end]}"
        if area.title:
            yield "    end"
    for node, undo in sketch.undoing.items():
        yield f"    {ids[undo]}{_shape(sketch.vertices[undo])}"
        yield f"    {ids[node]} -.->|undone by| {ids[undo]}"
    yield from _styles(sketch, ids)


def _shape(vertex: Vertex) -> str:
    left, right = _SHAPES.get(vertex.kind, ("[", "]"))
    detail = f"<br/><small>{_escaped(vertex.detail)}</small>" if vertex.detail else ""
    mark = f"{vertex.mark} " if vertex.mark else ""
    return f'{left}"{mark}{_escaped(vertex.name)}{detail}"{right}'


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")


def _styles(sketch: Sketch, ids: dict[str, str]) -> Iterator[str]:
    used: dict[str, list[str]] = {}
    for name, vertex in sketch.vertices.items():
        if vertex.status in _STYLES:
            used.setdefault(vertex.status or "", []).append(ids[name])
    for status, names in used.items():
        yield f"    classDef {status} {_STYLES[status]}"
        yield f"    class {','.join(names)} {status}"
