"""Sketches: a graph as it is drawn – nodes with their kind and a few words, edges with what they want, statuses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ripresa.author.graph.plan import Dependency, Graph, Node, Part

MARKS = {
    "succeeded": "✓", "failed": "✗", "skipped": "○", "cancelled": "–", "quarantined": "■", "compensated": "↶",
    "running": "▶", "waiting": "◷", "pending": "·", "queued": "·",
}  # fmt: skip
"""A sign for each status; it says the same as its colour does."""


@dataclass(frozen=True, slots=True)
class Vertex:
    """A node as it is drawn."""

    name: str
    kind: str
    detail: str = ""
    status: str | None = None
    undoes: str | None = None
    """The node that it undoes; it is started by nothing else."""

    @property
    def mark(self) -> str:
        return MARKS.get(self.status or "", "")


@dataclass(frozen=True, slots=True)
class Arrow:
    """An edge as it is drawn; `label` is what is wanted of its origin, if that is not plain success."""

    start: str
    end: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class Area:
    """Nodes that are drawn together, by layers."""

    title: str
    layers: list[list[str]]
    arrows: list[Arrow]


@dataclass(frozen=True, slots=True)
class Sketch:
    """A graph as it is drawn."""

    name: str
    vertices: dict[str, Vertex]
    areas: list[Area]
    run: str | None = None
    status: str | None = None
    undoing: dict[str, str] = field(default_factory=dict)
    """What undoes which node."""

    def to_json(self) -> dict[str, Any]:
        """As data."""
        nodes = [
            {key: getattr(one, key) for key in ("name", "kind", "detail", "status", "undoes") if getattr(one, key)}
            for one in self.vertices.values()
        ]
        edges = [
            {"from": arrow.start, "to": arrow.end, **({"when": arrow.label} if arrow.label else {})}
            for area in self.areas
            for arrow in area.arrows
        ]
        told: dict[str, Any] = {"workflow": self.name, "nodes": nodes, "edges": edges}
        told["layers"] = {area.title or "jobs": area.layers for area in self.areas}
        return {**told, "run": self.run, "status": self.status} if self.run else told


def sketch_of(
    graph: Graph, *, statuses: Mapping[str, str] | None = None, run: str | None = None, status: str | None = None
) -> Sketch:
    """What is drawn of a graph, with the statuses of a run's nodes if they are given."""
    undone = {node.compensate: node.name for node in graph.nodes if node.compensate is not None}
    vertices = {
        name: Vertex(name, node.work.kind, _detail(node), _status(statuses, name, undone), undone.get(name))
        for name, node in graph.by_name.items()
    }
    areas = [_area("", graph.main)]
    if graph.finally_:
        areas.append(_area("finally", graph.last))
    undoing = {node.name: node.compensate for node in graph.nodes if node.compensate}
    return Sketch(graph.name, vertices, areas, run, status, undoing)


def _status(statuses: Mapping[str, str] | None, name: str, undone: Mapping[str, str]) -> str | None:
    if statuses is None:
        return None
    if name in undone:
        return statuses.get(f"undo:{undone[name]}", "skipped")
    if name in statuses:
        return statuses[name]
    return "running" if f"{name}[0]" in statuses else "pending"  # a fan-out is told of when it has ended


def _area(title: str, part: Part) -> Area:
    arrows = [Arrow(one.node, node.name, _wanted(one, node)) for node in part.nodes.values() for one in node.depends_on]
    return Area(title, [list(layer) for layer in part.layers], arrows)


def _wanted(one: Dependency, node: Node) -> str:
    if one.of_choice:
        return "chosen"
    if one.when is not None:
        return one.when
    return "" if node.run_if == "all_success" else node.run_if


def _detail(node: Node) -> str:
    """A few words on what it does."""
    step = getattr(node.work, "step", None)
    workflow = getattr(node.work, "workflow", None)
    parts = []
    if workflow is not None:
        parts.append(str(workflow.name))
    elif step is not None and node.work.kind == "python":
        parts.append(str(getattr(step, "target", "")).rpartition("/")[2])
    if node.for_each is not None:
        parts.append("for each item")
    if node.when is not None:
        parts.append("when …")
    return ", ".join(part for part in parts if part)
