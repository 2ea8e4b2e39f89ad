"""Graphs on the command line: what a target's graph looks like, and how a run of it stands."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING, Any

from ripresa.cli.drawing.boxes import drawn
from ripresa.cli.drawing.sketch import Sketch, sketch_of
from ripresa.cli.exits import UsageProblem
from ripresa.cli.output import write
from ripresa.cli.reading import find, opened
from ripresa.cli.screen import wants_colour
from ripresa.cli.settings import Settings
from ripresa.cli.tables import colour_of
from ripresa.cli.target import workflow_of

if TYPE_CHECKING:
    from ripresa.cli.drawing.boxes import Line

_PIPE_WIDTH = 160


async def sketched(target: str, run: str | None, set_up: Settings) -> Sketch:
    """What is drawn.  Raises UsageProblem for a workflow without a graph, RunNotFound."""
    found = workflow_of(target, set_up.workflows)
    if run is None:
        return sketch_of(_graph(found.chosen, target))
    from ripresa.contracts.step_records import steps_of
    from ripresa.engine.known import Known

    async with opened(set_up.store.value) as store:
        row = await find(store, run)
        if row.definition != found.chosen.name:
            raise UsageProblem(f"--run {run}: it is a run of {row.definition}, not of {found.chosen.name}")
        known = Known(found.workflows)
        await known.learn(store)
        steps = steps_of(row, await store.history(row.id, after=row.base_seq), await store.attempts(row.id))
    statuses = {step.operation: str(step.status) for step in steps}
    graph = _graph(known.find(row.definition, row.version), target)
    return sketch_of(graph, statuses=statuses, run=row.key or row.id, status=row.status)


def _graph(workflow: Any, target: str) -> Any:
    graph = getattr(workflow, "graph", None)
    if graph is None:
        raise UsageProblem(f"{target}: {workflow.name} is code and has no graph; its runs are shown by `runs show`")
    return graph


def write_drawing(sketch: Sketch) -> None:
    """Draw for people, on stdout."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else _PIPE_WIDTH
    ascii_only = not (sys.stdout.encoding or "utf-8").lower().startswith("utf")
    coloured = wants_colour(sys.stdout)
    title = f"{sketch.name}, run {sketch.run}: {sketch.status}" if sketch.run else sketch.name
    write(title)
    for line in drawn(sketch, width, ascii_only=ascii_only):
        write(_text(line, coloured=coloured).rstrip())


def _text(line: Line, *, coloured: bool) -> str:
    parts = []
    for piece in line:
        code = colour_of(piece.status) if coloured and piece.status else ""
        parts.append(f"\033[{code}m{piece.text}\033[0m" if code else piece.text)
    return "".join(parts)
