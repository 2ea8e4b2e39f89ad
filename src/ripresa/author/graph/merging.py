"""Merging: what nodes change of `params` for those after them.

A node sees the changes of all nodes before it.  Of two changes of one key the later one stands, if one of
the two nodes comes before the other; if neither does, nobody can say which is later, and the node where
they meet fails.  So the outcome never depends on which of two parallel nodes was quicker.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ripresa.contracts.errors import RipresaError
from ripresa.contracts.status import FailureClass

RESERVED = frozenset(
    (
        *("execution_date", "ds", "ts", "prev_execution_date", "next_execution_date", "data_interval_start"),
        *("data_interval_end", "run_id", "params", "config", "steps", "item", "index", "context"),
    )
)
"""Names with a meaning of their own: no node may change them."""


class Written(NamedTuple):
    """A value that a node has given a key, and the nodes whose values of that key it knew."""

    value: Any
    by: str
    over: frozenset[str]


Changes = Mapping[str, Written]
NONE: Changes = {}


class UpdateConflict(RipresaError):
    """Two parallel nodes have changed one key, or a node a reserved one: let one of them do it, or order them."""

    failure_class = FailureClass.TERMINAL
    code = "update_conflict"


def merged(upstream: Iterable[Changes]) -> Changes:
    """The changes that a node sees.  Raises UpdateConflict."""
    known = list({id(changes): changes for changes in upstream if changes}.values())
    if len(known) < 2:
        return known[0] if known else NONE
    found: dict[str, Written] = {}
    rivals: list[tuple[str, Written]] = []
    for changes in known:
        for key, written in changes.items():
            other = found.get(key)
            if other is None or other.by in written.over:
                found[key] = written
            elif other.by != written.by and written.by not in other.over:
                rivals.append((key, written))
    for key, written in rivals:  # one that came later may know of both
        if written.by not in found[key].over and written.by != found[key].by:
            raise UpdateConflict(
                f"params.{key}: {found[key].by} and {written.by} have both changed it, and neither comes before the"
                " other: let one of them do it, or make one depend on the other"
            )
    return found


def changed(seen: Changes, updates: Mapping[str, Any], by: str) -> Changes:
    """What those after `by` see.  Raises UpdateConflict."""
    for key in updates:
        if key in RESERVED or key.startswith("_"):
            raise UpdateConflict(f"context_updates.{key}: {by} may not change it: the name is reserved; choose another")
    new = dict(seen)
    for key, value in updates.items():
        known = seen.get(key)
        new[key] = Written(value, by, frozenset() if known is None else known.over | {known.by})
    return new


def values_of(changes: Changes) -> dict[str, Any]:
    """Keys and values alone."""
    return {key: written.value for key, written in changes.items()}
