"""The proof: two witnesses, the engine's journal and the steps' own ledger, held against each other.

Both were there the whole time and neither knows of the other.  What the journal held when a process was killed must not
appear in the ledger of any later process: that is the promise of durable execution, in terms that can be counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ledger import Execution

from ripresa.ports.rows import HistoryEvent


@dataclass(frozen=True)
class Crash:
    """A kill: the process, and the operations that the journal held when it was dead."""

    pid: int
    recorded: frozenset[str]


@dataclass(frozen=True)
class Evidence:
    """All that the judgement rests on."""

    events: Sequence[HistoryEvent]
    executions: Sequence[Execution]
    crashes: Sequence[Crash]

    @property
    def steps(self) -> list[str]:
        """Operations of the steps that the journal holds as done."""
        return [event.operation or "" for event in self.events if event.kind == "step_completed"]

    @property
    def done_again(self) -> set[str]:
        """Operations that the journal held at a crash, and that a later process executed all the same."""
        again: set[str] = set()
        earlier: set[int] = set()
        for crash in self.crashes:
            earlier.add(crash.pid)
            again |= {one.operation for one in self.executions if one.pid not in earlier} & crash.recorded
        return again

    @property
    def repeated(self) -> Counter[str]:
        """Operations that more than one process began, and how many did: the earlier ones took them to the grave."""
        processes = Counter(operation for operation, _ in {(one.operation, one.pid) for one in self.executions})
        return Counter({operation: count for operation, count in processes.items() if count > 1})

    @property
    def retries(self) -> int:
        """Executions that followed a failure in the same process."""
        return len(self.executions) - len({(one.operation, one.pid) for one in self.executions})


@dataclass(frozen=True)
class Verdict:
    """A promise, whether it was kept, and what was counted."""

    promise: str
    kept: bool
    count: str


def judge(evidence: Evidence, *, steps: int, at_once: int) -> list[Verdict]:
    """Whether a run of so many steps, of which so many may be in work at once, kept each promise."""
    recorded = Counter(evidence.steps)
    keys = {(one.operation, one.key) for one in evidence.executions}
    operations = {operation for operation, _ in keys}
    attempts = Counter((one.operation, one.pid, one.attempt) for one in evidence.executions)
    pauses = sum(event.kind == "timer_fired" for event in evidence.events)
    again, repeated = evidence.done_again, evidence.repeated
    return [
        Verdict(
            "The journal holds each step once",
            len(recorded) == recorded.total() == steps,
            f"{len(recorded)} of {steps} steps",
        ),
        Verdict(
            "The ledger knows the same steps, and no others",
            operations == recorded.keys(),
            f"{len(operations)} steps, in {len(evidence.executions)} lines",
        ),
        Verdict("No step that was recorded ran again after a crash", not again, f"{len(again)} did"),
        Verdict(
            f"Only what was in work at a crash ran again, {at_once} steps at most",
            all(count == 2 for count in repeated.values()) and len(repeated) <= at_once * len(evidence.crashes),
            f"{len(repeated)} did",
        ),
        Verdict(
            "Each step kept one idempotency key through it all",
            len(keys) == len(operations) == len({key for _, key in keys}),
            f"{len(keys)} keys",
        ),
        Verdict("No process ran an attempt twice", max(attempts.values(), default=0) == 1, f"{len(attempts)} attempts"),
        Verdict("The pause was slept once", pauses == 1, f"{pauses} timer"),
    ]
