"""Following: showing how something stands, again whenever it has changed, until Ctrl-C.

On a terminal it is drawn over itself; in a pipe it is written again.
"""

from __future__ import annotations

import asyncio
import io
import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any

from ripresa.cli.exits import INTERRUPTED, Ended
from ripresa.cli.output import write
from ripresa.cli.process import on_interrupt
from ripresa.cli.screen import wants_colour

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_LOOK_S = 0.5


async def follow(look: Callable[[], Awaitable[Callable[[], None]]]) -> None:
    """Look, and draw what is seen, until Ctrl-C.  Raises Ended then."""
    interrupted = on_interrupt()
    live = _Live() if wants_colour(sys.stdout) else None
    shown = ""
    try:
        while not interrupted.done():
            text = _text(await look())
            if live is not None:
                live.show(text)
            elif text != shown:
                write(text)
                sys.stdout.flush()
            shown = text
            await asyncio.wait({interrupted}, timeout=_LOOK_S)
    finally:
        if live is not None:
            live.close()
    raise Ended(INTERRUPTED)


def _text(draw: Any) -> str:
    with redirect_stdout(_Paper()) as paper:
        draw()
    return str(paper.getvalue())


class _Paper(io.StringIO):
    """Stands for stdout: as wide, and coloured if that is."""

    def isatty(self) -> bool:
        return sys.__stdout__ is not None and sys.__stdout__.isatty()


class _Live:
    """Draws over what was drawn."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._live = Live(console=Console(highlight=False), auto_refresh=False, vertical_overflow="crop")
        self._live.start()

    def show(self, text: str) -> None:
        from rich.text import Text

        self._live.update(Text.from_ansi(text), refresh=True)

    def close(self) -> None:
        self._live.stop()
