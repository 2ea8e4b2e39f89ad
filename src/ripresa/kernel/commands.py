"""Commands: what a run asks for.  Values only; the engine carries them out.

Each that names an `operation` is answered by one history event of that operation, unless the run
cancels it first.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class ScheduleStep(NamedTuple):
    """Attempt this step until it has an outcome."""

    operation: str
    step: Any
    """The step's definition: `name`, `retry`, `timeout_us`, `runtime`, `function`."""
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    input: str
    fingerprint: int


class CancelStep(NamedTuple):
    """Stop the work of this operation; its outcome no longer matters.

    With `tell`, an event says what became of it: its outcome, if that is on its way, else a failure `cancelled`.
    """

    operation: str
    tell: bool = False
    asked: ScheduleStep | None = None
    """What was asked for, if more may be left of it than its attempts: an effect, a slot of a pool, work elsewhere."""


class SetTimer(NamedTuple):
    """Tell the run when `due` has come."""

    operation: str
    due: int
    fingerprint: int
    name: str


class ClearTimer(NamedTuple):
    """The timer is not wanted any more."""

    operation: str


class StartChild(NamedTuple):
    """Start a run of another workflow, and report how it ended."""

    operation: str
    child: str
    key: str | None
    workflow: Any
    input: str
    fingerprint: int
    priority: int | None = None
    tags: dict[str, str] | None = None


class CancelChild(NamedTuple):
    """Ask the child run to stop; nobody waits for it any more."""

    operation: str
    child: str


class SendSignal(NamedTuple):
    """Send a signal to another run, once."""

    operation: str
    run: str
    name: str
    data: str
    fingerprint: int


class Publish(NamedTuple):
    """Publish an event, at least once."""

    operation: str
    type: str
    data: str
    fingerprint: int


class TakePatch(NamedTuple):
    """Note that the run went the new way at this branch."""

    patch: str


class SettleNode(NamedTuple):
    """Note what became of a node of a graph that is no step of its own, or was skipped; nothing answers it."""

    node: str
    data: str
    """JSON object: status, reason, started_at, and output; of a fan-out, in its place, the number of items."""
    error: str | None


class FinishUpdate(NamedTuple):
    """An update's handler has returned (`error` is None) or raised."""

    update: str
    name: str
    output: str | None
    error: str | None


class ContinueAsNew(NamedTuple):
    """Begin again with this input and an empty journal."""

    input: str


class Finish(NamedTuple):
    """The run has ended; `status` is succeeded, failed, cancelled or quarantined."""

    status: str
    output: str | None
    error: str | None


Command = (
    ScheduleStep
    | CancelStep
    | SetTimer
    | ClearTimer
    | StartChild
    | CancelChild
    | SendSignal
    | Publish
    | TakePatch
    | SettleNode
    | FinishUpdate
    | ContinueAsNew
    | Finish
)
