"""Progress: what is known of a run that is being shown – its steps, its children, what it waits for.

A picture in memory, fed by an engine's notices or by a store's rows; it draws nothing and decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ripresa.cli.result import brief, in_brief
from ripresa.contracts.status import TERMINAL

if TYPE_CHECKING:
    from ripresa.contracts.failure import Failure
    from ripresa.contracts.step_records import StepRecord
    from ripresa.ports.rows import Run


@dataclass(slots=True)
class StepView:
    """One step as it is shown."""

    operation: str
    status: str
    """running | retrying | succeeded | skipped | failed | quarantined | cancelled | compensated | pending | left"""
    started: int
    attempt: int = 1
    attempts_max: int | None = None
    ended: int | None = None
    due: int | None = None
    why: str = ""

    @property
    def quiet(self) -> bool:
        """It went well, so it is the first to give up its line."""
        return self.status in {"succeeded", "skipped"}


@dataclass(slots=True)
class RunView:
    """One run as it is shown."""

    uuid: str
    ref: str
    definition: str
    status: str
    started: int
    ended: int | None = None
    why: str = ""
    items: dict[str, StepView | RunView] = field(default_factory=dict)
    """Steps by operation and children by UUID, in order of their start."""
    waits: list[str] = field(default_factory=list)

    @property
    def quiet(self) -> bool:
        return self.status == "succeeded"

    @property
    def is_open(self) -> bool:
        return self.status not in TERMINAL

    @classmethod
    def of(cls, row: Run) -> RunView:
        """A run as its row has it."""
        view = cls(row.id, row.key or row.id, row.definition, row.status, row.started_at or row.created_at)
        view.ended = row.finished_at
        return view

    # --- from notices --------------------------------------------------------------------------

    def attempt_started(self, operation: str, at: int, attempt: int, attempts_max: int | None) -> None:
        """An attempt has begun."""
        step = self.items.get(operation)
        if not isinstance(step, StepView):
            step = self.items[operation] = StepView(operation, "running", at)
        if step.status == "pending":
            step.started = at
        step.status, step.attempt, step.attempts_max, step.due, step.ended = (
            "running",
            attempt,
            attempts_max,
            None,
            None,
        )

    def attempt_failed(self, operation: str, at: int, due: int | None, failure: Failure | None) -> None:
        """An attempt has failed and another is due."""
        step = self._step(operation, at)
        step.status, step.due, step.why = "retrying", due, brief(failure) if failure else ""

    def step_ended(self, operation: str, at: int, status: str, failure: Failure | None) -> None:
        """A step has its outcome."""
        step = self._step(operation, at)
        step.status, step.ended, step.due, step.why = status, at, None, brief(failure) if failure else ""

    def _step(self, operation: str, at: int) -> StepView:
        step = self.items.get(operation)
        if not isinstance(step, StepView):
            step = self.items[operation] = StepView(operation, "running", at)
        return step

    def status_is(self, status: str, at: int) -> None:
        """The run has another status."""
        self.status = status
        self.ended = at if not self.is_open else None
        if not self.is_open:
            self._stop("cancelled", at)

    def leave(self, at: int) -> None:
        """The engine lets the run go: what is under way is attempted again when it goes on."""
        self.status = "left"
        self._stop("left", at)
        for item in self.items.values():
            if isinstance(item, RunView) and item.is_open:
                item.leave(at)

    def _stop(self, status: str, at: int) -> None:
        self.waits = []
        for item in self.items.values():
            if not isinstance(item, StepView):
                continue
            if status == "left" and item.status == "pending":
                item.why = ""  # it had not begun: there is nothing to cut off, and no line that it still stands in
            elif item.status in {"running", "retrying", "pending"}:
                item.status, item.ended = status, at

    def step_waits(self, operation: str, at: int, why: str) -> None:
        """A step waits for its pool."""
        step = self._step(operation, at)
        step.status, step.due, step.why = "pending", None, why

    # --- from a store --------------------------------------------------------------------------

    def see_steps(self, steps: list[StepRecord]) -> None:
        """What the store knows of the steps, in place of what was known."""
        for record in steps:
            self.items[record.operation] = _step_view(record)


_NOT_YET = 1 << 62
_SHOWN = {"waiting": "retrying", "queued": "pending"}


def _step_view(record: StepRecord) -> StepView:
    view = StepView(record.operation, _SHOWN.get(record.status, record.status), _micros(record.started_at) or 0)
    view.attempt = record.attempts
    view.ended, view.due = _micros(record.finished_at), _micros(record.next_attempt_at)
    queued = record.status == "queued"
    view.why = in_brief(record.error.type, record.error.message) if record.error and not queued else record.reason or ""
    if queued:
        view.started = view.started or _NOT_YET
    return view


def _micros(at: object) -> int | None:
    from datetime import datetime

    return round(at.timestamp() * 1e6) if isinstance(at, datetime) else None
