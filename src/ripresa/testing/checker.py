"""The history checker: what must hold, held against everything that is known.

    violations = check(evidence)

A pure fold over `Evidence`; it asks no engine.  The laws, by their numbers in the design:

    I1  no run is lost              I2  no run is started twice        I3  one logical effect per step
    I4  no work after the end       I5  one owner at a time            I6  statuses by the table, journal gap-free
    I7  attempts bounded, spaced    I9  same input in every attempt    I10 timers fire once, never early
    I11 signals arrive once         I12 cancel and pause stop work     I13 undone once, in reverse
    I16 nothing leaks               I17 a run keeps its definition     I18 what a client was told stays true
    I19 rows agree with each other  I20 what is set aside stays aside

Not evaluated, since this system has nothing for them yet: I14 (published events are not taken out of the outbox by
anybody), I15 (no audit trail).  I8 (order of a graph) is here the order of the code, which `checker_replay`
repeats: each run's journal must lead its code to the end that the journal says.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING

from ripresa.contracts.payload import dump, load
from ripresa.contracts.status import TERMINAL, RunStatus
from ripresa.kernel import history as h
from ripresa.kernel.transitions import may_follow
from ripresa.testing.checker_labels import label_laws
from ripresa.testing.checker_pools import pool_laws
from ripresa.testing.checker_replay import replay_laws
from ripresa.testing.checker_steps import step_laws
from ripresa.testing.evidence import Evidence, Violation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ripresa.ports.rows import HistoryEvent, Run


def check(evidence: Evidence) -> list[Violation]:
    """All violations, most telling first; empty: every law holds."""
    found: list[Violation] = []
    for law in LAWS:
        found.extend(law(evidence))
    return found


def _no_lost_run(evidence: Evidence) -> Iterator[Violation]:
    law = "I1 no lost run"
    runs = {run.id: run for run in evidence.runs}
    for op in evidence.ops:
        if op.verb == "start" and op.told == "ok" and op.value not in runs:
            yield Violation(law, op.value, f"start of {op.run!r} was acknowledged, and there is no row")
    if not evidence.settled:
        return
    for run in evidence.runs:
        if run.status not in TERMINAL and run.id not in evidence.left_open:
            last = evidence.history[run.id][-1:]
            said = f"; last event: {last[0].seq} {last[0].kind} {last[0].operation}" if last else ""
            yield Violation(
                law, run.id, f"{run.definition} {run.key or ''} is {run.status} for ever (owner {run.owner}{said})"
            )


def _no_duplicate_run(evidence: Evidence) -> Iterator[Violation]:
    law = "I2 no duplicate run"
    for key, count in Counter(run.key for run in evidence.runs if run.key is not None).items():
        if count > 1:
            yield Violation(law, None, f"{count} runs have the id {key!r}")
    ids: dict[str, str] = {}
    for op in evidence.ops:
        if op.verb == "start" and op.told == "ok" and ids.setdefault(op.run, op.value) != op.value:
            yield Violation(law, op.value, f"start of {op.run!r} gave another run before: {ids[op.run]}")
    for parent, count in Counter((run.parent, run.parent_operation) for run in evidence.runs if run.parent).items():
        if count > 1:
            yield Violation(law, parent[0], f"{count} children for operation {parent[1]!r}")


def _one_owner(evidence: Evidence) -> Iterator[Violation]:
    law = "I5 single owner"
    highest = 0
    fenced: set[int] = set()
    owners: dict[int, str] = {}
    for write in evidence.writes:
        if write.verb == "commit" and write.epoch in fenced:
            yield Violation(law, None, f"{write.process} wrote under epoch {write.epoch} after its lease was broken")
        fenced.update(write.fenced)
        if write.verb != "commit":
            continue
        if write.epoch < highest and not evidence.shared:
            yield Violation(law, None, f"{write.process} wrote under epoch {write.epoch} after epoch {highest} had")
        highest = max(highest, write.epoch)
        if owners.setdefault(write.epoch, write.process) != write.process:
            yield Violation(
                law, None, f"{owners[write.epoch]} and {write.process} both wrote under epoch {write.epoch}"
            )


def _own_runs_only(evidence: Evidence) -> Iterator[Violation]:
    """Where several engines are at work, each writes journals and rows of its own runs alone."""
    law = "I5 single owner"
    if not evidence.shared:
        return
    holder: dict[str, int | None] = {}
    fenced: set[int] = set()
    for write in evidence.writes:
        fenced.update(write.fenced)
        if write.verb == "commit":
            for run, owner in write.owned:
                if owner != write.epoch:
                    text = f"{write.process} (engine {write.epoch}) wrote to it, and its owner was {owner}"
                    yield Violation(law, run, text)
        for run, owner in write.given:
            before = holder.get(run)
            if owner is not None and before not in {None, owner} and before not in fenced:
                text = f"engine {owner} got it by {write.verb} while it was engine {before}'s, whose lease holds"
                yield Violation(law, run, text)
            holder[run] = owner


def _statuses_by_table(evidence: Evidence) -> Iterator[Violation]:
    law = "I6 statuses by the table"
    for write in evidence.writes:
        reopened = {event.run for event in write.events if event.kind == h.RETRIED}
        for run, before, after in write.statuses:
            if before is None:
                continue
            if not may_follow(before, after):
                yield Violation(law, run, f"{before} was followed by {after}")
            elif before in TERMINAL and before != after and run not in reopened:
                yield Violation(law, run, f"{before} is an end, and was followed by {after} without a retry")


def _journal(evidence: Evidence) -> Iterator[Violation]:
    """Numbers without gaps, time that goes on, one start, and nothing after the end."""
    for run, events in evidence.history.items():
        if [event.seq for event in events] != list(range(1, len(events) + 1)):
            yield Violation("I6 journal gap-free", run, f"numbers are {[event.seq for event in events][:40]}")
        for one, two in pairwise(events):
            if two.at < one.at:
                yield Violation("I6 journal in order", run, f"event {two.seq} is earlier than event {one.seq}")
            if one.kind == h.FINISHED and two.kind != h.RETRIED:
                yield Violation("I4 no work after the end", run, f"event {two.seq} {two.kind} comes after the end")
            if two.kind == h.RUN_STARTED:
                yield Violation("I6 journal in order", run, f"the run starts again at event {two.seq}")
    yield from _journal_grew(evidence)


def _journal_grew(evidence: Evidence) -> Iterator[Violation]:
    """What was written once is still there, as it was, and in the order in which it was written."""
    last: dict[str, int] = defaultdict(int)
    final = {(run, event.seq): event for run, events in evidence.history.items() for event in events}
    for write in evidence.writes:
        for event in write.events:
            if event.seq <= last[event.run]:
                yield Violation(
                    "I6 journal append-only", event.run, f"event {event.seq} was written after {last[event.run]}"
                )
            last[event.run] = max(last[event.run], event.seq)
            if final.get((event.run, event.seq)) != event:
                yield Violation(
                    "I6 journal append-only", event.run, f"event {event.seq} {event.kind} is no longer there as written"
                )


def _rows_agree(evidence: Evidence) -> Iterator[Violation]:
    law = "I19 rows agree"
    runs = {run.id: run for run in evidence.runs}
    for run in evidence.runs:
        events = evidence.history[run.id]
        end = next((event for event in reversed(events) if event.kind in (h.FINISHED, h.RETRIED)), None)
        finished = end if end is not None and end.kind == h.FINISHED else None
        if (finished is None) != (run.status not in TERMINAL) and not _ended_blocked(run, events):
            yield Violation(law, run.id, f"the row says {run.status}, the journal {'ended' if finished else 'goes on'}")
        if finished is not None and (finished.name != run.status or finished.data != run.output):
            yield Violation(
                law, run.id, f"the row says {run.status} {run.output}, the journal {finished.name} {finished.data}"
            )
        if run.parent in runs and runs[run.parent].correlation_id != run.correlation_id:
            yield Violation(law, run.id, "its correlation id is not its parent's")
        for attempt in evidence.attempts[run.id]:
            if run.status in TERMINAL and attempt.status == "running":
                yield Violation(
                    law, run.id, f"attempt {attempt.number} of {attempt.operation} has no end, and the run has"
                )
        yield from _children_agree(run, events, evidence)


def _ended_blocked(run: Run, events: list[HistoryEvent]) -> bool:
    """A blocked run that nobody held may be cancelled by its row alone."""
    return run.status == RunStatus.CANCELLED and all(event.kind != h.FINISHED for event in events)


def _children_agree(run: Run, events: list[HistoryEvent], evidence: Evidence) -> Iterator[Violation]:
    children = {child.parent_operation: child for child in evidence.runs if child.parent == run.id}
    base = 0
    for event in events:
        if event.kind == h.CONTINUED:
            base = event.seq - 1
        child = children.get(f"{base}:{event.operation}")
        if event.kind != h.CHILD_FINISHED or child is None:
            continue
        if event.error is None and (child.status != RunStatus.SUCCEEDED or child.output != event.data):
            text = f"event {event.seq} holds {event.data} of child {child.id}, which {child.status} with {child.output}"
            yield Violation("I3 one effect", run.id, text)


def _signals(evidence: Evidence) -> Iterator[Violation]:
    law = "I11 signals arrive once"
    asked: dict[tuple[str, str], list[str]] = defaultdict(list)
    for op in evidence.ops:
        if op.verb in ("signal", "outside"):
            asked[op.run, dump(op.argument) if op.verb == "signal" else op.argument].append(op.told)
    runs = {name: run for run in evidence.runs for name in (run.key, run.id) if name is not None}
    for (ref, token), told in asked.items():
        run = runs.get(ref)
        if run is None:
            continue
        arrived = sum(event.kind == h.SIGNAL_RECEIVED and event.data == token for event in evidence.history[run.id])
        waiting = sum(message.data == token for message in evidence.messages[run.id])
        if "ok" in told and arrived + waiting == 0:
            yield Violation(law, run.id, f"signal {token} was acknowledged, and is nowhere")
        if arrived + waiting > sum(one != "fail" for one in told):
            yield Violation(
                law, run.id, f"signal {token} was sent {len(told)} times, and arrived {arrived + waiting} times"
            )
        if waiting and evidence.settled and run.status not in TERMINAL and run.id not in evidence.left_open:
            yield Violation(law, run.id, f"signal {token} waits in the inbox of a {run.status} run")


def _told(evidence: Evidence) -> Iterator[Violation]:
    """A client is told only what is on disk, and it stays so."""
    law = "I18 told is durable"
    ended: dict[str, tuple[str, str]] = {}
    for op in evidence.ops:
        if op.told != "ok":
            continue
        if op.durable is False:
            yield Violation(law, None, f"{op.verb} of {op.run!r} was told {op.value!r} before it was on disk")
        if op.verb == "retry":
            ended.pop(op.run, None)
        if op.verb == "result" and op.value[0] in TERMINAL:
            if ended.setdefault(op.run, op.value) != op.value:
                yield Violation(law, None, f"the result of {op.run!r} was {ended[op.run]}, and now is {op.value}")
            if op.expected is not None and op.value != ("succeeded", op.expected[0]):
                yield Violation("I3 one effect", None, f"{op.run!r} must give {op.expected[0]}, and gave {op.value}")
        if op.verb == "get" and op.run in ended and op.value != ended[op.run][0]:
            yield Violation(law, None, f"{op.run!r} had {ended[op.run][0]}, and was then said to be {op.value}")


def _nothing_leaks(evidence: Evidence) -> Iterator[Violation]:
    law = "I16 nothing leaks"
    if not evidence.settled:
        return
    for run in evidence.runs:
        if run.status in TERMINAL and run.id in evidence.ready:
            yield Violation(law, run.id, f"a {run.status} run waits for an engine")
        if run.parent is not None and run.status in TERMINAL:
            continue
        for message in evidence.messages[run.id]:
            if message.kind == "child" and run.status not in TERMINAL and run.id not in evidence.left_open:
                yield Violation(law, run.id, f"the outcome of a child waits: {load(message.data or 'null')}")


LAWS: tuple[Callable[[Evidence], Iterator[Violation]], ...] = (
    _no_lost_run,
    _no_duplicate_run,
    _one_owner,
    _own_runs_only,
    _statuses_by_table,
    _journal,
    _rows_agree,
    _signals,
    _told,
    step_laws,
    replay_laws,
    _nothing_leaks,
    pool_laws,
    label_laws,
)
