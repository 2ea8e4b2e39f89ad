"""Checks: what is wrong with a graph, all of it at once, in time linear in nodes and edges.

Nothing here recurses: a graph may be as deep as it has nodes.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from difflib import get_close_matches
from typing import TYPE_CHECKING

from ripresa.author.graph.ancestry import Ancestry
from ripresa.author.graph.plan import ON_ERRORS, ON_FAILURES, RUN_IFS, WHENS
from ripresa.contracts.errors import GraphError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ripresa.author.graph.plan import Graph, Node

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,200}")
_NEAR_MAX = 2_000
"""Names among which a misspelt one is looked for."""
_SEARCH_EDGES_PER_EDGE = 8
"""How much is spent on finding the shortest cycle: so many looks at an edge for each edge there is."""
_BRANCHES_MAX = 64
"""Choices over one another that are followed to find nodes which can never start."""


def check(graph: Graph) -> None:
    """Raise GraphError with all that is wrong."""
    problems = [*_names(graph), *_options(graph)]
    problems += _dependencies(graph) if not problems else []
    problems += _undoings(graph) if not problems else []
    if not problems:
        problems = _cycles(graph) or [*_never(graph), *_uses(graph)]
    if problems:
        raise GraphError(graph.name, problems)


def _at(graph: Graph, name: str) -> str:
    place = graph.places.get(name)
    return name if place is None else f"{place} ({name})"


def _near(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, list(known)[:_NEAR_MAX], 1)
    return f'; did you mean "{near[0]}"?' if near else ""


# --- one node at a time ------------------------------------------------------------------------


def _names(graph: Graph) -> Iterator[str]:
    counts = Counter(node.name for node in (*graph.nodes, *graph.finally_))
    for name, count in counts.items():
        if count > 1:
            yield f"{_at(graph, name)}: {count} nodes have this name; give each a name of its own"
        if not _NAME.fullmatch(name):
            yield f"{name!r}: a node's name is made of letters, digits, _, . and -, at most 200"
    if not graph.nodes:
        yield "it has no nodes; give it at least one"


def _options(graph: Graph) -> Iterator[str]:
    if graph.on_failure not in ON_FAILURES:
        yield f"on_failure: {graph.on_failure!r} is not one of {', '.join(ON_FAILURES)}"
    for node in (*graph.nodes, *graph.finally_):
        at = _at(graph, node.name)
        if node.run_if not in RUN_IFS:
            yield f"{at}: run_if: {node.run_if!r} is not one of {', '.join(RUN_IFS)}{_near(node.run_if, RUN_IFS)}"
        if node.on_error not in ON_ERRORS:
            yield f"{at}: on_error: {node.on_error!r} is not one of {', '.join(ON_ERRORS)}"
        for one in node.depends_on:
            if one.when is not None and one.when not in WHENS:
                yield f"{at}: depends_on: when: {one.when!r} is not one of {', '.join(WHENS)}{_near(one.when, WHENS)}"
        if node.for_each is not None:
            yield from _fan_out(at, node)


def _fan_out(at: str, node: Node) -> Iterator[str]:
    each = node.for_each
    assert each is not None  # noqa: S101 - the caller has looked
    if not node.work.repeatable:
        yield f"{at}: for_each: a {node.work.kind} is done once; only work can be done for each item"
    for name, value, least in (("max_parallel", each.max_parallel, 1), ("batch", each.batch, 1)):
        if value is not None and value < least:
            yield f"{at}: {name}: {value} is not 1 or more"
    if each.min_success is not None and each.min_success < 0:
        yield f"{at}: min_success: {each.min_success} is less than 0"


def _dependencies(graph: Graph) -> Iterator[str]:
    parts = {node.name: "finally" for node in graph.finally_} | {node.name: "jobs" for node in graph.nodes}
    for node in (*graph.nodes, *graph.finally_):
        at = _at(graph, node.name)
        seen: set[str] = set()
        for one in node.depends_on:
            if one.node == node.name:
                yield f"{at}: depends_on: it depends on itself"
            elif one.node in seen:
                yield f"{at}: depends_on: {one.node!r} stands there twice; say once what is wanted of it"
            elif not one.of_choice:
                yield from _known(f"{at}: depends_on", one.node, node, parts)
            seen.add(one.node)
        for target in node.work.targets:
            yield from _known(f"{at}: it may choose", target, node, parts)
        for used in node.uses:
            if used not in parts:
                yield f"{at}: steps.{used}: there is no node {used!r}{_near(used, parts)}"


def _known(what: str, name: str, node: Node, parts: dict[str, str]) -> Iterator[str]:
    if name not in parts:
        yield f"{what}: there is no node {name!r}{_near(name, parts)}"
    elif parts[name] != parts[node.name]:
        yield f"{what}: {name!r} is in `{parts[name]}`, and this is in `{parts[node.name]}`"


def _undoings(graph: Graph) -> Iterator[str]:
    undoing = graph.undoing
    for node in graph.nodes:
        at = _at(graph, node.name)
        if node.compensate is not None:
            yield from _undoing(f"{at}: compensate", node, node.compensate, graph)
        if node.name in undoing and (node.depends_on or node.compensate or node.for_each or node.when):
            yield f"{at}: it undoes another node, so it takes no depends_on, when, for_each or compensate"
        for one in node.depends_on:
            if one.node in undoing:
                yield f"{at}: depends_on: {one.node!r} only runs to undo another node, so this would never start"
    for node in graph.finally_:
        if node.compensate is not None or node.name in undoing:
            yield f"{_at(graph, node.name)}: what stands in `finally` neither undoes nor is undone"


def _undoing(what: str, node: Node, name: str, graph: Graph) -> Iterator[str]:
    if name not in graph.by_name:
        yield f"{what}: there is no node {name!r}{_near(name, graph.by_name)}"
    elif name == node.name:
        yield f"{what}: it cannot undo itself"
    elif not graph.by_name[name].work.recorded:
        yield f"{what}: {name!r} is a {graph.by_name[name].work.kind}; only a step can undo"
    if not node.work.repeatable:
        yield f"{what}: a {node.work.kind} does nothing that could be undone"


# --- cycles ------------------------------------------------------------------------------------


def _cycles(graph: Graph) -> list[str]:
    edges = {node.name: [one.node for one in node.depends_on] for node in (*graph.nodes, *graph.finally_)}
    tangled = _tangled(edges)
    if not tangled:
        return []
    names = _shortest_cycle(tangled)[::-1]  # as the work would go, not as it is depended on
    place = {name: number for number, name in enumerate(edges)}
    first = names.index(min(names, key=place.__getitem__))
    names = names[first:] + names[:first]
    shown = " -> ".join([*names, names[0]]) if len(names) <= 12 else " -> ".join([*names[:11], "…", names[0]])
    return [f"{_at(graph, names[0])}: depends_on: a cycle: {shown}; take one of these dependencies away"]


def _tangled(edges: dict[str, list[str]]) -> dict[str, list[str]]:
    """What is left when nodes that no cycle goes through are taken away: no way in, or no way out."""
    left = _peeled(edges)
    turned: dict[str, list[str]] = {name: [] for name in left}
    for name, others in left.items():
        for other in others:
            turned[other].append(name)
    kept = _peeled(turned)
    return {name: [other for other in left[name] if other in kept] for name in kept}


def _peeled(edges: dict[str, list[str]]) -> dict[str, list[str]]:
    """Without the nodes that have no edge out, again and again."""
    counts = {name: len(others) for name, others in edges.items()}
    coming: dict[str, list[str]] = {name: [] for name in edges}
    for name, others in edges.items():
        for other in others:
            coming[other].append(name)
    ends = deque(name for name, count in counts.items() if not count)
    while ends:
        for name in coming[ends.popleft()]:
            counts[name] -= 1
            if not counts[name]:
                ends.append(name)
    return {name: [other for other in others if counts[other]] for name, others in edges.items() if counts[name]}


def _shortest_cycle(edges: dict[str, list[str]]) -> list[str]:
    """The shortest cycle, or in a very large tangle a short one: the search is as long as the tangle is large."""
    left = _SEARCH_EDGES_PER_EDGE * (len(edges) + sum(map(len, edges.values())))
    best = _some_cycle(edges)
    for start in edges:
        if len(best) == 2 or left < 0:
            break
        found, spent = _cycle_through(start, edges, shorter_than=len(best))
        left -= spent
        best = found or best
    return best


def _some_cycle(edges: dict[str, list[str]]) -> list[str]:
    """Every node of a tangle leads on, so that following any way comes round."""
    place: dict[str, int] = {}
    name = next(iter(edges))
    while name not in place:
        place[name] = len(place)
        name = edges[name][0]
    return list(place)[place[name] :]


def _cycle_through(start: str, edges: dict[str, list[str]], *, shorter_than: int) -> tuple[list[str], int]:
    """The shortest cycle through `start`, and how many edges were looked at."""
    came: dict[str, str] = {}
    layer, depth, spent = [start], 1, 0
    while layer and depth < shorter_than:
        following = []
        for name in layer:
            for other in edges[name]:
                spent += 1
                if other == start:
                    return _way_back(came, name, start), spent
                if other not in came:
                    came[other] = name
                    following.append(other)
        layer, depth = following, depth + 1
    return [], spent


def _way_back(came: dict[str, str], end: str, start: str) -> list[str]:
    way = [end]
    while way[-1] != start:
        way.append(came[way[-1]])
    return way[::-1]


# --- nodes that can never start, and values that are not there yet --------------------------------


def _never(graph: Graph) -> Iterator[str]:
    for node in (*graph.nodes, *graph.finally_):
        plain = [one for one in node.depends_on if one.when is None and not one.of_choice]
        if node.run_if in ("any_failed", "any_success") and not plain:
            yield (
                f"{_at(graph, node.name)}: run_if: {node.run_if} looks at the nodes in depends_on without `when`,"
                " and there is none: it would never start"
            )
    if any(node.work.targets for node in graph.nodes):
        yield from _exclusive(graph)


def _exclusive(graph: Graph) -> Iterator[str]:
    """Nodes that want two branches of which a choice chooses only one."""
    needs: dict[str, dict[str, frozenset[int]]] = {}
    for name in graph.main.order:
        node = graph.by_name[name]
        wanted: dict[str, frozenset[int]] = {}
        for one in node.depends_on:
            upstream = needs[one.node]
            if one.of_choice:
                upstream = {**upstream, one.node: _outcomes(graph.by_name[one.node], name)}
            elif not (one.when == "succeeded" or (one.when is None and node.run_if == "all_success")):
                continue
            if not wanted:
                wanted = upstream
            elif wanted is not upstream:
                wanted = {**wanted, **{c: (o & wanted[c] if c in wanted else o) for c, o in upstream.items()}}
        impossible = [choice for choice, outcomes in wanted.items() if not outcomes]
        if impossible:
            yield (
                f"{_at(graph, name)}: it would never start: it wants branches of which {impossible[0]!r} chooses one;"
                " say run_if: none_failed, or any_success"
            )
            wanted = {}
        needs[name] = wanted if len(wanted) <= _BRANCHES_MAX else {}


def _outcomes(choice: Node, target: str) -> frozenset[int]:
    """The cases of the choice, by number, that choose the target."""
    return frozenset(number for number, targets in enumerate(choice.work.branches) if target in targets)


def _uses(graph: Graph) -> Iterator[str]:
    undone = {node.compensate: node.name for node in graph.nodes if node.compensate}
    last = {node.name for node in graph.finally_}
    ancestry = Ancestry({name: {one.node for one in node.depends_on} for name, node in graph.by_name.items()})
    for node in (*graph.nodes, *graph.finally_):
        at = undone.get(node.name, node.name)  # what undoes a node knows what that knew, and its output
        for used in node.uses:
            if (at != node.name and used == at) or (node.name in last and used not in last):
                continue
            if not ancestry.before(at, used):
                yield (
                    f"{_at(graph, node.name)}: it uses steps.{used}, which need not have ended by then:"
                    f" add {used!r} to its depends_on"
                )
