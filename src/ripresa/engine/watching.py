"""Watching: telling observers what happens, as it happens; and a virtual clock when nothing does.

Notices are for showing, not for deciding: nothing depends on who listens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from ripresa.contracts.failure import Failure
    from ripresa.engine.engine import Engine
    from ripresa.engine.held import Held
    from ripresa.kernel.commands import ScheduleStep
    from ripresa.ports.rows import LogLine


_LINES_WITHIN_S = 0.1


class Notice(NamedTuple):
    """Something worth showing to who watches; not a record of anything."""

    kind: str
    """step_waits | attempt_started | attempt_failed | step_done | step_set_aside | node_settled | run_status | log"""
    run: str
    key: str | None
    at: int
    operation: str | None = None
    name: str | None = None
    attempt: int | None = None
    attempts_max: int | None = None
    due: int | None = None
    failure: Failure | None = None
    status: str | None = None
    text: str | None = None
    stream: str | None = None
    """Of a log: stdout, stderr or log."""
    level: str | None = None


class Watching:
    """The engine's observers."""

    def __init__(self, engine: Engine, observers: list[Callable[[Notice], None]]) -> None:
        self._engine = engine
        self.observers = observers
        self._idle_asked = bool(getattr(engine.clock, "passes_by_itself", False))  # then nobody need ask
        self._writing = False
        """Lines wait to be written."""

    # --- watching ------------------------------------------------------------------------------

    def notify(
        self,
        kind: str,
        held: Held,
        ask: ScheduleStep | None = None,
        attempt: int | None = None,
        *,
        due: int | None = None,
        failure: Failure | None = None,
        status: str | None = None,
        node: str | None = None,
        text: str | None = None,
    ) -> None:
        """Tell the observers."""
        retry = ask.step.retry if ask else None
        notice = Notice(
            kind,
            held.id,
            held.key,
            self._engine.now(),
            ask.operation if ask else node,
            ask.step.name if ask else None,
            attempt,
            (retry.max_attempts if retry else 1) if ask else None,
            due,
            failure,
            status,
            text,
        )
        for observer in list(self.observers):
            observer(notice)

    def log(self, line: LogLine) -> None:
        """Keep a line that a step wrote; it rides along with a later batch."""
        if self._engine.stopping:
            return
        self._engine.committer.batch.logs.append(line)
        self._write_soon()
        notice = Notice(
            "log",
            line.run,
            None,
            line.at,
            line.operation,
            None,
            line.attempt,
            text=line.text,
            stream=line.stream,
            level=line.level,
        )
        for observer in list(self.observers):
            observer(notice)

    def _write_soon(self) -> None:
        """Write log lines within a moment."""
        if not self._writing:
            self._writing = True
            self._engine.loop.call_later(_LINES_WITHIN_S, self._write)

    def _write(self) -> None:
        self._writing = False
        self._engine.committer.kick()

    # --- idleness, for virtual clocks ------------------------------------------------------------

    def ask_idle(self) -> None:
        """Tell a virtual clock when there is nothing left to do; asked after everything that may be the last."""
        if not self._idle_asked:
            self._idle_asked = True
            self._engine.loop.call_soon(self._look_idle, 2)

    def _look_idle(self, again: int) -> None:
        calls = self._engine.calls
        if self._engine.working:
            calls.go_on()
            self._idle_asked = False
            return
        if calls.hold():
            self._idle_asked = False
            return
        if again:
            self._engine.loop.call_soon(self._look_idle, again - 1)
            return
        calls.go_on()
        self._idle_asked = False
        self._engine.clock.idle()
