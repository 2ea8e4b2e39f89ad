"""Dependencies that go without saying: an entry whose templates read what another one left runs after that one.

What is read must be there, so `{{ steps.extract.output.rows }}` says as much as `depends_on: [extract]`.  A template
that takes the step's status, or has a default, is content with any end: it waits for the step to be done.  Nothing is
added where an order is written already, directly or by way of others.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ripresa.contracts.reading.document import Path
from ripresa.contracts.spec.check_templates import ReferenceLike, TemplateLike
from ripresa.contracts.spec.graph import ancestors, edges_of, nodes_of
from ripresa.contracts.spec.sources import Sources


def imply(sources: Sources, templates: Iterable[tuple[Path, TemplateLike]]) -> None:
    """Write what is implied into `depends_on` of the value."""
    nodes = nodes_of(sources.value)
    by_path = {node.path: node for node in nodes}
    by_name = {node.name: node for node in nodes}
    undoes = {node.compensate[0] for node in nodes if node.compensate}
    wanted: dict[str, dict[str, bool]] = {}
    for path, template in templates:
        node = by_path.get(path[:3])
        if node is None or node.name in undoes:
            continue
        for reference in template.references:
            if reference.path[:1] == ("steps",) and len(reference.path) > 1:
                other = by_name.get(reference.path[1])
                if other is not None and other is not node and other.place == node.place and other.name not in undoes:
                    read = wanted.setdefault(node.name, {})
                    read[other.name] = read.get(other.name, True) and _any_end(reference)
    if not wanted:
        return
    bits, above = ancestors(edges_of(nodes))
    for name, read in wanted.items():
        new = [
            {"job": other, "when": "done"} if any_end else other
            for other, any_end in read.items()
            if not above[name] & bits[other] and not above[other] & bits[name]
        ]
        if new:
            _write(sources.at(by_name[name].path), new)


def _any_end(reference: ReferenceLike) -> bool:
    """Whether any end of the step will do."""
    return reference.optional or reference.path[2:3] in {("status",), ("error",)}


def _write(entry: Any, new: list[Any]) -> None:
    written = entry.get("depends_on")
    if written is None or isinstance(written, list):
        entry["depends_on"] = [*(written or ()), *new]
