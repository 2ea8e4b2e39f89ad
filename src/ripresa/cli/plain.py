"""Plain progress: a line an event, for logs, pipes and NO_COLOR."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ripresa.cli.exits import say
from ripresa.cli.printable import printable
from ripresa.cli.process import now_us
from ripresa.cli.progress import RunView
from ripresa.cli.result import brief
from ripresa.cli.times import clock_time, span, ticking

if TYPE_CHECKING:
    from collections.abc import Container

    from ripresa.engine.watching import Notice


_ENDED = {"succeeded": "run succeeded", "failed": "run failed", "cancelled": "run was cancelled"}


class PlainLines:
    """Tells of each notice in a line."""

    def __init__(self) -> None:
        self._started: dict[tuple[str, str | None], int] = {}
        self._waits: set[str] = set()
        self._queued: set[tuple[str, str | None]] = set()
        self._changes = PlainChanges()

    def heard(self, notice: Notice, run: RunView, label: str) -> None:
        """Tell it."""
        said = self._said(notice)
        if said is not None:
            say(f"{clock_time(notice.at)} {label}{said}")
        if notice.kind != "log":
            self._changes.know(run)

    def saw(self, root: RunView, held: set[str]) -> None:
        """Tell what is new of those that others hold."""
        self._changes.see(root, held)

    def draw(self, root: RunView) -> None:
        """What the run waits for is told once."""
        for wait in root.waits:
            what = wait.partition(" (")[0]
            if what not in self._waits:
                self._waits.add(what)
                say(f"{clock_time(now_us())} {wait}")

    def close(self, root: RunView | None) -> None:
        """Nothing is left to say."""

    def _said(self, notice: Notice) -> str | None:
        mark = (notice.run, notice.operation)
        of = f" (attempt {notice.attempt}/{notice.attempts_max})" if (notice.attempts_max or 1) > 1 else ""
        match notice.kind:
            case "attempt_started":
                self._started[mark] = notice.at
                return f"{notice.operation} started{of}"
            case "step_waits" if mark not in self._queued:
                self._queued.add(mark)
                return f"{notice.operation} waits: {notice.text}"
            case "attempt_failed":
                wait = ticking((notice.due or notice.at) - notice.at)
                why = brief(notice.failure) if notice.failure else ""
                return f"{notice.operation} failed{of}, again in {wait}: {why}"
            case "step_done":
                started = self._started.pop(mark, None)  # None: it was under way when this began to look
                took = "" if started is None else f" in {span(notice.at - started)}"
                if notice.failure is None:
                    return f"{notice.operation} succeeded{took}"
                return f"{notice.operation} failed for good{of}: {brief(notice.failure)}"
            case "node_settled":
                why = f": {brief(notice.failure)}" if notice.failure else ""
                return f"{notice.operation} {notice.status}{why}"
            case "step_set_aside":
                return f"{notice.operation} set aside: {brief(notice.failure) if notice.failure else ''}"
            case "run_status" if notice.status not in {"running", "waiting"}:
                return in_words(notice.status or "")
            case "log":
                return f"{notice.operation or 'run'} | {printable(notice.text or '')}"
            case _:
                return None


def in_words(status: str) -> str:
    """How a run stands: `run succeeded`, `run is waiting`."""
    return _ENDED.get(status, f"run is {status}")


class PlainChanges:
    """Tells, in a line each, what has changed between two pictures of a run."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], tuple[str, int]] = {}

    def see(self, root: RunView, known: Container[str] = ()) -> None:
        """Tell what is new; of some runs it is known."""
        self._see(root, "", known)

    def know(self, run: RunView) -> None:
        """That the run, apart from its children, stands so need not be told."""
        for key, item in run.items.items():
            if not isinstance(item, RunView):
                self._is_new((run.uuid, key), (item.status, item.attempt))
        self._is_new((run.uuid, ""), (run.status, 0))

    def draw(self) -> None:
        """Lines are written once."""

    def close(self) -> None:
        """Nothing is left to say."""

    def _see(self, run: RunView, label: str, known: Container[str]) -> None:
        if run.uuid in known:
            self.know(run)
        for key, item in run.items.items():
            if isinstance(item, RunView):
                self._see(item, f"{label}{item.ref}/", known)
            elif self._is_new((run.uuid, key), (item.status, item.attempt)):
                why = f": {item.why}" if item.why else ""
                say(f"{clock_time(item.ended or now_us())} {label}{item.operation} {item.status}{why}")
        if self._is_new((run.uuid, ""), (run.status, 0)):
            say(f"{clock_time(run.ended or now_us())} {label}{in_words(run.status)}")

    def _is_new(self, mark: tuple[str, str], state: tuple[str, int]) -> bool:
        known = self._known.get(mark)
        self._known[mark] = state
        return known != state
