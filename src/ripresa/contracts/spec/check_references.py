"""References: what templates read must be there when they are rendered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ripresa.contracts.problems import Problem, nearest
from ripresa.contracts.reading.document import Path
from ripresa.contracts.spec.check_templates import TemplateLike
from ripresa.contracts.spec.graph import Node, ancestors, edges_of
from ripresa.contracts.spec.sources import Sources

_BEFORE_THE_RUN = (("workflow", "idempotency_key"), ("workflow", "concurrency", "key"))


def reference_problems(
    sources: Sources, nodes: list[Node], templates: Iterable[tuple[Path, TemplateLike]]
) -> Iterator[Problem]:
    """A problem for each reference to a step, parameter or item that cannot be there."""
    seen = _Surroundings(sources, nodes)
    for path, template in templates:
        for reference in template.references:
            problem = seen.problem_of(path, reference.path, optional=reference.optional)
            if problem is not None:
                yield problem


class _Surroundings:
    """What a template finds around it."""

    def __init__(self, sources: Sources, nodes: list[Node]) -> None:
        self._sources = sources
        self._by_name = {node.name: node for node in nodes}
        self._by_path = {node.path: node for node in nodes}
        self._undoes = {node.compensate[0] for node in nodes if node.compensate}
        self._params = _declared(sources.at(("workflow", "input")))
        self._before = edges_of(nodes)
        self._ancestors: tuple[dict[str, int], dict[str, int]] | None = None

    def problem_of(self, path: Path, reads: tuple[str, ...], *, optional: bool) -> Problem | None:
        node = self._by_path.get(path[:3])
        match reads:
            case ("steps", name, *rest):
                return self._step(path, node, name, rest)
            case ("params", name, *_) if self._params is not None and name not in self._params and not optional:
                remedy = "declare it in input.properties"
                near = nearest(name, self._params)
                return self._sources.problem(
                    "unknown_reference", f'input declares no "{name[:60]}"', remedy, path, did_you_mean=near
                )
            case ("item" | "index" as name, *_) if path[0] == "workflow":
                if node is None or not node.fans_out or path[3:4] == ("for_each",):
                    said = f"{name} is there only within an entry with for_each"
                    return self._sources.problem("unknown_reference", said, "add for_each, or use params", path)
        return None

    def _step(self, path: Path, node: Node | None, name: str, rest: list[str]) -> Problem | None:
        if path[0] != "workflow":
            return self._said(path, "a job that stands alone sees no steps", "use params")
        if path in _BEFORE_THE_RUN:
            return self._said(path, "no step has run when this is looked at", "use params")
        other = self._by_name.get(name)
        if other is None:
            near = nearest(name, self._by_name)
            said = f'there is no entry "{name[:60]}"'
            return self._sources.problem("unknown_reference", said, "name an entry", path, did_you_mean=near)
        if node is not None and (problem := self._order(path, node, other)):
            return problem
        return self._output(path, other, rest)

    def _output(self, path: Path, other: Node, rest: list[str]) -> Problem | None:
        if rest[:1] != ["output"] or len(rest) < 2 or other.outputs is None or other.fans_out:
            return None
        if rest[1] in other.outputs:
            return None
        said = f'{other.name} declares no output "{rest[1][:60]}"'
        near = nearest(rest[1], other.outputs)
        return self._sources.problem("unknown_reference", said, "add it to outputs:", path, did_you_mean=near)

    def _order(self, path: Path, node: Node, other: Node) -> Problem | None:
        if node is other:
            return self._said(path, "it would need its own output", "name another entry")
        if node.name in self._undoes or (node.place == "finally" and other.place == "jobs"):
            return None
        if other.place != node.place:
            return self._said(path, f"{other.name} runs at the end, in finally:", "name an entry of jobs:")
        if not self._runs_before(other.name, node.name):
            return self._said(path, f"{other.name} need not have run before", f"add {other.name} to depends_on")
        return None

    def _said(self, path: Path, message: str, remedy: str) -> Problem:
        return self._sources.problem("unknown_reference", message, remedy, path)

    def _runs_before(self, first: str, second: str) -> bool:
        if self._ancestors is None:
            self._ancestors = ancestors(self._before)
        bits, above = self._ancestors
        return bool(above[second] & bits[first])


def _declared(schema: Any) -> frozenset[str] | None:
    """The parameters that an input schema declares; None: any may be given."""
    if not isinstance(schema, dict) or not isinstance(schema.get("properties"), dict) or not schema["properties"]:
        return None
    return None if schema.get("additionalProperties") else frozenset(schema["properties"])
