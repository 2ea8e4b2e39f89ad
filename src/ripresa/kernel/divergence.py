"""Divergence: saying where the code and the history part, so that its author can act on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ripresa.contracts.errors import Diverged
from ripresa.kernel import history as h

if TYPE_CHECKING:
    from ripresa.kernel.live import LiveRun

_NOUNS = {h.TIMER_FIRED: "timer", h.CHILD_FINISHED: "child", h.SIGNAL_SENT: "signal", h.EVENT_PUBLISHED: "event"}
_SHOWN_MAX = 3


def diverged(run: LiveRun, event: Any) -> Diverged:
    """The error for an event that answers nothing the code asked for, or asked for otherwise."""
    recorded = f"{_NOUNS.get(event.kind, 'step')} {event.operation!r}"
    same = run.operations.get(event.operation)
    asked = sorted((op for op in run.operations.values() if op is not same), key=lambda op: op.kind == "timer")
    first = same or (asked[0] if asked else None)
    line = first.line if first else ""
    where = f"history event {event.seq} holds the outcome of {recorded}"
    if same is not None:
        text = f"{where}, but the code now asks for it with other arguments{f' at {line}' if line else ''}"
    elif run.finished is not None:
        text = f"{where}, but the code has already ended"
    else:
        wants = ", ".join(f"{op.kind} {op.id!r}" + (f" ({op.line})" if op.line else "") for op in asked[:_SHOWN_MAX])
        text = f"{where}, but the code asks for {wants or 'nothing'} there"
    msg = f"run {run.name} no longer fits its code: {text}; put the old code back, or branch with ripresa.patched(…)"
    return Diverged(msg, operation=first.id if first else str(event.operation), line=line, recorded=recorded)
