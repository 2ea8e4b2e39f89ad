"""The drawing of a run's statuses, made from the table that the kernel goes by.

The pairs come from `ripresa.kernel.transitions.RUN` and nowhere else; what is written here is where a status stands and
how an arrow gets from one place to another.  An arrow may stand for several pairs, as the one from the box of what
goes on by itself to the box of what has ended.  It is drawn only if the table has every one of its pairs; a pair that
no such arrow covers gets a line of its own, so that nothing in the table is left out and nothing is added.

    python tools/draw_states.py            writes docs/img/run-states.svg
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from ripresa.contracts.status import RunStatus
from ripresa.kernel.transitions import RUN

DRAWING = Path(__file__).resolve().parent.parent / "docs" / "img" / "run-states.svg"

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Arrow:
    """A line for all pairs of `sources` and `targets`; `label` (`|` breaks it) stands at (x, y)."""

    sources: str
    targets: str
    path: str
    label: str = ""
    x: int = 0
    y: int = 0
    anchor: str = "middle"
    both_ways: bool = False

    @property
    def pairs(self) -> set[Pair]:
        """Every change of status that the line stands for."""
        there = set(product(self.sources.split(), self.targets.split()))
        back = set(product(self.targets.split(), self.sources.split())) if self.both_ways else set()
        return {(now, then) for now, then in there | back if now != then}


# Where each status stands: centre, and the colour of who moves it on.
PLACES: dict[str, tuple[int, int, str]] = {
    "queued": (80, 110, "#5c6bc0"),
    "running": (270, 110, "#5c6bc0"),
    "waiting": (410, 110, "#5c6bc0"),
    "paused": (210, 330, "#c77700"),
    "blocked": (350, 330, "#c77700"),
    "quarantined": (490, 330, "#c77700"),
    "succeeded": (700, 110, "#26a69a"),
    "failed": (700, 195, "#e5534b"),
    "cancelled": (700, 255, "#8a8f98"),
}
WIDTH, HEIGHT = 108, 36

# Boxes round what belongs together: x, y, width, height, where its note ends, and the note.
BOXES = (
    (195, 60, 290, 84, 475, "the engine moves it on"),
    (135, 280, 430, 84, 258, "someone must act"),
    (626, 60, 148, 228, 764, "ended"),
    (634, 165, 132, 114, 0, ""),
)

ARROWS = (
    Arrow("queued", "running", "M134 110 H216", "an engine takes it up", 88, 82),
    Arrow("running", "waiting", "M324 110 H356", both_ways=True),
    Arrow("running waiting", "succeeded failed cancelled", "M485 102 H626", "its code ends", 555, 94),
    Arrow("running waiting", "paused blocked quarantined", "M445 144 V280", "stopped", 453, 200, "start"),
    Arrow("paused blocked quarantined", "running", "M270 280 V128", "resume, release,|fitting code", 262, 200, "end"),
    Arrow("paused blocked quarantined", "failed cancelled", "M565 318 H690 V279", "cancel, discard", 628, 336),
    Arrow(
        "blocked quarantined",
        "succeeded",
        "M360 312 V252 M490 312 V252 M360 252 H590 Q600 252 600 242 V130 Q600 118 610 118 H646",
        "override",
        545,
        244,
    ),
    Arrow("failed cancelled", "running", "M766 222 H792 V34 H250 V92", "retry", 520, 26),
    Arrow("queued", "failed cancelled", "M48 128 V414 H720 V279", "cancel", 400, 408),
    Arrow("queued", "paused", "M84 128 V330 H156"),
    Arrow("queued", "blocked", "M66 128 V396 H350 V348"),
    Arrow("paused", "blocked", "M264 330 H296", both_ways=True),
    Arrow("blocked", "quarantined", "M404 330 H436", both_ways=True),
    Arrow("paused", "quarantined", "M210 348 V378 H490 V348"),
    Arrow("blocked", "waiting", "M385 312 V128"),
)  # fmt: skip


def table() -> set[Pair]:
    """Every pair that the kernel allows."""
    return {(now.value, then.value) for now, following in RUN.items() for then in following}


def chosen(allowed: set[Pair]) -> Iterator[Arrow]:
    """The arrows to draw: those of which every pair is allowed, then a line for each pair that is left."""
    left = set(allowed)
    for arrow in ARROWS:
        if arrow.pairs <= allowed:
            left -= arrow.pairs
            yield arrow
    for now, then in sorted(left):
        yield Arrow(now, then, _straight(now, then))


def _straight(now: str, then: str) -> str:
    (x1, y1, _), (x2, y2, _) = PLACES[now], PLACES[then]
    bend = HEIGHT // 2 if y2 > y1 else -HEIGHT // 2
    return f"M{x1 + 12} {y1 + bend} L{x2 + 12} {y2 - bend}"


def draw(allowed: set[Pair]) -> str:
    """The drawing as SVG."""
    missing = {status.value for status in RunStatus} ^ PLACES.keys()
    if missing:
        msg = f"give these a place in the drawing, or take theirs away: {', '.join(sorted(missing))}"
        raise ValueError(msg)
    parts = [_HEAD, *_boxes(), *_arrows(chosen(allowed)), *_nodes(allowed), "</svg>"]
    return "\n".join(parts) + "\n"


def _boxes() -> Iterator[str]:
    for x, y, width, height, note_end, says in BOXES:
        dash = "" if says else ' stroke-dasharray="3 4"'
        yield f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="10" class="states-box"{dash}/>'
        if says:
            yield f'<text x="{note_end}" y="{y + 17}" text-anchor="end" class="states-note">{says}</text>'


def _arrows(arrows: Iterable[Arrow]) -> Iterator[str]:
    for arrow in arrows:
        start = ' marker-start="url(#states-head)"' if arrow.both_ways else ""
        yield f'<path d="{arrow.path}" class="states-arrow"{start} marker-end="url(#states-head)"/>'
        for row, line in enumerate(arrow.label.split("|") if arrow.label else ()):
            at = f'x="{arrow.x}" y="{arrow.y + 16 * row}" text-anchor="{arrow.anchor}"'
            yield f'<text {at} class="states-label">{line}</text>'


def _nodes(allowed: set[Pair]) -> Iterator[str]:
    for status, (x, y, colour) in PLACES.items():
        following = ", ".join(sorted(then for now, then in allowed if now == status)) or "nothing"
        box = f'x="{x - WIDTH // 2}" y="{y - HEIGHT // 2}" width="{WIDTH}" height="{HEIGHT}" rx="8"'
        yield (
            f"<g><title>{status} may become: {following}</title>"
            f'<rect {box} fill="{colour}"/>'
            f'<text x="{x}" y="{y + 5}" text-anchor="middle" class="states-name">{status}</text></g>'
        )


_HEAD = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 810 428" width="810" role="img"
  aria-label="Which status of a run may follow which" class="drawing">
<!-- Made by tools/draw_states.py from kernel/transitions.py: change those, not this. -->
<style>
svg:root { color: #24292f; background: #ffffff }
.drawing { max-width: 100%; height: auto; font-family: sans-serif }
.states-box { fill: currentColor; fill-opacity: .05; stroke: currentColor; stroke-opacity: .25 }
.states-note { fill: currentColor; fill-opacity: .65; font-size: 12px }
.states-label { fill: currentColor; fill-opacity: .85; font-size: 12px }
.states-name { fill: #ffffff; font-size: 14px; font-weight: 600 }
.states-arrow { fill: none; stroke: currentColor; stroke-opacity: .6; stroke-width: 1.5 }
</style>
<defs><marker id="states-head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7"
  orient="auto-start-reverse"><path d="M0 0 L10 5 L0 10 z" fill="currentColor" fill-opacity=".75"/></marker></defs>"""


if __name__ == "__main__":
    DRAWING.write_text(draw(table()), "utf-8")
