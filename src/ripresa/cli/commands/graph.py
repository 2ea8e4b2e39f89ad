"""`ripresa graph`: draw a workflow, and how a run of it stands."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ripresa.cli.options import StoreOption
from ripresa.cli.output import write, write_lines
from ripresa.cli.settings import GIVEN, settings

if TYPE_CHECKING:
    from ripresa.cli.drawing.sketch import Sketch


class Drawing(StrEnum):
    """How a graph is written to stdout."""

    TEXT = "text"
    MERMAID = "mermaid"
    SVG = "svg"
    JSON = "json"
    YAML = "yaml"
    JSONL = "jsonl"


def graph(
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help="definition.yaml, file.py:dag, or a name registered in ripresa.toml.",
            show_default=False,
        ),
    ],
    *,
    run: Annotated[
        str | None, typer.Option("--run", metavar="RUN", help="Show how the nodes of this run stand.")
    ] = None,
    output: Annotated[
        Drawing | None, typer.Option("-o", "--format", help="How it is drawn.", show_default="text")
    ] = None,
    store: StoreOption = None,
) -> None:
    """Draw a workflow's graph: layer under layer, each node below those that it waits for.

    With --run, the status of each node has a sign and a colour.
    """
    from ripresa.cli.graphs import sketched

    set_up = settings(store)
    sketch = asyncio.run(sketched(target, run, set_up))
    _write(sketch, output or Drawing(str(GIVEN.format or Drawing.TEXT)))


def _write(sketch: Sketch, how: Drawing) -> None:
    if how is Drawing.TEXT:
        from ripresa.cli.graphs import write_drawing

        write_drawing(sketch)
    elif how is Drawing.MERMAID:
        from ripresa.cli.drawing import mermaid

        write_lines(mermaid.lines(sketch))
    elif how is Drawing.SVG:
        from ripresa.cli.drawing import svg

        write_lines(svg.lines(sketch))
    else:
        from ripresa.cli.options import Format
        from ripresa.cli.output import emit

        told: Any = sketch.to_json()
        emit(told, Format(how.value), lambda: write(""))
