"""Plans: a graph as data – what each node does, what it waits for, and under which condition it starts.

YAML, `DAG` with `>>` and pipeline groups are all compiled to a `Graph`, and nothing but a `Graph` is run.
A graph is checked when it is made: every problem is found at once, in time linear in nodes and edges.
Invariant: the nodes of a `Graph` have names of their own, all that they depend on exists, and no node
depends on itself over others, so that walking it always comes to an end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from ripresa.author.graph.works import Work
    from ripresa.kernel.retry import Retry

RunIf = Literal["all_success", "all_done", "any_failed", "none_failed", "any_success"]
"""What must have become of the nodes that a node depends on plainly, for it to start."""
When = Literal["succeeded", "failed", "skipped", "done", "quarantined"]
"""What must have become of one node, for another to start."""
OnError = Literal["stop", "continue", "quarantine"]
OnFailure = Literal["stop", "abort", "continue"]

Values = Mapping[str, Any]
"""What the values of a node may refer to: `params`, `steps`, dates, and in a fan-out `item` and `index`."""
Expression = Callable[[Values], Any]
"""A value worked out when its node starts; may raise, and then the node fails."""

RUN_IFS: tuple[RunIf, ...] = ("all_success", "all_done", "any_failed", "none_failed", "any_success")
WHENS: tuple[When, ...] = ("succeeded", "failed", "skipped", "done", "quarantined")
ON_ERRORS: tuple[OnError, ...] = ("stop", "continue", "quarantine")
ON_FAILURES: tuple[OnFailure, ...] = ("stop", "abort", "continue")


@dataclass(frozen=True, slots=True)
class Dependency:
    """That a node waits for another; `when` None leaves it to `run_if` what is wanted of it."""

    node: str
    when: When | None = None
    of_choice: bool = False
    """The other is a choice, and must have chosen this node."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForEach:
    """A fan-out: the node's work is done for each item of a list.

    `max_parallel` items at a time (None: all).  `min_success`: how many must succeed (None: all).  `batch`: so many
    items make one.
    """

    items: Expression
    max_parallel: int | None = None
    min_success: int | None = None
    batch: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One node.  `timeout_us` limits it as a whole, in microseconds; the limit of one attempt is its step's."""

    name: str
    work: Work
    depends_on: tuple[Dependency, ...] = ()
    run_if: RunIf = "all_success"
    when: Expression | None = None
    """Asked when its dependencies allow; False: it is skipped."""
    on_error: OnError = "stop"
    for_each: ForEach | None = None
    timeout_us: int | None = None
    retry: Retry | None = None
    """Of work that is no step; a step has its own."""
    compensate: str | None = None
    """The node that undoes this one."""
    uses: frozenset[str] = frozenset()
    """The nodes whose outputs its values refer to; each must come before it."""
    description: str = ""


@dataclass(frozen=True, kw_only=True)
class Graph:
    """A graph of nodes, checked.  Raises GraphError with all that is wrong.

    `on_failure`: stop – what depends on a failed node does not start; abort – nothing new starts, and what runs is
    cancelled; continue – what depends on it starts all the same.  `output` works out the run's output; without it, it
    is that of the last node, or of the last ones by name.
    """

    name: str
    nodes: tuple[Node, ...]
    finally_: tuple[Node, ...] = ()
    """These run at the end, whatever happened."""
    on_failure: OnFailure = "stop"
    timeout_us: int | None = None
    output: Expression | None = None
    places: Mapping[str, str] = field(default_factory=dict)
    """Where each node was written, as `workflow.jobs[2]`, for messages."""

    def __post_init__(self) -> None:
        from ripresa.author.graph.checks import check  # noqa: PLC0415 - it checks graphs, so it knows them

        object.__setattr__(self, "nodes", _linked(self.nodes))
        check(self)

    @cached_property
    def by_name(self) -> dict[str, Node]:
        """All nodes: those of the course, those that undo, those of `finally`."""
        return {node.name: node for node in (*self.nodes, *self.finally_)}

    @cached_property
    def undoing(self) -> frozenset[str]:
        """Nodes that only run to undo another."""
        return frozenset(node.compensate for node in self.nodes if node.compensate is not None)

    @cached_property
    def main(self) -> Part:
        """What is walked first."""
        return Part(tuple(node for node in self.nodes if node.name not in self.undoing))

    @cached_property
    def last(self) -> Part:
        """What is walked at the end."""
        return Part(self.finally_)


def _linked(nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    """The nodes, those that a choice may choose depending on it."""
    choosers: dict[str, list[str]] = {}
    for node in nodes:
        for target in dict.fromkeys(node.work.targets):
            choosers.setdefault(target, []).append(node.name)
    if not choosers:
        return nodes
    return tuple(_chosen_by(node, choosers.get(node.name, [])) for node in nodes)


def _chosen_by(node: Node, choices: list[str]) -> Node:
    if not choices:
        return node
    others = tuple(one for one in node.depends_on if one.node not in choices)
    return replace(node, depends_on=(*(Dependency(choice, of_choice=True) for choice in choices), *others))


class Part:
    """Nodes that are walked together, with their dependencies turned round."""

    def __init__(self, nodes: tuple[Node, ...]) -> None:
        self.nodes = {node.name: node for node in nodes}
        self.downstream: dict[str, list[str]] = {node.name: [] for node in nodes}
        for node in nodes:
            for dependency in node.depends_on:
                self.downstream[dependency.node].append(node.name)

    @cached_property
    def layers(self) -> list[list[str]]:
        """Node names by the length of the longest way to them; each layer in the order of writing."""
        waits = {name: len(node.depends_on) for name, node in self.nodes.items()}
        layer = [name for name, count in waits.items() if not count]
        place = {name: index for index, name in enumerate(self.nodes)}
        found: list[list[str]] = []
        while layer:
            found.append(layer)
            following = []
            for name in layer:
                for after in self.downstream[name]:
                    waits[after] -= 1
                    if not waits[after]:
                        following.append(after)
            layer = sorted(following, key=place.__getitem__)
        return found

    @cached_property
    def order(self) -> list[str]:
        """Node names in topological order."""
        return [name for layer in self.layers for name in layer]

    @cached_property
    def leaves(self) -> list[str]:
        """Nodes that nothing waits for."""
        return [name for name, after in self.downstream.items() if not after]
