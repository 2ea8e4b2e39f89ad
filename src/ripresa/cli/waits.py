"""Waits: what a run in memory waits for, in words – a time, a signal, a condition."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ripresa.cli.times import span, until

if TYPE_CHECKING:
    from ripresa.engine.held import Held


def waits_of(held: Held | None) -> list[str] | None:
    """A line for each thing; None: the run's code is not in memory, so it cannot be told."""
    live = None if held is None else held.live
    if live is None:
        return None
    timers = [operation for operation in live.operations.values() if operation.kind == "timer"]
    limits = [timer for timer in timers if timer.name == "timeout"]
    before = f", until {_when(limits[0])}" if limits else ""
    found = [f"sleeping until {_when(timer)}" for timer in timers if timer.name != "timeout"]
    found += [f"waiting for signal {name!r}{before}" for name in live.mail.awaited]
    return found


def _when(timer: Any) -> str:
    return f"{until(timer.due)} ({span(timer.due - time.time_ns() // 1000)})"
