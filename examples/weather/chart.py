"""The chart: temperature and precipitation, month by month, as SVG.

Two panels share the months below them, each with one scale of its own.  Colours are classes, so that the picture
follows the reader's light or dark theme; each month says its numbers when pointed at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from html import escape

from months import MonthSummary

WIDTH, HEIGHT = 1120, 660
LEFT, RIGHT = 64, 1104
TEMPERATURE = (112, 392)  # top and bottom of the upper panel
PRECIPITATION = (452, 600)  # and of the lower one

STYLE = """
svg{font:13px system-ui,"Segoe UI","DejaVu Sans",sans-serif}
.paper{fill:#fcfcfb} text{fill:#52514e;stroke:#fcfcfb;stroke-width:3;paint-order:stroke}
.strong{fill:#0b0b0b} .title{font-size:20px;font-weight:600} .small{font-size:11px}
.grid{stroke:#e1e0d9} .axis{stroke:#a9a79f} .year{stroke:#cbc9c1}
.band{fill:#eb6834;fill-opacity:.25} .extreme{stroke:#eb6834;stroke-opacity:.5;stroke-width:2}
.mean{fill:none;stroke:#b9430f;stroke-width:2;stroke-linejoin:round} .dot{fill:#b9430f;stroke:#fcfcfb;stroke-width:2}
.normal{fill:none;stroke:#0b0b0b;stroke-width:1.5;stroke-dasharray:1 4;stroke-linecap:round} .bar{fill:#2a78d6}
.month{fill:transparent} .month:hover{fill:#0b0b0b;fill-opacity:.06}
@media (prefers-color-scheme:dark){
.paper{fill:#1a1a19} text{fill:#c3c2b7;stroke:#1a1a19} .strong{fill:#fff}
.grid{stroke:#2c2c2a} .axis{stroke:#6d6b64} .year{stroke:#46453f}
.mean{stroke:#f28a5e} .dot{fill:#f28a5e;stroke:#1a1a19} .normal{stroke:#fff} .bar{fill:#3987e5}
.month:hover{fill:#fff;fill-opacity:.08}}
"""

Scale = Callable[[float], float]


def draw(months: Sequence[MonthSummary], title: str) -> str:
    """The months as an SVG picture that stands by itself."""
    column = (RIGHT - LEFT) / len(months)
    middle: Scale = lambda index: LEFT + (index + 0.5) * column  # noqa: E731 - a scale like the others
    lowest, highest = min(month.coldest.value for month in months), max(month.warmest.value for month in months)
    degrees = _scale(_floor(lowest, 10), _floor(highest, 10) + 10, *TEMPERATURE)
    wettest = max(month.precipitation for month in months)
    millimetres = _scale(0, _floor(wettest, 50) + 50, *PRECIPITATION)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"<title>{escape(title)}</title><style>{STYLE}</style>",
        f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}"/>',
        _text(LEFT, 32, title, "title strong"),
        *_legend(),
        *_grid(range(_floor(lowest, 10), _floor(highest, 10) + 11, 10), degrees, "°C"),
        *_grid(range(0, _floor(wettest, 50) + 51, 100), millimetres, "mm"),
        _text(LEFT, PRECIPITATION[0] - 22, "Precipitation, sum of the month (mm)", "strong"),
        *_calendar(months, middle, column),
        *_temperatures(months, middle, degrees),
        *_bars(months, middle, column, millimetres),
        *_pointers(months, middle, column),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _temperatures(months: Sequence[MonthSummary], x: Scale, y: Scale) -> Iterator[str]:
    above = [(x(index), y(month.mean_max)) for index, month in enumerate(months)]
    below = [(x(index), y(month.mean_min)) for index, month in enumerate(months)]
    for index, month in enumerate(months):
        yield _line(x(index), y(month.coldest.value), x(index), y(month.warmest.value), "extreme")
    yield f'<polygon class="band" points="{_points([*above, *reversed(below)])}"/>'
    if all(month.normal is not None for month in months):
        normals = [(x(index), y(month.normal or 0)) for index, month in enumerate(months)]
        yield f'<polyline class="normal" points="{_points(normals)}"/>'
    yield f'<polyline class="mean" points="{_points((x(i), y(month.mean)) for i, month in enumerate(months))}"/>'
    warmest = max(range(len(months)), key=lambda index: months[index].warmest.value)
    coldest = min(range(len(months)), key=lambda index: months[index].coldest.value)
    for index, extreme, lift in ((warmest, months[warmest].warmest, -9), (coldest, months[coldest].coldest, 18)):
        yield f'<circle class="dot" cx="{x(index):.1f}" cy="{y(extreme.value):.1f}" r="5"/>'
        label = f"{_signed(extreme.value)} °C on {extreme.date.day} {extreme.date:%B %Y}"
        yield _text(x(index), y(extreme.value) + lift, label, "strong", anchor=_anchor(x(index)))


def _bars(months: Sequence[MonthSummary], x: Scale, column: float, y: Scale) -> Iterator[str]:
    width, base = column - 4, y(0)
    for index, month in enumerate(months):
        left, top = x(index) - width / 2, y(month.precipitation)
        corner = min(3.0, base - top)
        yield (
            f'<path class="bar" d="M{left:.1f} {base:.1f}V{top + corner:.1f}q0 {-corner:.1f} {corner:.1f} {-corner:.1f}'
            f'h{width - 2 * corner:.1f}q{corner:.1f} 0 {corner:.1f} {corner:.1f}V{base:.1f}Z"/>'
        )
    wettest = max(range(len(months)), key=lambda index: months[index].precipitation)
    top = y(months[wettest].precipitation)
    yield _text(x(wettest), top - 6, f"{months[wettest].precipitation:.0f} mm", "strong", anchor=_anchor(x(wettest)))


def _calendar(months: Sequence[MonthSummary], x: Scale, column: float) -> Iterator[str]:
    """Letters of the months, years below them, and a line where a year begins."""
    foot = PRECIPITATION[1]
    for index, month in enumerate(months):
        year, number = month.month.split("-")
        yield _text(x(index), foot + 18, "JFMAMJJASOND"[int(number) - 1], "small", anchor="middle")
        if number == "01" and index:
            edge = x(index) - column / 2
            yield _line(edge, TEMPERATURE[0], edge, foot + 44, "year")
        if number == "01" or not index:
            inside = [i for i, other in enumerate(months) if other.month.startswith(year)]
            yield _text((x(inside[0]) + x(inside[-1])) / 2, foot + 40, year, "strong", anchor="middle")


def _legend() -> Iterator[str]:
    """What the upper panel's marks mean, each beside its own mark."""
    y = TEMPERATURE[0] - 46
    yield _text(LEFT, y + 4, "Temperature (°C)", "strong")
    yield f'<rect class="band" x="{LEFT + 130}" y="{y - 7}" width="26" height="14"/>'
    yield _text(LEFT + 162, y + 4, "mean night to mean day")
    yield _line(LEFT + 335, y - 8, LEFT + 335, y + 8, "extreme")
    yield _text(LEFT + 346, y + 4, "lowest to highest")
    yield _line(LEFT + 475, y, LEFT + 501, y, "mean")
    yield _text(LEFT + 507, y + 4, "mean of the month")
    yield _line(LEFT + 645, y, LEFT + 671, y, "normal")
    yield _text(LEFT + 677, y + 4, "30-year normal")


def _grid(ticks: Iterable[int], y: Scale, unit: str) -> Iterator[str]:
    ticks = list(ticks)
    for tick in ticks:
        yield _line(LEFT, y(tick), RIGHT, y(tick), "axis" if tick == 0 else "grid")
        label = f"{_signed(tick)} {unit}" if tick == ticks[-1] else _signed(tick)
        yield _text(LEFT - 8, y(tick) + 4, label, anchor="end")


def _pointers(months: Sequence[MonthSummary], x: Scale, column: float) -> Iterator[str]:
    """An invisible column over each month that says its numbers."""
    top, height = TEMPERATURE[0], PRECIPITATION[1] - TEMPERATURE[0]
    for index, month in enumerate(months):
        words = (
            f"{month.month}: {_signed(round(month.mean_min, 1))} to {_signed(round(month.mean_max, 1))} °C,"
            f" {month.precipitation:.0f} mm on {month.wet_days} wet days"
        )
        yield (
            f'<rect class="month" x="{x(index) - column / 2:.1f}" y="{top}" width="{column:.1f}" height="{height}">'
            f"<title>{escape(words)}</title></rect>"
        )


def _scale(low: float, high: float, top: float, bottom: float) -> Scale:
    return lambda value: bottom - (value - low) / (high - low) * (bottom - top)


def _floor(value: float, step: int) -> int:
    """The next multiple of `step` at or below `value`."""
    return int(value // step) * step


def _signed(value: float) -> str:
    return f"{value:g}".replace("-", "−")  # noqa: RUF001 - a minus sign, which a reader's font sets well


def _anchor(x: float) -> str:
    return "start" if x < LEFT + 120 else "end" if x > RIGHT - 120 else "middle"


def _points(points: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, words: str, kind: str = "", *, anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'
