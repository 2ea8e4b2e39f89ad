"""The effect ledger: a second witness, which knows nothing of the engine's journal.

Each step writes one line when it begins to act, before it does anything else: who I am, under which key.  The line is
appended in one write and forced to disk, so it is there whatever happens next.  Comparing it with the journal shows
what really ran, and how often.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import NamedTuple

from ripresa import context


class Execution(NamedTuple):
    """One time that a step's code ran."""

    key: str
    operation: str
    attempt: int
    pid: int


def note(ledger: Path) -> None:
    """Append a line for the step that is running."""
    here = context()
    execution = Execution(here.idempotency_key, here.operation, here.attempt, os.getpid())
    file = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(file, json.dumps(execution._asdict()).encode() + b"\n")
        os.fsync(file)
    finally:
        os.close(file)


def read(ledger: Path) -> list[Execution]:
    """All executions, in the order in which they began."""
    return [Execution(**json.loads(line)) for line in ledger.read_text(encoding="utf-8").splitlines()]
