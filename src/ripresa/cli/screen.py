"""The screen: shows a run of an engine of this process as it goes – a live tree, or plain lines.

It listens to the engine's notices and never keeps the engine waiting: drawing happens between two
turns of the loop, ten times a second at the most, and seldom when nothing moves.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from ripresa.cli.picture import picture
from ripresa.cli.plain import PlainChanges, PlainLines
from ripresa.cli.progress import RunView, StepView
from ripresa.cli.waits import waits_of
from ripresa.contracts.errors import StoreUnavailable
from ripresa.engine.watching import Notice

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ripresa.engine.engine import Engine
    from ripresa.ports.rows import LogLine, Run

FRAME_S = 0.1
_SLOW_FRAME_S = 1.0
BUFFERED_MAX = 10_000


class Screen(Protocol):
    """Where progress is shown."""

    def heard(self, notice: Notice, run: RunView, label: str) -> None:
        """Something happened; `run` knows it already.  `label` names a child, and is empty for the run itself."""

    def saw(self, root: RunView, held: set[str]) -> None:
        """The store tells that it stands so; of the runs that are `held`, `heard` tells."""

    def draw(self, root: RunView) -> None:
        """Show how it stands now."""

    def close(self, root: RunView | None) -> None:
        """Show how it stands at last; None: there was nothing to show."""


def screen(*, follow: bool = False) -> Screen:
    """A live tree on a terminal that wants it, else plain lines, among which is what the steps write."""
    if follow or not wants_colour(sys.stderr):
        return PlainLines()
    from ripresa.cli.live import LiveTree

    return LiveTree()


class PolledScreen(Protocol):
    """Where pictures from a store are shown."""

    def see(self, root: RunView) -> None:
        """This is how the run stands."""

    def draw(self) -> None:
        """Show it."""

    def close(self) -> None:
        """Show it at last."""


def polled_screen() -> PolledScreen:
    """As `screen`, for pictures."""
    if not wants_colour(sys.stderr):
        return PlainChanges()
    from ripresa.cli.live import LivePicture

    return LivePicture()


def wants_colour(stream: Any) -> bool:
    """Whether `stream` is a terminal, and nobody has asked for plain text."""
    return bool(stream.isatty()) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class Audience:
    """Listens to an engine on behalf of a screen; sorts notices by run.

    `heard` is what was told before there was a screen.
    """

    def __init__(self, engine: Engine, on: Screen, heard: Iterable[Notice] = ()) -> None:
        self._engine = engine
        self._screen = on
        self._known: dict[str, RunView] = {}
        self._labels: dict[str, str] = {}
        self._early: deque[Notice] = deque(heard, maxlen=BUFFERED_MAX)
        self._news = asyncio.Event()
        self.root: RunView | None = None
        engine.watching.observers.append(self._hear)

    async def follow(self, row: Run) -> None:
        """Show this run from now on, with what the store, the engine and earlier notices tell of it.

        What happened before this began to listen may be on its way to the disk: the store is asked once it is there.
        """
        with suppress(StoreUnavailable):  # it is out of reach for now: show what can be had
            await self._engine.verbs.on_disk()
        self.root = root = await picture(self._engine.store, row)
        self._know(root, "")
        early, self._early = self._early, deque()
        for notice in early:
            self._hear(notice)

    def _know(self, view: RunView, label: str) -> None:
        self._known[view.uuid], self._labels[view.uuid] = view, label
        held = self._engine.held.get(view.uuid)
        for flight in held.flights.values() if held is not None else ():
            if flight.launched and flight.ask.operation not in view.items:  # too young to be in the store
                limit = flight.ask.step.retry.max_attempts if flight.ask.step.retry else 1
                view.attempt_started(flight.ask.operation, flight.started_at, flight.attempt, limit)
        for item in view.items.values():
            if isinstance(item, RunView):
                self._know(item, f"{label}{item.ref}/")

    def see(self, seen: RunView, held: set[str]) -> None:
        """The store tells that the run stands so; what it tells of those that are `held` is known better."""
        if self.root is not None:
            self._merge(seen, held, "")
            self._screen.saw(self.root, held)
            self._news.set()

    def _merge(self, seen: RunView, held: set[str], label: str) -> RunView:
        view = self._known.setdefault(seen.uuid, seen)
        self._labels.setdefault(seen.uuid, label)
        items: dict[str, StepView | RunView] = {
            key: item for key, item in seen.items.items() if isinstance(item, StepView)
        }
        for child in [item for item in seen.items.values() if isinstance(item, RunView)]:
            items[child.uuid] = self._merge(child, held, f"{label}{child.ref}/")
        if seen.uuid in held:
            view.items |= {key: item for key, item in items.items() if isinstance(item, RunView)}
        else:
            view.status, view.ended, view.waits = seen.status, seen.ended, seen.waits
            view.items = dict(sorted(items.items(), key=lambda item: item[1].started))
        return view

    def wrote(self, line: LogLine) -> None:
        """A step has written this, at another engine."""
        view = self._known.get(line.run)
        if view is not None:
            notice = Notice("log", line.run, None, line.at, line.operation, text=line.text, stream=line.stream)
            self._screen.heard(notice, view, self._labels[view.uuid])

    def ended(self, row: Run) -> None:
        """The run has come to a stop."""
        if self.root is not None:
            self.root.status_is(row.status, row.finished_at or row.updated_at)

    def left(self, at: int) -> None:
        """The run is let go before it has ended."""
        if self.root is not None:
            self.root.leave(at)

    def close(self) -> None:
        """Show how it stands at last."""
        self._screen.close(self.root)

    async def watch(self) -> None:
        """Draw until cancelled."""
        while True:
            began = time.perf_counter()
            if self.root is not None:
                self._look()
                self._screen.draw(self.root)
            took = time.perf_counter() - began
            self._news.clear()
            await asyncio.sleep(max(FRAME_S, took * 10))
            if not self._moving():
                with suppress(TimeoutError):
                    async with asyncio.timeout(_SLOW_FRAME_S):
                        await self._news.wait()

    def _moving(self) -> bool:
        """Whether a spinner turns or a countdown runs."""
        return any(view.status == "running" for view in self._known.values()) or any(
            isinstance(item, StepView) and item.status in {"running", "retrying"}
            for view in self._known.values()
            for item in view.items.values()
        )

    def _look(self) -> None:
        """What the runs wait for is not told in notices: look at those in memory."""
        for uuid, view in self._known.items():
            if view.is_open:
                waits = waits_of(self._engine.held.get(uuid))
                view.waits = view.waits if waits is None else waits

    def _hear(self, notice: Notice) -> None:
        view = self._view(notice.run)
        if view is None:
            if self.root is None:
                self._early.append(notice)
            return
        _take(view, notice)
        self._screen.heard(notice, view, self._labels[view.uuid])
        self._news.set()

    def _view(self, uuid: str) -> RunView | None:
        """The run's picture, if it is the root or descends from it."""
        known = self._known.get(uuid)
        held = self._engine.held.get(uuid)
        if known is not None or held is None or held.parent is None:
            return known
        parent = self._view(held.parent)
        if parent is None:
            return None
        view = RunView(
            uuid, held.definition if held.key is None else held.key, held.definition, "running", self._engine.now()
        )
        self._known[uuid] = parent.items[uuid] = view
        self._labels[uuid] = f"{self._labels[parent.uuid]}{view.ref}/"
        return view


def _take(view: RunView, notice: Notice) -> None:
    operation, at = notice.operation or "", notice.at
    match notice.kind:
        case "attempt_started":
            view.attempt_started(operation, at, notice.attempt or 1, notice.attempts_max)
        case "step_waits":
            view.step_waits(operation, at, notice.text or "")
        case "attempt_failed":
            view.attempt_failed(operation, at, notice.due, notice.failure)
        case "step_done":
            view.step_ended(operation, at, "failed" if notice.failure else "succeeded", notice.failure)
        case "node_settled":
            view.step_ended(operation, at, notice.status or "succeeded", notice.failure)
        case "step_set_aside":
            view.step_ended(operation, at, "quarantined", notice.failure)
        case "run_status":
            view.status_is(notice.status or view.status, at)
        case _:
            pass  # a line that a step wrote changes nothing
