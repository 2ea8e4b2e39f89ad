"""Layout: where nodes and edges go – layers from top to bottom, few crossings, edges as straight as may be.

After K. Sugiyama, S. Tagawa, M. Toda, "Methods for Visual Understanding of Hierarchical System Structures"
(1981): edges over several layers get a bend in each, nodes are sorted by where their neighbours are, and each
layer is placed as near to its neighbours as widths and order allow (least squares, by pooling).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ripresa.cli.drawing.sketch import Arrow

_SWEEPS = 6
Spot = tuple[str, str, int] | str
"""A node by name, or the bend of an edge in a layer."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Layers in order, and the middle of each node and bend."""

    layers: list[list[Spot]]
    middle: dict[Spot, float]
    width: float

    def way(self, arrow: Arrow, layer_of: Mapping[str, int]) -> list[Spot]:
        """The spots that an edge goes through."""
        first, last = layer_of[arrow.start], layer_of[arrow.end]
        bends: list[Spot] = [(arrow.start, arrow.end, layer) for layer in range(first + 1, last)]
        return [arrow.start, *bends, arrow.end]


def laid_out(
    layers: Sequence[Sequence[str]], arrows: Sequence[Arrow], width_of: Callable[[Spot], float], gap: float
) -> Layout:
    """Where everything goes; `width_of` a node or bend, `gap` between two."""
    layer_of = {name: number for number, layer in enumerate(layers) for name in layer}
    spots: list[list[Spot]] = [list(layer) for layer in layers]
    up: dict[Spot, list[Spot]] = {spot: [] for layer in spots for spot in layer}
    down: dict[Spot, list[Spot]] = {spot: [] for layer in spots for spot in layer}
    for arrow in arrows:
        before: Spot = arrow.start
        for number in range(layer_of[arrow.start] + 1, layer_of[arrow.end] + 1):
            spot: Spot = arrow.end if number == layer_of[arrow.end] else (arrow.start, arrow.end, number)
            if spot not in up:
                up[spot], down[spot] = [], []
                spots[number].append(spot)
            up[spot].append(before)
            down[before].append(spot)
            before = spot
    _sort(spots, up, down)
    middle = _place(spots, up, down, width_of, gap)
    left = min((middle[spot] - width_of(spot) / 2 for layer in spots for spot in layer), default=0.0)
    middle = {spot: at - left for spot, at in middle.items()}
    width = max((middle[spot] + width_of(spot) / 2 for spot in middle), default=0.0)
    return Layout(spots, middle, width)


def _sort(layers: list[list[Spot]], up: Mapping[Spot, list[Spot]], down: Mapping[Spot, list[Spot]]) -> None:
    """Sort each layer by the mean place of its neighbours, downwards and upwards in turn."""
    for sweep in range(_SWEEPS):
        downwards = sweep % 2 == 0
        neighbours = up if downwards else down
        order = range(1, len(layers)) if downwards else range(len(layers) - 2, -1, -1)
        for number in order:
            beside = layers[number - 1 if downwards else number + 1]
            place = {spot: index for index, spot in enumerate(beside)}
            layer = layers[number]
            own = {spot: index for index, spot in enumerate(layer)}
            layer.sort(key=lambda spot: (_mean([place[one] for one in neighbours[spot]], own[spot]), own[spot]))


def _mean(places: Sequence[float], otherwise: float) -> float:
    return sum(places) / len(places) if places else otherwise


def _place(
    layers: list[list[Spot]],
    up: Mapping[Spot, list[Spot]],
    down: Mapping[Spot, list[Spot]],
    width_of: Callable[[Spot], float],
    gap: float,
) -> dict[Spot, float]:
    middle: dict[Spot, float] = {}
    for layer in layers:
        at = 0.0
        for spot in layer:
            middle[spot] = at + width_of(spot) / 2
            at += width_of(spot) + gap
    for sweep in range(_SWEEPS):
        neighbours = up if sweep % 2 == 0 else down
        for layer in layers if sweep % 2 == 0 else reversed(layers):
            wanted = [_mean([middle[one] for one in neighbours[spot]], middle[spot]) for spot in layer]
            apart = [width_of(spot) for spot in layer]
            middle.update(zip(layer, _nearest(wanted, apart, gap), strict=True))
    return middle


def _nearest(wanted: Sequence[float], widths: Sequence[float], gap: float) -> list[float]:
    """Places in this order and this far apart, as near to those wanted as can be (pool adjacent violators)."""
    offset, offsets = 0.0, [0.0]
    for before, after in pairwise(widths):
        offset += (before + after) / 2 + gap
        offsets.append(offset)
    pools: list[tuple[float, int]] = []  # the sum of what is wanted less offsets, and how many
    for want, shift in zip(wanted, offsets, strict=True):
        total, count = want - shift, 1
        while pools and pools[-1][0] / pools[-1][1] > total / count:
            other, size = pools.pop()
            total, count = total + other, count + size
        pools.append((total, count))
    placed = [total / count for total, count in pools for _ in range(count)]
    return [at + shift for at, shift in zip(placed, offsets, strict=True)]
