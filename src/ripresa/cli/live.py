"""The live tree, drawn with Rich on stderr; loaded only for a terminal."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from ripresa.cli.printable import printable
from ripresa.cli.tree import TreeLines

if TYPE_CHECKING:
    from ripresa.cli.progress import RunView
    from ripresa.engine.watching import Notice

_FINAL_LINES_MAX = 200


class LiveTree:
    """A tree that is drawn over itself; lines that steps write scroll above it."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, force_terminal=True, highlight=False)
        encoding = self._console.encoding.lower()
        self._lines = TreeLines(ascii_only=not encoding.startswith("utf"))
        self._live = Live(console=self._console, auto_refresh=False, vertical_overflow="crop")
        self._live.start()

    def heard(self, notice: Notice, run: RunView, label: str) -> None:
        """Only lines of steps are written; all else is in the tree."""
        if notice.kind == "log":
            line = Text(f"{label}{notice.operation or run.ref} ", style="dim cyan").append("│ ", style="dim")
            self._console.print(line.append(printable(notice.text or ""), style="default"), soft_wrap=True)

    def saw(self, root: RunView, held: set[str]) -> None:
        """It is in the tree."""

    def draw(self, root: RunView) -> None:
        """Draw over what was drawn."""
        self._show(root, max(3, self._console.height - 1))

    def close(self, root: RunView | None) -> None:
        """Draw once more, with more room, and leave it there."""
        if root is not None:
            self._live.vertical_overflow = "visible"
            self._show(root, _FINAL_LINES_MAX)
        self._live.stop()

    def _show(self, root: RunView, height: int) -> None:
        lines = self._lines.draw(root, time.time_ns() // 1000, height)
        self._live.update(Group(*lines), refresh=True)


class LivePicture:
    """A tree of a run that is looked up in the store from time to time, and drawn more often."""

    def __init__(self) -> None:
        self._tree = LiveTree()
        self._root: RunView | None = None

    def see(self, root: RunView) -> None:
        """This is how it stands."""
        self._root = root

    def draw(self) -> None:
        """Draw it, clocks and all."""
        if self._root is not None:
            self._tree.draw(self._root)

    def close(self) -> None:
        """Leave it there."""
        self._tree.close(self._root)
