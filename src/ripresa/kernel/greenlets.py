"""Greenlets: how a plain call waits in the middle of a callback (see `live`)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

import greenlet

if TYPE_CHECKING:
    from ripresa.kernel.live import LiveRun

IDLE = "idle"
PARKED = "parked"


class Parked(NamedTuple):
    """A callback left half-way: its greenlet, what it waits for, and the task it belongs to."""

    greenlet: greenlet.greenlet
    future: asyncio.Future[Any]
    task: asyncio.Task[Any] | None


class Runners:
    """Greenlets to run callbacks in; one serves every run of a thread until a callback parks in it."""

    __slots__ = ("_idle",)

    def __init__(self) -> None:
        self._idle: list[greenlet.greenlet] = []

    def take(self) -> greenlet.greenlet:
        """A greenlet that waits for a run to drain."""
        return self._idle.pop() if self._idle else greenlet.greenlet(_runner)

    def give(self, runner: greenlet.greenlet) -> None:
        """It has drained its run and may serve another."""
        self._idle.append(runner)


def _runner(run: LiveRun | None) -> None:
    here = greenlet.getcurrent()
    while run is not None:
        run.drain()
        parent = here.parent
        assert parent is not None  # noqa: S101 - only the main greenlet has none, and it is no runner
        run = parent.switch(IDLE)
