"""The graph of a workflow's entries, read off the file as far as it can be, and what may be wrong with it.

Works on the value as it was written rather than on the models, so that a wrong number in one job hides no wrong name in
another.  Iterative throughout: ten thousand jobs with a hundred thousand edges take a fraction of a second.
"""

from __future__ import annotations

import unicodedata
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ripresa.contracts.reading.document import Path
from ripresa.contracts.spec.entries import KINDS
from ripresa.contracts.spec.strings import entries_of

SEARCH_STEPS_MAX = 500_000
"""Edges that the search for a shortest cycle may look at; the shortest found until then is shown."""


@dataclass(slots=True)
class Node:
    """An entry, as far as it could be read.  `place` is the list that it stands in: jobs or finally."""

    name: str
    path: Path
    kind: str
    place: str
    named_at: Path
    depends: list[tuple[str, str, Path]] = field(default_factory=list)
    """Name, the end that it must have come to ("": `run_if` decides), and where that is written."""
    chooses: list[tuple[str, Path]] = field(default_factory=list)
    compensate: tuple[str, Path] | None = None
    run_if: str = "all_success"
    fans_out: bool = False
    outputs: frozenset[str] | None = None
    """The keys of its output, if it declares them."""


def nodes_of(value: Any) -> list[Node]:
    """The entries that have a kind and a name."""
    return [node for path, entry in entries_of(value) if (node := _node(path, entry)) is not None]


def _node(path: Path, entry: Mapping[str, Any]) -> Node | None:
    kind = next((kind for kind in KINDS if isinstance(entry.get(kind), dict)), None)
    if kind is None or not isinstance(entry[kind].get("name"), str):
        return None
    work = entry[kind]
    node = Node(work["name"], path, kind, str(path[1]), (*path, kind, "name"))
    node.depends = list(_depends(path, entry.get("depends_on")))
    if kind == "choice":
        node.chooses = list(_chooses((*path, kind), work))
    if isinstance(entry.get("compensate"), str):
        node.compensate = (entry["compensate"], (*path, "compensate"))
    if isinstance(entry.get("run_if"), str):
        node.run_if = entry["run_if"]
    node.fans_out = entry.get("for_each") is not None
    if kind == "job" and isinstance(work.get("outputs"), dict) and work["outputs"]:
        node.outputs = frozenset(work["outputs"])
    return node


def _depends(path: Path, given: Any) -> Iterator[tuple[str, str, Path]]:
    for index, one in enumerate(given if isinstance(given, list) else ()):
        place = (*path, "depends_on", index)
        if isinstance(one, str):
            yield one, "", place
        elif isinstance(one, dict) and isinstance(one.get("job"), str):
            yield one["job"], str(one.get("when") or ""), (*place, "job")


def _chooses(path: Path, choice: Mapping[str, Any]) -> Iterator[tuple[str, Path]]:
    cases = choice.get("cases")
    for index, case in enumerate(cases if isinstance(cases, list) else ()):
        if isinstance(case, dict) and isinstance(case.get("then"), str):
            yield case["then"], (*path, "cases", index, "then")
    if isinstance(choice.get("else"), str):
        yield choice["else"], (*path, "else")


def folded(name: str) -> str:
    """What two names have in common that look alike to a file system or a person."""
    return unicodedata.normalize("NFKC", name).casefold()


Edges = Mapping[str, Sequence[str]]


def edges_of(nodes: Iterable[Node]) -> dict[str, list[str]]:
    """What comes directly before each node: what it depends on, and the choices that choose it."""
    known = {node.name: node for node in nodes}
    before: dict[str, list[str]] = {
        name: [other for other, _, _ in node.depends if other in known and other != name]
        for name, node in known.items()
    }
    for node in known.values():
        for target, _ in node.chooses:
            if target in before and target != node.name and node.name not in before[target]:
                before[target].append(node.name)
    return before


def in_order(before: Edges) -> tuple[list[str], list[str]]:
    """The nodes in an order in which each comes after all before it, and those that a cycle keeps from having one."""
    left = {name: len(set(others)) for name, others in before.items()}
    after: dict[str, list[str]] = {name: [] for name in before}
    for name, others in before.items():
        for other in set(others):
            after[other].append(name)
    ready = deque(name for name, count in left.items() if count == 0)
    order: list[str] = []
    while ready:
        name = ready.popleft()
        order.append(name)
        for following in after[name]:
            left[following] -= 1
            if left[following] == 0:
                ready.append(following)
    done = set(order)
    return order, [name for name in before if name not in done]


def ancestors(before: Edges) -> tuple[dict[str, int], dict[str, int]]:
    """A bit for each node, and by node the bits of all that runs before it; all bits for those that a cycle keeps.

    One number for a node, so that ten thousand of them are quick.
    """
    bits = {name: 1 << place for place, name in enumerate(before)}
    order, stuck = in_order(before)
    found = dict.fromkeys(stuck, -1)
    for name in order:
        above = 0
        for other in before[name]:
            above |= found[other] | bits[other]
        found[name] = above
    return bits, found


def shortest_cycle(before: Edges, among: Sequence[str]) -> list[str]:
    """A shortest cycle among these nodes, each needing the next: `[a, b, c, a]`."""
    inside = set(among)
    best: list[str] = []
    steps = 0
    for start in among:
        if best and (steps > SEARCH_STEPS_MAX or len(best) == 3):
            break
        came_from = {start: ""}
        waiting = deque([(start, 1)])
        found = ""
        while waiting and not found:
            name, depth = waiting.popleft()
            if best and depth >= len(best) - 1:
                break
            for other in before[name]:
                steps += 1
                if other == start:
                    found = name
                    break
                if other in inside and other not in came_from:
                    came_from[other] = name
                    waiting.append((other, depth + 1))
        if found:
            way = [start]
            while found:
                way.append(found)
                found = came_from[found]
            best = way[::-1]
    return best
