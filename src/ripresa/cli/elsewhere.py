"""Elsewhere: what other engines do of a run that is shown here, looked up in the store from time to time.

On a store that several engines share, the run, or some of its children, may be in another's hands, from the beginning
or since a while.  What is in the memory of our own engine is told by its notices and left alone here.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from ripresa.cli.picture import picture
from ripresa.cli.progress import RunView
from ripresa.contracts.errors import StoreUnavailable

if TYPE_CHECKING:
    from ripresa.cli.screen import Audience
    from ripresa.engine.engine import Engine

_LOOK_S = 0.3


class Elsewhere:
    """Shows an audience what the store tells of runs that our engine does not hold."""

    def __init__(self, engine: Engine, audience: Audience) -> None:
        self._engine = engine
        self._audience = audience
        self._lines: dict[str, int] = {}
        """Of each such run the number of the last line that was seen."""
        self._ours: set[str] = set()
        """Runs that our engine held: their lines were told by notices."""
        self.owned = False
        """Another engine holds the run itself."""

    async def watch(self) -> None:
        """Look until cancelled."""
        while self._engine.store.shared:
            began = time.perf_counter()
            await self.look()
            await asyncio.sleep(max(_LOOK_S, 10 * (time.perf_counter() - began)))

    async def look(self) -> None:
        """Look once."""
        engine, root = self._engine, self._audience.root
        if not engine.store.shared or root is None or (root.uuid in engine.held and not engine.fleet.others):
            return
        held = set(engine.held)  # what is held until later is told by notices, which know more than the store did
        with suppress(StoreUnavailable):  # it is out of reach for now
            row = await engine.verbs.find(root.uuid)
            self.owned = row.owner not in (None, engine.number) and row.id not in engine.held
            seen = await picture(engine.store, row)
            held |= set(engine.held)
            first = not self._lines and not self._ours
            if not first:
                self._audience.see(seen, held)
            for run in _all(seen):
                if run in held:
                    self._ours.add(run)
                else:
                    await self._tell_lines(run, before=first or run in self._ours)
            if first:  # what is written from now on is told
                self._audience.see(seen, held)

    async def _tell_lines(self, run: str, *, before: bool) -> None:
        """What its steps wrote since the last look; what they wrote `before` the first is not told, or was."""
        silent = before and run not in self._lines
        after = self._lines.setdefault(run, 0)
        for number, line in await self._engine.store.logs(run, after=after):
            self._lines[run] = number
            if not silent:
                self._audience.wrote(line)


def _all(view: RunView) -> list[str]:
    """The run, and all that descend from it."""
    return [view.uuid, *(one for item in view.items.values() if isinstance(item, RunView) for one in _all(item))]
