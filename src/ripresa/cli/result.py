"""Results: how a run ended – its output for stdout, or the error that names it.

The errors are those of `App`, so that one table of exit codes serves all commands.
"""

from __future__ import annotations

import json
from shlex import quote
from typing import TYPE_CHECKING, Any

from ripresa.cli.output import write
from ripresa.cli.settings import same_store
from ripresa.contracts.errors import RunBlocked, RunCancelled, RunError, RunFailed, RunQuarantined
from ripresa.contracts.failure import Failure
from ripresa.contracts.payload import load
from ripresa.contracts.status import TERMINAL, RunStatus

if TYPE_CHECKING:
    from ripresa.ports.rows import Run

HALTED = TERMINAL | {RunStatus.QUARANTINED, RunStatus.BLOCKED}
"""Statuses that only a person, or other code, moves on."""


def outcome(run: Run) -> Any:
    """The output of a run that has come to a stop.  Raises RunFailed and its kind, saying what may be done."""
    ref = run.key or run.id
    failure = Failure.from_json(load(run.error)) if run.error else None
    why = f": {brief(failure)}" if failure else ""
    match RunStatus(run.status):
        case RunStatus.SUCCEEDED:
            return load(run.output or "null")
        case RunStatus.FAILED:
            raise RunFailed(
                ref,
                f"run {ref!r} failed{why}\n  go on from there: ripresa runs retry {quote(ref)}{same_store()}",
                cause=failure,
            )
        case RunStatus.CANCELLED:
            raise RunCancelled(ref, f"run {ref!r} was cancelled{why}", cause=failure)
        case RunStatus.QUARANTINED:
            raise RunQuarantined(
                ref,
                f"run {ref!r} is quarantined{why}\n  decide: ripresa quarantine show {quote(ref)}{same_store()}",
                cause=failure,
            )
        case RunStatus.BLOCKED:
            said = failure.message if failure else "its code does not fit its history"
            raise RunBlocked(
                ref, f"run {ref!r} is blocked: {said}\n  it goes on when fitting code is back", cause=failure
            )
        case _:
            raise RunError(ref, f"run {ref!r} is {run.status}")


def brief(failure: Failure) -> str:
    """A failure in a line: a step's own words say more than the name of our error."""
    return in_brief(failure.type, failure.message)


def in_brief(kind: str, message: str) -> str:
    """The same, from its parts."""
    if not message:
        return kind
    return message if kind.startswith("ripresa.") else f"{kind}: {message}"


def write_result(value: Any) -> None:
    """An output for people: text as it stands, nothing for nothing, all else as JSON."""
    if value is None:
        return
    write(value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False))
