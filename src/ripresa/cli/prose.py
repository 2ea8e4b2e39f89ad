"""Prose: text that is wrapped to the terminal, in columns and colours there, plain elsewhere."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import Final

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ripresa.cli.screen import wants_colour

PIPE_WIDTH: Final = 110
_ASCII = str.maketrans({"→": "->", "–": "-", "…": "...", "×": "x"})
_CODE = re.compile(r"`([^`]+)`|(\{\{.*?\}\})")


class Page:
    """What is written to stdout, piece by piece."""

    def __init__(self) -> None:
        coloured = wants_colour(sys.stdout)
        width = shutil.get_terminal_size((PIPE_WIDTH, 24)).columns
        self._console = Console(
            file=sys.stdout,
            width=max(40, width),
            force_terminal=coloured,
            color_system="standard" if coloured else None,
            highlight=False,
            markup=False,
            emoji=False,
        )

    def write(self, piece: RenderableType, *, indent: int = 0) -> None:
        """Write it; spaces at the ends of lines are left out."""
        with self._console.capture() as captured:
            self._console.print(Padding(piece, (0, 0, 0, indent)) if indent else piece)
        text = "\n".join(line.rstrip() for line in captured.get().split("\n"))
        has_all = (sys.stdout.encoding or "utf-8").lower().startswith("utf")
        sys.stdout.write(text if has_all else text.translate(_ASCII))

    def gap(self) -> None:
        """An empty line."""
        sys.stdout.write("\n")

    def title(self, text: str) -> None:
        """A heading, an empty line before it."""
        self.gap()
        self.write(Text(text, style="bold"))

    def facts(self, facts: Iterable[tuple[str, RenderableType]], *, indent: int = 0) -> None:
        """A line for each: what, and what it is."""
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(style="dim", no_wrap=True)
        table.add_column(overflow="fold")
        for what, told in facts:
            table.add_row(what, told)
        if table.row_count:
            self.write(table, indent=indent)

    def table(
        self,
        head: Sequence[str],
        rows: Iterable[Sequence[RenderableType]],
        *,
        indent: int = 0,
        fixed: int | None = None,
    ) -> None:
        """Rows in columns; the first `fixed` of them (all but the last) are never wrapped."""
        table = Table(box=None, show_header=True, header_style="dim", padding=(0, 2, 0, 0), pad_edge=False)
        never = len(head) - 1 if fixed is None else fixed
        for place, title in enumerate(head):
            table.add_column(title.upper(), no_wrap=place < never, overflow="fold", ratio=None if place < never else 1)
        for row in rows:
            table.add_row(*row)
        self.write(table, indent=indent)


def prose(text: str, style: str = "") -> Text:
    """Text whose `code` and {{ templates }} stand out; the backticks are left out."""
    made, end = Text(style=style), 0
    for found in _CODE.finditer(text):
        made.append(text[end : found.start()])
        made.append(found[1] or found[2], style="cyan")
        end = found.end()
    return made.append(text[end:])


def grid(rows: Iterable[Sequence[RenderableType]]) -> Table:
    """Rows in columns without a head."""
    table = Table.grid(padding=(0, 2, 0, 0))
    for row in rows:
        table.add_row(*row)
    return table


def stacked(lines: Sequence[Text | str]) -> Text:
    """Lines one below the other."""
    return Text("\n").join(line if isinstance(line, Text) else prose(line) for line in lines)
