"""Hands: what an App has at work beside its engine – publishing, consuming – and the end of it.

A hand works with a driver of somebody else's, which may lose a cancellation on its way out, or hold on for as long as
a server keeps silent.  So its end rests on neither:

    stopping (a flag) ─> cancel ─> cancel again … ─> ended ─> its connection is closed ─> done
                                      └─ after `_END_S` ──┘         └─ after `_CLOSE_S` ─┘

Invariant: `end` returns within about `_END_S + _CLOSE_S`, whatever a driver does; a hand that has seen the flag begins
nothing more.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ripresa.engine.engine import Engine

logger = logging.getLogger("ripresa.events")

_AGAIN_S: Final = 0.5
_END_S: Final = 5.0
_CLOSE_S: Final = 5.0


class Hand(Protocol):
    """Something that is at work as long as its engine is."""

    stopping: bool

    async def serve(self) -> None:
        """Work until `stopping`."""

    async def close(self) -> None:
        """Let go of the connection; closing twice is fine."""


class Hands:
    """Those of one App."""

    def __init__(self) -> None:
        self._hands: list[Hand] = []
        self._tasks: list[asyncio.Task[None]] = []

    def begin(self, engine: Engine, hands: Sequence[Hand]) -> None:
        """Set these to work."""
        for hand in hands:
            self._hands.append(hand)
            self._tasks.append(engine.task(hand.serve(), name=f"ripresa {type(hand).__name__.lower()}"))

    async def end(self) -> None:
        """End all; ending twice is fine."""
        hands, self._hands = self._hands, []
        tasks, self._tasks = self._tasks, []
        for hand in hands:
            hand.stopping = True
        await _ended(tasks, within_s=_END_S)
        closing = [asyncio.ensure_future(hand.close()) for hand in hands]
        if closing:
            done, _ = await asyncio.wait(closing, timeout=_CLOSE_S)
            for one in done:
                if not one.cancelled() and (error := one.exception()) is not None:
                    logger.warning("a connection for events was not closed well: %s", error)
        await _ended(closing, within_s=_AGAIN_S)


async def _ended(tasks: Sequence[asyncio.Future[None]], *, within_s: float) -> None:
    """Cancel them until they have ended, or for so long."""
    loop = asyncio.get_running_loop()
    until = loop.time() + within_s
    while waiting := [one for one in tasks if not one.done()]:
        if loop.time() >= until:
            logger.warning("%d tasks for events did not end within %g s, and are left alone", len(waiting), within_s)
            return
        for one in waiting:
            one.cancel()
        await asyncio.wait(waiting, timeout=_AGAIN_S)
