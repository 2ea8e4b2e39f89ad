"""The chart: bars on a logarithmic scale, with what each is a multiple of, as SVG that needs nothing else.

It is drawn for light and dark pages alike: the picture brings its own background.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape

WIDTH = 860
_LEFT = 230
_RIGHT = 150
_BAR = 24
_GAP = 9
_FONT = "font-family='Inter, Helvetica, Arial, sans-serif'"
_COLOURS = {"ripresa": "#3949ab", "ceiling": "#b9c0d0"}
_OTHER = "#e08a3c"


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar; `note` stands behind its number."""

    label: str
    value: float
    note: str = ""
    kind: str = "other"


@dataclass(frozen=True, slots=True)
class Panel:
    """Bars on one scale."""

    title: str
    unit: str
    bars: list[Bar]


def svg(title: str, panels: list[Panel], foot: str) -> str:
    """The chart."""
    parts: list[str] = []
    y = 66
    for panel in panels:
        drawn, y = _panel(panel, y)
        parts += drawn
    lines = _wrap(foot, 128)
    for index, line in enumerate(lines):
        parts.append(_text(24, y + 6 + 15 * index, line, size=11, colour="#667"))
    height = y + 20 + 15 * len(lines)
    head = (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='{height}' viewBox='0 0 {WIDTH} {height}' "
        f"role='img' aria-label='{escape(title, quote=True)}'>"
    )
    ground = f"<rect width='{WIDTH}' height='{height}' rx='8' fill='#ffffff'/>"
    return "\n".join([head, ground, _text(24, 36, title, size=19, weight=600), *parts, "</svg>", ""])


def _panel(panel: Panel, y: int) -> tuple[list[str], int]:
    low = 10 ** math.floor(math.log10(min(bar.value for bar in panel.bars) / 1.5))
    high = 10 ** math.ceil(math.log10(max(bar.value for bar in panel.bars)))
    span = WIDTH - _LEFT - _RIGHT

    def x(value: float) -> float:
        return _LEFT + span * math.log10(value / low) / math.log10(high / low)

    top, bottom = y + 26, y + 26 + len(panel.bars) * (_BAR + _GAP)
    parts = [_text(24, y + 10, panel.title, size=14, weight=600)]
    mark = low
    while mark <= high * 1.001:
        parts.append(f"<line x1='{x(mark):.1f}' x2='{x(mark):.1f}' y1='{top - 4}' y2='{bottom - 4}' stroke='#e4e7ee'/>")
        parts.append(_text(x(mark), bottom + 9, _number(mark), size=10, colour="#889", anchor="middle"))
        mark *= 10
    parts.append(_text(WIDTH - 24, bottom + 9, f"{panel.unit}, log scale", size=10, colour="#889", anchor="end"))
    for index, bar in enumerate(panel.bars):
        at = top + index * (_BAR + _GAP)
        colour = _COLOURS.get(bar.kind, _OTHER)
        parts.append(_text(_LEFT - 10, at + 16, bar.label, size=12, anchor="end"))
        parts.append(
            f"<rect x='{_LEFT}' y='{at}' width='{x(bar.value) - _LEFT:.1f}' height='{_BAR}' rx='3' fill='{colour}'/>"
        )
        shown = _number(bar.value) + (f"   {bar.note}" if bar.note else "")
        parts.append(_text(x(bar.value) + 7, at + 16, shown, size=12, weight=600 if bar.kind == "ripresa" else 400))
    return parts, bottom + 40


def _text(
    x: float, y: float, text: str, *, size: int, weight: int = 400, colour: str = "#223", anchor: str = "start"
) -> str:
    return (
        f"<text x='{x:.1f}' y='{y:.1f}' {_FONT} font-size='{size}' font-weight='{weight}' fill='{colour}' "
        f"text-anchor='{anchor}' xml:space='preserve'>{escape(text)}</text>"
    )


def _number(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value < 1 else f"{value:.3g}".rstrip("0").rstrip(".") if value < 10 else f"{value:.0f}"


def _wrap(text: str, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines
