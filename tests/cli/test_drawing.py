"""Drawings: every node and edge is there, nothing overlaps, and large graphs become lists."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from ripresa.cli.drawing.boxes import drawn
from ripresa.cli.drawing.layout import laid_out
from ripresa.cli.drawing.sketch import Area, Arrow, Sketch, Vertex


def sketch(edges, names=(), statuses=None):
    names = list(dict.fromkeys([*names, *(name for edge in edges for name in edge)]))
    depth = dict.fromkeys(names, 0)
    for _ in names:
        for start, end in edges:
            depth[end] = max(depth[end], depth[start] + 1)
    layers = [[name for name in names if depth[name] == level] for level in range(max(depth.values()) + 1)]
    vertices = {name: Vertex(name, "python", status=(statuses or {}).get(name)) for name in names}
    return Sketch("g", vertices, [Area("", layers, [Arrow(*edge) for edge in edges])])


def text(drawing):
    return ["".join(piece.text for piece in line).rstrip() for line in drawing]


def test_a_diamond():
    assert text(drawn(sketch([("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")]), 80)) == [
        "    ┌───┐",
        "    │ a │",
        "    └─┬─┘",
        "  ┌───┴──┐",
        "  ▼      ▼",
        "┌───┐  ┌───┐",
        "│ b │  │ c │",
        "└─┬─┘  └─┬─┘",
        "  └───┬──┘",
        "      ▼",
        "    ┌───┐",
        "    │ d │",
        "    └───┘",
    ]


def test_what_is_too_wide_becomes_a_list():
    edges = [("root", f"leaf{number}") for number in range(40)]
    lines = text(drawn(sketch(edges), 80))
    assert lines[0].split() == ["1", "root"]
    assert lines[1].split() == ["2", "leaf0", "←", "root"]
    assert len(lines) == 41


def test_without_unicode_the_drawing_is_ascii():
    lines = text(drawn(sketch([("a", "b")], statuses={"a": "succeeded"}), 80, ascii_only=True))
    assert all(line.isascii() for line in lines)
    assert "+ a" in lines[1]


@pytest.mark.parametrize("seed", range(20))
def test_no_two_boxes_of_a_layer_overlap_and_every_node_is_drawn(seed):
    dice = random.Random(seed)
    names = [f"node{number}" for number in range(dice.randint(2, 14))]
    edges = sorted({
        (names[dice.randrange(end)], names[end]) for end in range(1, len(names)) for _ in range(dice.randint(1, 3))
    })  # fmt: skip
    made = sketch(edges, names)
    area = made.areas[0]
    wide = lambda spot: len(spot) + 4 if isinstance(spot, str) else 1  # noqa: E731 - one line
    layout = laid_out(area.layers, area.arrows, wide, 2)
    for layer in layout.layers:
        for before, after in pairwise(layer):
            apart = layout.middle[after] - layout.middle[before]
            assert apart >= (wide(before) + wide(after)) / 2 + 2 - 1e-6
    whole = "\n".join(text(drawn(made, 10_000)))
    assert all(f" {name} " in whole for name in names)
    assert whole.count("▼") >= len({end for _, end in edges})
