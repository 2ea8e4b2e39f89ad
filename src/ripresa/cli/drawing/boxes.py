"""Boxes: a graph drawn with characters, layer under layer; a list of it where it would be too wide.

┌─────────┐
│ extract │
└────┬────┘
┌──────┴──────┐
▼             ▼
┌───────┐     ┌───────┐
│ score │     │ pause │
└───────┘     └───────┘
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from ripresa.cli.drawing.layout import Layout, Spot, laid_out

if TYPE_CHECKING:
    from ripresa.cli.drawing.sketch import Area, Arrow, Sketch, Vertex

_NODES_MAX = 200
_UP, _DOWN, _LEFT, _RIGHT = 1, 2, 4, 8
_LINES = {
    0: " ", _UP | _DOWN: "│", _LEFT | _RIGHT: "─", _UP | _RIGHT: "└", _UP | _LEFT: "┘", _DOWN | _RIGHT: "┌",
    _DOWN | _LEFT: "┐", _UP | _DOWN | _RIGHT: "├", _UP | _DOWN | _LEFT: "┤", _LEFT | _RIGHT | _DOWN: "┬",
    _LEFT | _RIGHT | _UP: "┴", _UP | _DOWN | _LEFT | _RIGHT: "┼", _UP: "│", _DOWN: "│", _LEFT: "─", _RIGHT: "─",
}  # fmt: skip
_ASCII = str.maketrans("┌┐└┘├┤┬┴┼│─▼✓✗○■↶▶◷·–…", "+++++++++|-v+xo#<>@.-.")


class Piece(NamedTuple):
    """A part of a line, and the status whose colour it has."""

    text: str
    status: str | None = None


Line = list[Piece]


def drawn(sketch: Sketch, width: int, *, ascii_only: bool = False) -> list[Line]:
    """The lines of the drawing; a list if it would be wider than `width` or has very many nodes."""
    lines: list[Line] = []
    for area in sketch.areas:
        if area.title:
            lines.append([Piece(f"── {area.title} ──")])
        made = _boxes(sketch, area, width) if len(sketch.vertices) <= _NODES_MAX else None
        lines += made if made is not None else list(_listed(sketch, area))
    lines += [[Piece(f"{node} is undone by {undo}")] for node, undo in sketch.undoing.items()]
    if ascii_only:
        return [[Piece(piece.text.translate(_ASCII), piece.status) for piece in line] for line in lines]
    return lines


# --- boxes -------------------------------------------------------------------------------------


def label_of(vertex: Vertex) -> str:
    """What stands in a node's box."""
    kind = "" if vertex.kind in {"job", "python"} else f" ({vertex.kind})"
    return f"{vertex.mark} {vertex.name}{kind}".strip()


def _boxes(sketch: Sketch, area: Area, width: int) -> list[Line] | None:
    labels = {name: label_of(sketch.vertices[name]) for layer in area.layers for name in layer}

    def width_of(spot: Spot) -> float:
        return len(labels[spot]) + 4 if isinstance(spot, str) else 1

    layout = laid_out(area.layers, area.arrows, width_of, 2)
    if layout.width > width:
        return None
    return _Canvas(layout, sketch, area, labels).lines()


