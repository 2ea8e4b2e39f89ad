"""The tree: a run's progress as lines of a terminal, no more than fit on it.

    fulfil order-7                            12.3 s
    ├─ ✓ charge      0.4 s  3 attempts
    ├─ ⠹ pack        1.2 s
    ├─ ↻ weigh       retry 2/5 in 3.2 s: ConnectionError: gateway hung up
    └─ ⠼ label_it    0.8 s
       └─ ◷ sleeping until 08:00 (7 h 12 min)

What went well gives up its lines first; what runs, waits or failed keeps them as long as it can.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

from rich.text import Text

from ripresa.cli.progress import RunView, StepView
from ripresa.cli.times import span, ticking

_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_FRAME_US = 100_000
_ASCII = str.maketrans(
    {"✓": "+", "✗": "x", "↻": "~", "◷": ".", "■": "!", "‖": "=", "·": ".", "–": "-", "○": "o", "↶": "<"}
)
_GUIDES = (("├─ ", "│  "), ("└─ ", "   "))
_ASCII_GUIDES = (("|- ", "|  "), ("`- ", "   "))
_NAME_WIDTH_MAX = 36

_MARKS = {
    "succeeded": ("✓", "green"),
    "failed": ("✗", "bold red"),
    "quarantined": ("■", "bold magenta"),
    "blocked": ("■", "bold red"),
    "cancelled": ("–", "yellow"),
    "skipped": ("○", "dim"),
    "compensated": ("↶", "yellow"),
    "retrying": ("↻", "yellow"),
    "waiting": ("◷", "blue"),
    "paused": ("‖", "yellow"),
    "left": ("‖", "yellow"),
    "pending": ("·", "dim"),
    "queued": ("·", "dim"),
}


_SAID = {"left": "detached"}


@dataclass(frozen=True, slots=True)
class Level:
    """How much is shown: of each run, so many that went well and so many others; whether ended children are open."""

    quiet: int
    others: int
    children: bool


_LEVELS = (
    Level(1_000, 1_000, children=True),
    Level(1_000, 1_000, children=False),
    Level(20, 40, children=False),
    Level(8, 20, children=False),
    Level(3, 8, children=False),
    Level(1, 3, children=False),
)


class TreeLines:
    """Draws runs; `ascii_only` for terminals that know no more."""

    def __init__(self, *, ascii_only: bool = False) -> None:
        self._ascii = ascii_only
        self._now = 0

    def draw(self, root: RunView, now: int, height: int) -> list[Text]:
        """The lines, at most `height`."""
        self._now = now
        lines: list[Text] = []
        for level in _LEVELS:
            lines = [self._head(root), *self._below(root, level, Text())]
            if len(lines) <= height:
                return lines
        return [*lines[: max(1, height - 1)], _dim("..." if self._ascii else "…")]

    # --- runs ----------------------------------------------------------------------------------

    def _head(self, run: RunView, width: int = 0) -> Text:
        line = Text(no_wrap=True, overflow="ellipsis")
        line.append_text(self._mark(run.status)).append(f" {run.definition:<{width}}", style="bold")
        if run.ref != run.definition and (not width or run.ref != run.uuid):
            line.append(f" {run.ref}", style="cyan")
        if run.is_open:
            line.append(f"  {ticking(self._now - run.started)}", style="dim")
            if run.status not in {"running", "waiting"}:
                line.append(f"  {_SAID.get(run.status, run.status)}", style=_MARKS.get(run.status, ("", ""))[1])
            return line
        took = span((run.ended or self._now) - run.started)
        return line.append(
            f"  {run.status} in {took}" if not width or run.status != "succeeded" else f"  {took}", style="dim"
        )

    def _below(self, run: RunView, level: Level, indent: Text) -> list[Text]:
        chosen, hidden = _choose(run, level)
        width = min(_NAME_WIDTH_MAX, max((len(_name(item)) for item in chosen), default=0))
        entries: list[StepView | RunView | str | Text] = [*([_more(hidden)] if hidden else []), *chosen, *run.waits]
        lines: list[Text] = []
        for place, entry in enumerate(entries):
            head, under = (_ASCII_GUIDES if self._ascii else _GUIDES)[place == len(entries) - 1]
            lines.append(_joined(indent, head, self._entry(entry, width)))
            if isinstance(entry, RunView) and (entry.is_open or level.children):
                lines += self._below(entry, level, indent.copy().append(under, style="dim"))
        return lines

    def _entry(self, entry: StepView | RunView | str | Text, width: int) -> Text:
        if isinstance(entry, Text):
            return entry
        if isinstance(entry, str):
            return self._mark("waiting").append(f" {entry}", style="blue")
        if isinstance(entry, RunView):
            return self._head(entry, width)
        line = self._mark(entry.status).append(f" {_name(entry):<{width}}  ", style="default")
        return line.append_text(self._detail(entry))

    # --- steps ---------------------------------------------------------------------------------

    def _detail(self, step: StepView) -> Text:
        took = ticking(self._now - step.started) if step.ended is None else span(step.ended - step.started)
        match step.status:
            case "running":
                return _dim(took + (f"  attempt {_of(step, step.attempt)}" if step.attempt > 1 else ""))
            case "retrying":
                left = (step.due or self._now) - self._now
                when = f"in {ticking(left)}" if left > 0 else "now"
                why = f": {step.why}" if step.why else ""
                return Text(f"retry {_of(step, step.attempt + 1)} {when}{_one_line(why)}", style="yellow")
            case "succeeded":
                return _dim(took + (f"  {step.attempt} attempts" if step.attempt > 1 else ""))
            case "left":
                return Text("cut off; attempted again when the run goes on", style="yellow")
            case "failed" | "quarantined":
                after = f" after {step.attempt} attempts" if step.attempt > 1 else ""
                return Text(f"{step.status}{after}: {_one_line(step.why)}", style=_MARKS[step.status][1])
            case other:
                return _dim(_one_line(step.why) if other == "pending" and step.why else other)

    def _mark(self, status: str) -> Text:
        if status == "running":
            frame = self._now // _FRAME_US
            return Text("|/-\\"[frame % 4] if self._ascii else _FRAMES[frame % len(_FRAMES)], style="cyan")
        mark, style = _MARKS.get(status, ("·", "dim"))
        return Text(mark.translate(_ASCII) if self._ascii else mark, style=style)


def _choose(run: RunView, level: Level) -> tuple[list[StepView | RunView], dict[str, int]]:
    """What is shown of a run, in its order, and how many of which status are not."""
    items = list(run.items.values())
    quiet = [item for item in items if item.quiet]
    others = [item for item in items if not item.quiet]
    if len(quiet) <= level.quiet and len(others) <= level.others:
        return items, {}
    shown = {id(item) for item in [*quiet[len(quiet) - min(level.quiet, len(quiet)) :], *islice(others, level.others)]}
    hidden: dict[str, int] = {}
    for item in items:
        if id(item) not in shown:
            hidden[item.status] = hidden.get(item.status, 0) + 1
    return [item for item in items if id(item) in shown], hidden


def _more(hidden: dict[str, int]) -> Text:
    return _dim("… " + ", ".join(f"{count:,} more {status}" for status, count in hidden.items()))


def _name(item: StepView | RunView) -> str:
    return item.operation if isinstance(item, StepView) else item.definition


def _of(step: StepView, attempt: int) -> str:
    return f"{attempt}/{step.attempts_max}" if step.attempts_max else str(attempt)


def _joined(indent: Text, head: str, rest: Text) -> Text:
    line = Text(no_wrap=True, overflow="ellipsis")
    return line.append_text(indent).append(head, style="dim").append_text(rest)


def _dim(text: str) -> Text:
    return Text(text, style="dim")


def _one_line(text: str) -> str:
    return " ".join(text.split())
