"""Tables: records for people, in columns; colours only on a terminal that wants them.

On a terminal a line is cut at its width; in a pipe nothing is cut.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import sysconfig
import unicodedata
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ripresa.cli.output import write
from ripresa.cli.result import in_brief
from ripresa.cli.screen import wants_colour
from ripresa.cli.times import moment, span

if TYPE_CHECKING:
    from ripresa.cli.defining import Known
    from ripresa.contracts.record_base import FailureRecord
    from ripresa.contracts.records import AttemptRecord, HistoryRecord, JobRun, OutgoingRecord, QualityRecord
    from ripresa.contracts.step_records import StepRecord

_OURS = Path(__file__).parents[1]
_COLOURS = {
    "succeeded": "32",
    "failed": "31",
    "blocked": "31",
    "quarantined": "35",
    "cancelled": "33",
    "compensated": "33",
    "skipped": "2",
    "pending": "2",
    "paused": "33",
    "waiting": "34",
    "running": "36",
    "compatible": "32",
    "unknown": "33",
}
_PIPE_WIDTH = 10_000
_FRAME = re.compile(r'^  File "(.+)", line (\d+), in (\S+)\n    (.+)$', re.MULTILINE)
_LIBRARY = re.compile(
    rf"^<|^{re.escape(sysconfig.get_path('stdlib'))}|[/\\](site|dist)-packages[/\\]|^{re.escape(str(_OURS))}"
)


class Cell(NamedTuple):
    """A text and what colours it."""

    text: str
    code: str = ""


def colour_of(status: str) -> str:
    """The colour of a status, as the number of a terminal's."""
    return _COLOURS.get(status, "")


def status_cell(status: str) -> Cell:
    """A status in its colour."""
    return Cell(status, colour_of(status))


def columns(rows: Sequence[Sequence[Cell | str]], *, head: Sequence[str] = (), indent: str = "") -> None:
    """Write rows, each column as wide as its widest cell."""
    cells = [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in rows]
    if head:
        cells.insert(0, [Cell(title.upper(), "2") for title in head])
    if not cells:
        return
    coloured = wants_colour(sys.stdout)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else _PIPE_WIDTH
    widths = [max(_width(row[column].text) for row in cells) for column in range(len(cells[0]))]
    for row in cells:
        write(_line(row, widths, indent, width, coloured=coloured))


def _line(row: list[Cell], widths: list[int], indent: str, room: int, *, coloured: bool) -> str:
    parts, room = [], room - len(indent)
    for place, (cell, wide) in enumerate(zip(row, widths, strict=True)):
        last = place == len(row) - 1
        text = _cut(" ".join(cell.text.split()), max(0, room))
        padding = "" if last else " " * max(0, min(wide - _width(text), room - _width(text)))
        parts.append(f"\033[{cell.code}m{text}\033[0m{padding}" if coloured and cell.code and text else text + padding)
        room -= wide + 2
    return (indent + "  ".join(parts)).rstrip()


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def _cut(text: str, room: int) -> str:
    if _width(text) <= room:
        return text
    while text and _width(text) > room - 1:
        text = text[:-1]
    return f"{text}…" if room else ""


# --- runs --------------------------------------------------------------------------------------


def runs(found: list[JobRun]) -> None:
    """A line a run."""
    if not found:
        write("no runs")
        return
    rows: list[tuple[Cell | str, ...]] = [
        (one.id, one.definition, status_cell(one.status), at(one.created_at), took(one.duration_seconds), tags(one))
        for one in found
    ]
    head = ["run", "workflow", "status", "created", "took", "tags"]
    if any(one.reason for one in found):
        rows = [(*row, one.reason or "") for row, one in zip(rows, found, strict=True)]
        head.append("why it waits")
    columns(rows, head=head)


def run(found: JobRun, steps: list[StepRecord], children: list[JobRun]) -> None:
    """One run, its steps and its children."""
    facts: list[tuple[str, Cell | str]] = [
        ("run", found.id),
        *([("uuid", found.uuid)] if found.uuid != found.id else []),
        ("workflow", f"{found.definition} (version {found.version})"),
        ("status", status_cell(found.status)),
        ("created", at(found.created_at)),
        *([("finished", f"{at(found.finished_at)} after {took(found.duration_seconds)}")] if found.finished_at else []),
        *([("parent", found.parent)] if found.parent else []),
        *([("forked from", found.forked_from)] if found.forked_from else []),
        *([("priority", str(found.priority))] if found.priority else []),
        *([("tags", tags(found))] if found.tags else []),
        ("input", inline(found.input)),
        *([("output", inline(found.output))] if found.output is not None else []),
        *([("error", why(found.error))] if found.error else []),
        *([("at", place)] if (place := _culprit(found, steps)) else []),
        *([("why it waits", found.reason)] if found.reason else []),
    ]
    columns([(Cell(name, "2"), text) for name, text in facts])
    if steps:
        write("")
        columns([step_row(step) for step in steps], head=("step", "status", "attempts", "took", "outcome"))
    if children:
        write("")
        rows = [(one.definition, status_cell(one.status), took(one.duration_seconds), one.id) for one in children]
        columns(rows, head=("child", "status", "took", "run"))


