"""Drawing: random programs for `programs.interpret`, and what outsiders say to them meanwhile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Any

from tests.simulation.programs import Node, Program

LEAVES = {
    **dict.fromkeys(("step",), 8),
    **dict.fromkeys(("sleep", "plain", "set", "wait", "map", "signal", "send"), 2),
    **dict.fromkeys(("handles", "nap", "blocked", "until", "publish", "dice", "patch", "again"), 1),
}
"""Kinds of leaves, and how often each is drawn."""

BRANCHES = {
    **dict.fromkeys(("sequence", "gather", "group", "first"), 3),
    **dict.fromkeys(("timeout", "caught", "cancelled", "child", "saga"), 2),
    **dict.fromkeys(("some", "completed", "wait_for", "shielded", "locked", "left", "started", "children"), 1),
}

OUTSIDE = {"signal": 4, "poke": 2, "update": 2, "query": 2, "refused": 1, "pause": 1, "resume": 1, "cancel": 1}
"""What outsiders do; `refused` is an update that its validator does not let in."""

_STEPS = {"work": 3, "longer": 3, "broken": 2, "mended": 1, "flaky": 2, "do": 3}
_DELAYS = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0)


def generate(seed: int) -> Program:
    """The program of this seed; `outside` holds `[seconds since the last, verb, word]`."""
    random = Random(seed)
    names = (f"n{i}" for i in range(1_000_000))
    return {
        "root": _branch(random, 3, names),
        "raises": random.random() < 0.5,
        "left": random.choice((0, 0, 1, 2)),
        "retry": random.random() < 0.7,
        "outside": [
            [random.choice(_DELAYS), _one_of(random, OUTSIDE), f"{random.choice('ab')}{i}"]
            for i in range(random.choice((0, 0, 2, 5)))
        ],
    }


def constructs(program: Program) -> Counter[str]:
    """How often each kind of node, step and outside verb occurs."""
    found = Counter(f"outside:{verb}" for _, verb, _ in program["outside"])
    nodes = [program["root"]]
    for node in nodes:
        found[node["kind"]] += 1
        if node["kind"] in ("step", "handles", "map"):
            found[f"step:{node['step']}"] += 1
        nodes += node["parts"]
    return found


def _one_of(random: Random, weights: dict[str, int]) -> str:
    return random.choices(list(weights), list(weights.values()))[0]


def _node(random: Random, depth: int, names: Iterator[str]) -> Node:
    if depth == 0 or random.random() < 0.35:
        return _any(random, _one_of(random, LEAVES), names, [])
    return _branch(random, depth, names)


def _branch(random: Random, depth: int, names: Iterator[str]) -> Node:
    kind = _one_of(random, BRANCHES)
    count = 1 if kind in ("child", "started") else random.randint(1, 3)
    return _any(random, kind, names, [_node(random, depth - 1, names) for _ in range(count)])


def _any(random: Random, kind: str, names: Iterator[str], parts: list[Node]) -> dict[str, Any]:
    name = next(names)
    return {
        "kind": kind,
        "name": name,
        "alone": random.randrange(1, 50_000) / 1e6,
        "step": _one_of(random, _STEPS),
        "signal": random.choice("ab"),
        "seconds": random.choice(_DELAYS),
        "items": [f"{name}.{i}" for i in range(random.randint(0, 3))],
        "width": random.choice((None, 1, 2)),
        "quiet": random.random() < 0.6,
        "raises": random.random() < 0.5,
        "parts": parts,
    }
