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
    limits = {timer.name.partition("~")[0]: timer for timer in timers if _is_limit(timer)}
    found = [f"{_what(timer)} until {_when(timer)}" for timer in timers if not _is_limit(timer)]
    for name in live.mail.awaited:
        limit = limits.get(f"{name}/timeout") or limits.get("timeout")
        found.append(f"waiting for signal {name!r}" + (f", until {_when(limit)}" if limit else ""))
    return found


def _is_limit(timer: Any) -> bool:
    """A time limit, of the run or (`approval/timeout`) of a graph's node; a run tried again adds `~1` to its name."""
    return str(timer.name.partition("~")[0].rpartition("/")[2]) == "timeout"


def _what(timer: Any) -> str:
    """`asyncio.sleep` and `sleep` have no name of their own; a graph's wait has its node's."""
    return "sleeping" if timer.name in {"timer", "sleep"} else f"{timer.name}: waiting"


def _when(timer: Any) -> str:
    return f"{until(timer.due)} ({span(timer.due - time.time_ns() // 1000)})"
