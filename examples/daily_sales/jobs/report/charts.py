"""Charts of the page, as SVG: columns for days and hours, bars for departments.

Colours are classes, so that a picture follows the reader's light or dark theme; one colour means the day itself, and
grey what it is compared with.  Each mark says its number when pointed at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import floor, log10

WIDTH = 1040


@dataclass(frozen=True)
class Mark:
    """One column or bar: its label, its value, what it says when pointed at, and whether it is the point."""

    label: str
    value: float
    told: str
    strong: bool = False
    note: str = ""


def columns(marks: Sequence[Mark], title: str, *, height: int = 240, width: int = WIDTH, every: int = 1) -> str:
    """Columns side by side, above a line; each `every`th has its label below."""
    top, bottom, left, right = 28, height - 26, 52, width - 24
    most = max((mark.value for mark in marks), default=0) or 1
    grid = ticks(most)
    scale = (bottom - top) / max(most, grid[-1])
    slot = (right - left) / len(marks)
    wide = min(slot * 0.72, 34)
    parts = [_open(title, width, height)]
    for value in grid:
        y = bottom - value * scale
        parts.append(f'<line class="grid" x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="axis" x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{short(value)}</text>')
    for place, mark in enumerate(marks):
        middle = left + (place + 0.5) * slot
        tall = mark.value * scale
        parts.append(f'<g class="{"now" if mark.strong else "then"}"><title>{escape(mark.told)}</title>')
        parts.append(f'<path class="mark" d="{_column(middle - wide / 2, bottom, wide, tall)}"/>')
        reach = f'x="{middle - slot / 2:.1f}" y="{top}" width="{slot:.1f}" height="{bottom - top}"'
        parts.append(f'<rect class="reach" {reach}/>')
        if mark.note:
            parts.append(f'<text class="said" x="{middle:.1f}" y="{bottom - tall - 7:.1f}">{escape(mark.note)}</text>')
        if place % every == 0:
            parts.append(f'<text class="axis" x="{middle:.1f}" y="{height - 8}">{escape(mark.label)}</text>')
        parts.append("</g>")
    return "\n".join([*parts, "</svg>"])


def bars(marks: Sequence[Mark], title: str, *, width: int = WIDTH // 2 - 16) -> str:
    """Bars below each other, the longest as given, with their labels on the left and their notes at the end."""
    row, left, right = 27, 132, 108
    most = max((mark.value for mark in marks), default=0) or 1
    parts = [_open(title, width, row * len(marks) + 4)]
    for place, mark in enumerate(marks):
        y = place * row + 4
        long = max(mark.value / most * (width - left - right), 1)
        parts.append(f'<g class="now"><title>{escape(mark.told)}</title>')
        parts.append(f'<text class="name" x="{left - 10}" y="{y + 14}">{escape(mark.label)}</text>')
        parts.append(f'<path class="mark" d="{_bar(left, y, long, row - 8)}"/>')
        parts.append(f'<text class="value" x="{left + long + 8:.1f}" y="{y + 14}">{escape(mark.note)}</text></g>')
    return "\n".join([*parts, "</svg>"])


def ticks(most: float) -> list[float]:
    """Three to five round numbers from 0, the last at or below `most`."""
    step: float = 10 ** floor(log10(most))
    step *= next(part for part in (5, 2, 1, 0.5) if most / (step * part) >= 2)
    return [step * place for place in range(int(most / step) + 1)]


def short(value: float) -> str:
    """Dollars, on little room."""
    if value >= 1000:
        return f"${value / 1000:g}k"
    return f"${value:g}"


def _open(title: str, width: int, height: int) -> str:
    return f'<svg viewBox="0 0 {width} {height}" role="img" style="max-width:{width}px"><title>{escape(title)}</title>'


def _column(x: float, bottom: float, wide: float, tall: float) -> str:
    """A column with two round corners at its end."""
    r = min(3.0, tall)
    return (
        f"M{x:.1f} {bottom:.1f}v{-(tall - r):.1f}q0 {-r:.1f} {r:.1f} {-r:.1f}"
        f"h{wide - 2 * r:.1f}q{r:.1f} 0 {r:.1f} {r:.1f}v{tall - r:.1f}z"
    )


def _bar(x: float, y: float, long: float, tall: float) -> str:
    r = min(3.0, long)
    return (
        f"M{x:.1f} {y:.1f}h{long - r:.1f}q{r:.1f} 0 {r:.1f} {r:.1f}"
        f"v{tall - 2 * r:.1f}q0 {r:.1f} {-r:.1f} {r:.1f}h{-(long - r):.1f}z"
    )