def step_row(step: StepRecord) -> tuple[Cell | str, ...]:
    """A step in a line."""
    queued = step.status == "queued"
    outcome = why(step.error) if step.error and step.output is None and not queued else step.reason or ""
    if not outcome and step.finished_at:
        outcome = inline(step.output)
    if step.next_attempt_at is not None:
        outcome = f"again at {at(step.next_attempt_at)}: {outcome or why(step.error)}"
    return (step.operation, status_cell(step.status), str(step.attempts), took(step.duration_seconds), outcome)


def history(events: list[HistoryRecord]) -> None:
    """A line an event."""
    rows = [
        (
            str(event.seq),
            clock(event.at),
            Cell(event.kind, "31" if event.error else ""),
            event.operation or event.step or "",
            str(event.attempt or ""),
            why(event.error) if event.error else "" if event.output is None else inline(event.output),
        )
        for event in events
    ]
    columns(rows, head=("seq", "at", "kind", "operation", "attempt", "outcome"))


def attempts(found: list[AttemptRecord]) -> None:
    """A line an attempt."""
    rows = [
        (one.operation, str(one.number), status_cell(one.status), clock(one.started_at), why(one.error))
        for one in found
    ]
    columns(rows, head=("step", "attempt", "status", "started", "error"))


def definitions(found: list[Known]) -> None:
    """A line a version."""
    rows = [
        (record.name, record.version, record.label or "", record.kind, at(record.created_at), counts(one.runs))
        for one in found
        for record in (one.record,)
    ]
    columns(rows, head=("workflow", "version", "label", "kind", "first used", "runs"))


def counts(runs: dict[str, int]) -> str:
    """`3 succeeded, 1 failed`."""
    return ", ".join(f"{count} {status}" for status, count in sorted(runs.items())) or "none"


def quality(found: list[QualityRecord]) -> None:
    """A line a measurement."""
    rows: list[list[Cell | str]] = [
        [at(one.at), one.step, status_cell(one.status), *_measured(one.metrics), one.run_id or one.run] for one in found
    ]
    columns(rows, head=("at", "step", "status", *_MEASURED, "run"))


def outgoing(found: list[OutgoingRecord]) -> None:
    """A line an event."""
    rows: list[list[Cell | str]] = [
        [at(one.at), Cell(one.type, "1"), one.run_id or one.run, inline(one.data)] for one in found
    ]
    columns(rows, head=("at", "type", "run", "data"))


_MEASURED = ("record_count", "valid_rate", "null_rate")


def _measured(metrics: dict[str, Any]) -> list[str]:
    return [_number(metrics.get(name)) for name in _MEASURED]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


# --- words -------------------------------------------------------------------------------------


def at(when: datetime | None) -> str:
    """Date and time in the terminal's zone."""
    return "" if when is None else moment(round(when.timestamp() * 1e6))


def clock(when: datetime) -> str:
    """Time to the millisecond, with the date before it if that is not today."""
    local = when.astimezone()
    today = local.date() == datetime.now().astimezone().date()
    return f"{local:{'%H:%M:%S' if today else '%Y-%m-%d %H:%M:%S'}}.{local.microsecond // 1000:03d}"


def took(seconds: float | None) -> str:
    """A span."""
    return "" if seconds is None else span(round(seconds * 1e6))


def tags(one: JobRun) -> str:
    """Tags as they are typed."""
    return " ".join(f"{name}={value}" for name, value in one.tags.items())


def inline(value: Any) -> str:
    """A value on one line."""
    return json.dumps(value, ensure_ascii=False)


def _culprit(found: JobRun, steps: list[StepRecord]) -> str:
    """Where the run went wrong: in the step that it failed of, or else in its own code."""
    step = getattr(found.error, "step", None)
    failed = [one.error for one in steps if step is not None and one.error is not None and one.step == step]
    return next((place for error in (*reversed(failed), found.error) if (place := where(error))), "")


def where(error: FailureRecord | None) -> str:
    """The innermost line of the user's own code that the failure passed through."""
    frames = _FRAME.findall(getattr(error, "traceback", None) or "")
    own = [(file, *rest) for file, *rest in frames if not _LIBRARY.search(file)]
    if not own:
        return ""
    file, line, function, text = own[-1]
    with suppress(ValueError):  # it is on another drive
        file = min(file, os.path.relpath(file), key=len)
    return f"{file}:{line} in {function}: {text.strip()}"


def why(error: FailureRecord | None) -> str:
    """A failure on one line."""
    return "" if error is None else in_brief(error.type, error.message)
