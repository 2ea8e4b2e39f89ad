"""Watching: a run of another process, followed through the store."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ripresa.cli.exits import INTERRUPTED, Ended, say
from ripresa.cli.picture import picture
from ripresa.cli.process import on_interrupt
from ripresa.cli.reading import find, opened
from ripresa.cli.result import HALTED
from ripresa.cli.screen import PolledScreen, polled_screen
from ripresa.cli.sending import engine_of

if TYPE_CHECKING:
    from ripresa.ports.rows import Run
    from ripresa.ports.store import Store

_FRAME_S = 0.1
_POLL_S = 0.3


async def watched(url: str, ref: str) -> Run:
    """The run once it has stopped; shown until then.  Raises RunNotFound, StoreError; Ended on Ctrl-C."""
    interrupted = on_interrupt()
    async with opened(url) as store:
        row = await find(store, ref)
        if row.status not in HALTED and await engine_of(store) is None:
            say("no engine runs: nothing will move until one does")
        screen = polled_screen()
        try:
            watching = asyncio.ensure_future(_follow(store, row, screen))
            either: set[asyncio.Future[Any]] = {watching, interrupted}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            screen.close()
        if watching.done():
            return watching.result()
        watching.cancel()
        say(unwatched(row.key or row.id))
        raise Ended(INTERRUPTED)


def unwatched(ref: str) -> str:
    """What Ctrl-C means to a run of another engine."""
    return f"no longer watching run {ref}; it is not touched by this"


async def _follow(store: Store, row: Run, screen: PolledScreen) -> Run:
    frames = round(_POLL_S / _FRAME_S)
    while True:
        screen.see(await picture(store, row))
        if row.status in HALTED:
            return row
        for _ in range(frames):
            screen.draw()
            await asyncio.sleep(_FRAME_S)
        row = await find(store, row.id)
