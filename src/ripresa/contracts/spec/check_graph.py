"""The graph in order: names once, dependencies that exist, no cycles, nothing that can never run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ripresa.contracts.problems import Problem, nearest
from ripresa.contracts.reading.document import Path
from ripresa.contracts.spec.graph import Edges, Node, edges_of, folded, in_order, shortest_cycle
from ripresa.contracts.spec.sources import Sources

CYCLE_SHOWN_MAX = 12


def graph_problems(sources: Sources, nodes: list[Node]) -> Iterator[Problem]:
    """All that is wrong with the names and edges of the entries."""
    yield from _duplicates(sources, nodes)
    known = {node.name: node for node in nodes}
    undoes = {node.compensate[0] for node in nodes if node.compensate}
    for node in nodes:
        yield from _dependencies(sources, node, known, undoes)
        yield from _choices(sources, node, known, undoes)
        yield from _compensations(sources, node, known)
    before = edges_of(nodes)
    order, stuck = in_order(before)
    if stuck:
        yield _cycle(sources, known, before, stuck)
    yield from _never(sources, known, order)


def _duplicates(sources: Sources, nodes: Iterable[Node]) -> Iterator[Problem]:
    seen: dict[str, Node] = {}
    for node in nodes:
        first = seen.setdefault(folded(node.name), node)
        if first is not node:
            line, _ = sources.position(first.named_at)
            alike = "the same name" if first.name == node.name else f"nearly the same name ({first.name})"
            said = f"the entry on line {line} has {alike}"
            yield sources.problem("duplicate_name", said, "rename one", node.named_at)


def _dependencies(sources: Sources, node: Node, known: dict[str, Node], undoes: set[str]) -> Iterator[Problem]:
    seen: set[str] = set()
    for name, _, path in node.depends:
        other = known.get(name)
        if name == node.name:
            yield sources.problem("self_dependency", "it depends on itself", "remove it", path)
        elif other is None:
            yield _unknown(sources, name, path, known, node.place)
        elif name in seen:
            yield sources.problem("duplicate_dependency", f"{name} is listed twice", "list it once", path)
        elif other.place != node.place:
            said = f"{name} stands in {other.place}:, this in {node.place}:"
            yield sources.problem("unreachable", said, "finally: begins when all jobs have ended; remove it", path)
        elif name in undoes:
            said = f"{name} runs only to undo another entry, so this would never start"
            yield sources.problem("unreachable", said, "depend on an entry that runs", path)
        seen.add(name)


def _choices(sources: Sources, node: Node, known: dict[str, Node], undoes: set[str]) -> Iterator[Problem]:
    for name, path in node.chooses:
        other = known.get(name)
        if other is None:
            yield _unknown(sources, name, path, known, node.place)
        elif name == node.name:
            yield sources.problem("self_dependency", "it chooses itself", "name another entry", path)
        elif other.place != node.place or name in undoes:
            why = "undoes another entry" if name in undoes else f"stands in {other.place}:"
            said = f"{name} cannot be chosen: it {why}"
            yield sources.problem("unreachable", said, f"name an entry of {node.place}:", path)


def _compensations(sources: Sources, node: Node, known: dict[str, Node]) -> Iterator[Problem]:
    if node.compensate is None:
        return
    name, path = node.compensate
    other = known.get(name)
    if other is None:
        yield _unknown(sources, name, path, known, "jobs")
    elif name == node.name:
        yield sources.problem("self_dependency", "it undoes itself", "name another entry", path)
    elif other.place != "jobs" or node.place != "jobs":
        said = "what stands in finally: neither undoes nor is undone"
        yield sources.problem("compensation_invalid", said, "move it into jobs:", path)
    elif other.depends or other.compensate:
        has = "depends_on" if other.depends else "compensate"
        said = f"{name} undoes, and so has no place in the graph, but it has {has}"
        yield sources.problem("compensation_invalid", said, f"remove {has} there", path)


def _unknown(sources: Sources, name: str, path: tuple[str | int, ...], known: dict[str, Node], place: str) -> Problem:
    near = nearest(name, known)
    there = [other.name for other in known.values() if other.place == place]
    shown = ", ".join(there[:10]) + (", …" if len(there) > 10 else "")
    remedy = "" if near else f"there are: {shown}"
    return sources.problem("unknown_entry", f'there is no entry "{name[:60]}"', remedy, path, did_you_mean=near)


def _cycle(sources: Sources, known: dict[str, Node], before: Edges, stuck: list[str]) -> Problem:
    cycle = shortest_cycle(before, stuck)
    shown = cycle if len(cycle) <= CYCLE_SHOWN_MAX else [*cycle[: CYCLE_SHOWN_MAX - 2], "…", cycle[-1]]
    node = known[cycle[0]]
    path = next((path for name, _, path in node.depends if name == cycle[1]), node.named_at)
    said = f"a cycle of {len(cycle) - 1}: {' needs '.join(shown)}"
    return sources.problem("cycle", said, "remove one of these dependencies", path)


def _never(sources: Sources, known: dict[str, Node], order: list[str]) -> Iterator[Problem]:
    """Entries that need two branches of one choice, of which only one is taken."""
    chosen_by: dict[str, set[str]] = {}
    for node in known.values():
        for target, _ in node.chooses:
            chosen_by.setdefault(target, set()).add(node.name)
    if not chosen_by:
        return
    needs: dict[str, dict[str, str]] = {}
    for name in order:
        node = known[name]
        branches: dict[str, str] = {}
        for other, path in _needed(node):
            for choice, branch in needs.get(other, {}).items():
                if branches.setdefault(choice, branch) != branch:
                    said = f"it needs both {branches[choice]} and {branch}, and {choice} takes only one of them"
                    yield sources.problem("unreachable", said, "write run_if: none_failed", path)
                    branches[choice] = branch
        if len(chosen_by.get(name, ())) == 1:
            branches[next(iter(chosen_by[name]))] = name
        needs[name] = branches


def _needed(node: Node) -> Iterator[tuple[str, Path]]:
    """The entries that must succeed for this one to start."""
    for other, end, path in node.depends:
        if end == "succeeded" or (not end and node.run_if == "all_success"):
            yield other, path
