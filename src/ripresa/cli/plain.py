"""Plain progress: a line an event, for logs, pipes and NO_COLOR."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ripresa.cli.exits import say
from ripresa.cli.result import brief
from ripresa.cli.times import clock_time, span

if TYPE_CHECKING:
    from ripresa.engine.watching import Notice


class PlainLines:
    """Tells of each notice in a line."""

    def __init__(self) -> None:
        self._started: dict[tuple[str, str | None], int] = {}

    def see(self, notice: Notice, label: str) -> None:
        """Tell it; `label` names the run if it is not the one that was asked for."""
        said = self._said(notice)
        if said is not None:
            say(f"{clock_time(notice.at)} {label}{said}")

    def _said(self, notice: Notice) -> str | None:
        mark = (notice.run, notice.operation)
        of = f" (attempt {notice.attempt}/{notice.attempts_max})" if (notice.attempts_max or 1) > 1 else ""
        match notice.kind:
            case "attempt_started":
                self._started[mark] = notice.at
                return f"{notice.operation} started{of}"
            case "attempt_failed":
                wait = span((notice.due or notice.at) - notice.at)
                why = brief(notice.failure) if notice.failure else ""
                return f"{notice.operation} failed{of}, again in {wait}: {why}"
            case "step_done":
                took = span(notice.at - self._started.pop(mark, notice.at))
                if notice.failure is None:
                    return f"{notice.operation} succeeded in {took}"
                return f"{notice.operation} failed for good{of}: {brief(notice.failure)}"
            case "step_set_aside":
                return f"{notice.operation} set aside: {brief(notice.failure) if notice.failure else ''}"
            case "run_status":
                return f"run is {notice.status}"
            case "log":
                return f"{notice.operation or 'run'} | {notice.text}"
            case _:
                return None


def now_us() -> int:
    """The wall clock, in a store's measure."""
    return time.time_ns() // 1000