class _Canvas:
    """Cells with lines to the four sides, and boxes over them."""

    def __init__(self, layout: Layout, sketch: Sketch, area: Area, labels: dict[str, str]) -> None:
        self._layout = layout
        self._sketch = sketch
        self._area = area
        self._labels = labels
        self._column = {spot: int(at) for spot, at in layout.middle.items()}
        self._cells: dict[tuple[int, int], int] = {}
        self._arrows: set[tuple[int, int]] = set()
        self._texts: dict[int, list[tuple[int, str, str | None]]] = {}

    def lines(self) -> list[Line]:
        """Draw."""
        layer_of = {name: number for number, layer in enumerate(self._area.layers) for name in layer}
        legs: list[dict[Spot, list[Spot]]] = [{} for _ in self._layout.layers]
        for arrow in self._area.arrows:
            way = self._layout.way(arrow, layer_of)
            for number, (start, end) in enumerate(pairwise(way), layer_of[arrow.start]):
                ends = legs[number].setdefault(start, [])
                if end not in ends:
                    ends.append(end)
        row = 0
        for number, layer in enumerate(self._layout.layers):
            for spot in layer:
                self._spot(spot, row, below=bool(legs[number].get(spot)))
            row = self._between(legs[number], row + 3)
        return [self._line(number) for number in range(row)]

    def _spot(self, spot: Spot, row: int, *, below: bool) -> None:
        column = self._column[spot]
        if not isinstance(spot, str):
            for step in range(3):
                self._join(row + step, column, _UP | _DOWN)
            return
        text = f" {self._labels[spot]} "
        left = column - len(text) // 2 - 1
        foot = "─" * len(text)
        if below:
            foot = f"{foot[: column - left - 1]}┬{foot[column - left :]}"
        status = self._sketch.vertices[spot].status
        self._put(row, left, f"┌{'─' * len(text)}┐", status)
        self._put(row + 1, left, f"│{text}│", status)
        self._put(row + 2, left, f"└{foot}┘", status)

    def _put(self, row: int, column: int, text: str, status: str | None) -> None:
        self._texts.setdefault(row, []).append((column, text, status))

    def _join(self, row: int, column: int, sides: int) -> None:
        self._cells[row, column] = self._cells.get((row, column), 0) | sides

    def _between(self, legs: dict[Spot, list[Spot]], row: int) -> int:
        """The edges from one layer to the next; the row of the next."""
        if not legs:
            return row
        tracks = self._tracks(legs)
        height = max(tracks.values(), default=0) + 1
        for start, ends in legs.items():
            at = row + tracks[start]
            columns = [self._column[start], *(self._column[end] for end in ends)]
            self._vertical(self._column[start], row, at)
            self._horizontal(at, min(columns), max(columns))
            self._join(at, self._column[start], _UP)
            for end in ends:
                self._join(at, self._column[end], _DOWN)
                self._vertical(self._column[end], at + 1, row + height)
                if isinstance(end, str):
                    self._arrows.add((row + height, self._column[end]))
                else:
                    self._join(row + height, self._column[end], _UP | _DOWN)
        return row + height + 1

    def _tracks(self, legs: dict[Spot, list[Spot]]) -> dict[Spot, int]:
        """For each node the row in which its edges run sideways.

        Nodes with the same nodes below them share one; two others whose edges would meet have rows of their own.
        """
        together: dict[tuple[Spot, ...], list[Spot]] = {}
        for start in sorted(legs, key=self._column.__getitem__):
            together.setdefault(tuple(legs[start]), []).append(start)
        taken: list[list[tuple[int, int]]] = []
        found: dict[Spot, int] = {}
        for ends, starts in together.items():
            columns = [self._column[spot] for spot in (*starts, *ends)]
            low, high = min(columns), max(columns)
            track = next((t for t, used in enumerate(taken) if all(high < a or b < low for a, b in used)), len(taken))
            if track == len(taken):
                taken.append([])
            taken[track].append((low, high))
            found.update(dict.fromkeys(starts, track))
        return found

    def _vertical(self, column: int, top: int, end: int) -> None:
        for row in range(top, end):
            self._join(row, column, _UP | _DOWN)

    def _horizontal(self, row: int, left: int, right: int) -> None:
        for column in range(left, right):
            self._join(row, column, _RIGHT)
            self._join(row, column + 1, _LEFT)

    def _line(self, row: int) -> Line:
        columns = {column: _LINES[sides] for (at, column), sides in self._cells.items() if at == row}
        columns |= {column: "▼" for at, column in self._arrows if at == row}
        pieces: Line = []
        at = 0
        texts = sorted(self._texts.get(row, []))
        while texts or (columns and at <= max(columns)):
            if texts and texts[0][0] <= at:
                _, text, status = texts.pop(0)
                pieces.append(Piece(text, status))
                at += len(text)
            else:
                pieces.append(Piece(columns.get(at, " ")))
                at += 1
        return _merged(pieces)


def _merged(pieces: Line) -> Line:
    merged: Line = []
    for piece in pieces:
        if merged and merged[-1].status == piece.status:
            merged[-1] = Piece(merged[-1].text + piece.text, piece.status)
        else:
            merged.append(piece)
    return merged


# --- lists -------------------------------------------------------------------------------------


def _listed(sketch: Sketch, area: Area) -> Iterator[Line]:
    """A line a node, by layers: for graphs that no terminal is wide enough for."""
    before: dict[str, list[Arrow]] = {}
    for arrow in area.arrows:
        before.setdefault(arrow.end, []).append(arrow)
    names = [name for layer in area.layers for name in layer]
    wide = min(40, max((len(label_of(sketch.vertices[name])) for name in names), default=0))
    for number, layer in enumerate(area.layers, 1):
        for place, name in enumerate(layer):
            vertex = sketch.vertices[name]
            left = str(number) if place == 0 else ""
            text = f"{label_of(vertex):<{wide}}"
            yield [Piece(f"{left:>4}  "), Piece(text, vertex.status), Piece(_after(before.get(name, [])))]


def _after(arrows: list[Arrow]) -> str:
    if not arrows:
        return ""
    told = [f"{arrow.start} ({arrow.label})" if arrow.label else arrow.start for arrow in arrows[:6]]
    more = f" and {len(arrows) - 6} more" if len(arrows) > 6 else ""
    return f"  ← {', '.join(told)}{more}"
