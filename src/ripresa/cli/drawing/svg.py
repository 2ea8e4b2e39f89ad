"""SVG: a graph as a picture that stands by itself – text that can be read out and searched, light and dark."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from ripresa.cli.drawing.layout import Layout, Spot, laid_out

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ripresa.cli.drawing.sketch import Area, Arrow, Sketch, Vertex

_LETTER = 7.3
"""Width of a letter of the names, in pixels; a little more than it is, so that nothing is cut."""
_SMALL = 5.7
_HEIGHT, _APART, _BETWEEN, _MARGIN = 46.0, 54.0, 26.0, 24.0
_WIDE_MIN, _BEND = 96.0, 8.0

_STYLE = """
    svg { --ink: #1f2933; --soft: #6b7785; --line: #9aa5b1; --paper: #ffffff; --box: #f7f9fb; --edge: #cbd2d9; }
    @media (prefers-color-scheme: dark) {
      svg { --ink: #e4e7eb; --soft: #9aa5b1; --line: #6b7785; --paper: #15191e; --box: #1f2630; --edge: #3e4c59; }
    }
    .paper { fill: var(--paper); }
    text { font: 13px ui-sans-serif, system-ui, "Segoe UI", Roboto, sans-serif; fill: var(--ink); }
    .detail, .label, .area { font-size: 10.5px; fill: var(--soft); }
    .title { font-size: 15px; font-weight: 600; }
    .box { fill: var(--box); stroke: var(--edge); stroke-width: 1.2; }
    .way { fill: none; stroke: var(--line); stroke-width: 1.4; }
    .undo { stroke-dasharray: 4 3; }
    .tip { fill: var(--line); }
    .succeeded .box { stroke: #2e9e4f; } .succeeded .mark { fill: #2e9e4f; }
    .failed .box { stroke: #d64545; stroke-width: 2; } .failed .mark { fill: #d64545; }
    .quarantined .box { stroke: #a14fc0; stroke-width: 2; } .quarantined .mark { fill: #a14fc0; }
    .running .box { stroke: #1295a8; stroke-width: 2; } .running .mark { fill: #1295a8; }
    .waiting .box { stroke: #3f7fd6; } .waiting .mark { fill: #3f7fd6; }
    .cancelled .box, .compensated .box { stroke: #c98a1b; } .cancelled .mark, .compensated .mark { fill: #c98a1b; }
    .skipped .box, .pending .box { stroke-dasharray: 4 3; } .skipped text, .pending text { fill: var(--soft); }
"""


def lines(sketch: Sketch) -> Iterator[str]:
    """The picture, line by line."""
    placed = [_Placed(sketch, area) for area in sketch.areas]
    width = max(320.0, *(one.layout.width for one in placed)) + 2 * _MARGIN
    top = 56.0
    tops = []
    for one in placed:
        top += 22.0 if one.area.title else 0.0
        tops.append(top)
        top += one.height + 18.0
    undoing = [f"{node} is undone by {undo}" for node, undo in sketch.undoing.items()]
    height = top + 18.0 * len(undoing) + _MARGIN - 18.0
    said = f"{sketch.name}, run {sketch.run}: {sketch.status}" if sketch.run else sketch.name
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}"'
        f' height="{height:.0f}" role="img" aria-label="{escape(said)}">'
    )
    yield f"  <title>{escape(said)}</title>"
    yield f"  <style>{_STYLE}  </style>"
    yield (
        '  <defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"'
        ' orient="auto-start-reverse"><path class="tip" d="M0 0.8 L7.4 4 L0 7.2 z"/></marker></defs>'
    )
    yield f'  <rect class="paper" width="{width:.0f}" height="{height:.0f}" rx="10"/>'
    yield f'  <text class="title" x="{_MARGIN:.0f}" y="34">{escape(said)}</text>'
    for one, at in zip(placed, tops, strict=True):
        yield from one.lines((width - one.layout.width) / 2, at)
    for number, text in enumerate(undoing):
        yield f'  <text class="area" x="{_MARGIN:.0f}" y="{top + 18.0 * number:.0f}">{escape(text)}</text>'
    yield "</svg>"


class _Placed:
    """An area with its places."""

    def __init__(self, sketch: Sketch, area: Area) -> None:
        self._sketch = sketch
        self.area = area
        self.layout: Layout = laid_out(area.layers, area.arrows, self._width_of, _BETWEEN)
        self.height = len(area.layers) * _HEIGHT + (len(area.layers) - 1) * _APART
        self._layer_of = {name: number for number, layer in enumerate(area.layers) for name in layer}

    def _width_of(self, spot: Spot) -> float:
        if not isinstance(spot, str):
            return _BEND
        vertex = self._sketch.vertices[spot]
        wide = len(vertex.name) * _LETTER + (18 if vertex.mark else 0)
        return max(_WIDE_MIN, wide + 26, len(_detail(vertex)) * _SMALL + 26)

    def lines(self, left: float, top: float) -> Iterator[str]:
        """The area's part of the picture."""
        if self.area.title:
            yield f'  <text class="area" x="{_MARGIN:.0f}" y="{top - 8:.0f}">{escape(self.area.title)}</text>'
        for arrow in self.area.arrows:
            yield from self._way(arrow, left, top)
        for layer in self.area.layers:
            for name in layer:
                yield from self._box(self._sketch.vertices[name], left, top)

    def _y(self, layer: int) -> float:
        return layer * (_HEIGHT + _APART)

    def _way(self, arrow: Arrow, left: float, top: float) -> Iterator[str]:
        spots = self.layout.way(arrow, self._layer_of)
        first = self._layer_of[arrow.start]
        x, y = left + self.layout.middle[spots[0]], top + self._y(first) + _HEIGHT
        path = [f"M{x:.1f} {y:.1f}"]
        for number, spot in enumerate(spots[1:], first + 1):
            to_x, to_y = left + self.layout.middle[spot], top + self._y(number)
            half = (y + to_y) / 2
            path.append(f"C{x:.1f} {half:.1f} {to_x:.1f} {half:.1f} {to_x:.1f} {to_y:.1f}")
            x, y = to_x, to_y
            if not isinstance(spot, str):
                y = to_y + _HEIGHT
                path.append(f"L{x:.1f} {y:.1f}")
        yield f'  <path class="way" marker-end="url(#tip)" d="{" ".join(path)}"/>'
        if arrow.label:
            yield f'  <text class="label" x="{x + 6:.1f}" y="{y - 8:.1f}">{escape(arrow.label)}</text>'

    def _box(self, vertex: Vertex, left: float, top: float) -> Iterator[str]:
        wide = self._width_of(vertex.name)
        x = left + self.layout.middle[vertex.name] - wide / 2
        y = top + self._y(self._layer_of[vertex.name])
        round_by = {"wait": 23, "signal": 23, "choice": 14}.get(vertex.kind, 7)
        yield f'  <g class="{vertex.status or "plain"}"><title>{escape(_said(vertex))}</title>'
        yield (
            f'    <rect class="box" x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{_HEIGHT:.0f}" rx="{round_by}"/>'
        )
        detail = _detail(vertex)
        base = y + (20 if detail else 28)
        middle = x + wide / 2
        mark = f'<tspan class="mark">{vertex.mark}</tspan> ' if vertex.mark else ""
        yield f'    <text x="{middle:.1f}" y="{base:.1f}" text-anchor="middle">{mark}{escape(vertex.name)}</text>'
        if detail:
            at = f'x="{middle:.1f}" y="{y + 36:.1f}"'
            yield f'    <text class="detail" {at} text-anchor="middle">{escape(detail)}</text>'
        yield "  </g>"


def _detail(vertex: Vertex) -> str:
    said = ", ".join(part for part in (vertex.kind, vertex.detail) if part)
    return said if len(said) <= 40 else f"{said[:39]}…"


def _said(vertex: Vertex) -> str:
    return ": ".join(part for part in (vertex.name, vertex.kind, vertex.detail, vertex.status or "") if part)
