"""Rules: whether a node starts, from what became of the nodes that it depends on.  Pure.

A node is decided once all that it depends on has ended.  Each dependency with a condition of its own
(`when`, or a choice) must hold; `run_if` looks at the others.

| run_if        | the node starts if of the nodes that it depends on plainly |
|---|---|
| all_success   | each succeeded, or failed with `on_error: continue` |
| none_failed   | none failed, or with `on_error: continue`; those that were skipped do not matter |
| any_success   | one succeeded |
| any_failed    | one failed |
| all_done      | – whatever became of them |

A node counts as failed here too if its dependencies had it skipped and one of them counts as failed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ripresa.contracts.status import StepStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ripresa.author.graph.plan import Dependency, Node


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a node, as those after it see it."""

    status: StepStatus
    tolerated: bool = False
    """It failed, and what depends on it starts all the same."""
    blocked: bool = False
    """It was skipped since something before it failed or was stopped."""
    chosen: frozenset[str] = frozenset()
    """A choice's nodes."""

    @property
    def failed(self) -> bool:
        return self.blocked or self.status in _FAILED

    @property
    def hurts(self) -> bool:
        """It failed, and is not tolerated."""
        return self.failed and not self.tolerated

    @property
    def said(self) -> str:
        return "was skipped" if self.status is StepStatus.SKIPPED else self.status.value


_FAILED = frozenset({StepStatus.FAILED, StepStatus.CANCELLED, StepStatus.QUARANTINED})


@dataclass(frozen=True, slots=True)
class Skip:
    """The node does not start, and why."""

    reason: str
    blocked: bool = False


def decide(node: Node, settled: Mapping[str, Settled]) -> Skip | None:
    """None: the node starts.  All that it depends on is in `settled`."""
    reason = _reason(node, settled)
    if reason is None:
        return None
    return Skip(reason, any(settled[one.node].hurts for one in node.depends_on))


def _reason(node: Node, settled: Mapping[str, Settled]) -> str | None:
    plain = []
    for one in node.depends_on:
        upstream = settled[one.node]
        if one.when is None and not one.of_choice:
            plain.append((one.node, upstream))
        elif not _holds(node.name, one, upstream):
            return _unmet(one, upstream)
    return _RUN_IF[node.run_if](plain) if plain else None


def _holds(name: str, one: Dependency, upstream: Settled) -> bool:
    if one.of_choice:
        return name in upstream.chosen
    return one.when in ("done", upstream.status.value)


def _unmet(one: Dependency, upstream: Settled) -> str:
    if one.of_choice and upstream.status is StepStatus.SUCCEEDED:
        return f"{one.node} chose {', '.join(sorted(upstream.chosen)) or 'nothing'}"
    return f"{one.node} {upstream.said}"


def _all_success(plain: Sequence[tuple[str, Settled]]) -> str | None:
    for name, one in plain:
        if one.status is not StepStatus.SUCCEEDED and not one.tolerated:
            return f"{name} {one.said}"
    return None


def _none_failed(plain: Sequence[tuple[str, Settled]]) -> str | None:
    return next((f"{name} {one.said}" for name, one in plain if one.hurts), None)


def _any_success(plain: Sequence[tuple[str, Settled]]) -> str | None:
    if any(one.status is StepStatus.SUCCEEDED for _, one in plain):
        return None
    return f"none succeeded of {_listed(plain)}"


def _any_failed(plain: Sequence[tuple[str, Settled]]) -> str | None:
    return None if any(one.failed for _, one in plain) else f"none failed of {_listed(plain)}"


def _all_done(_: Sequence[tuple[str, Settled]]) -> str | None:
    return None


def _listed(plain: Sequence[tuple[str, Settled]]) -> str:
    names = [name for name, _ in plain[:5]]
    return ", ".join(names) + (f" and {len(plain) - 5} more" if len(plain) > 5 else "")


_RUN_IF: dict[str, Callable[[Sequence[tuple[str, Settled]]], str | None]] = {
    "all_success": _all_success,
    "none_failed": _none_failed,
    "any_success": _any_success,
    "any_failed": _any_failed,
    "all_done": _all_done,
}
