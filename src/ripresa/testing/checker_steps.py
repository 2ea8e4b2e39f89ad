"""Laws of steps: the journal held against the ledger of raw calls.

A call is a *zombie's* if its process no longer owned the store: a later epoch had written; or, where several engines
are at work, if it no longer owned the run.  Nothing can keep a stopped process from finishing the call it is in, or,
before it learns of its loss, from making one more; such calls are forgiven their time, but not another key or payload.
An engine whose lease holds is forgiven nothing.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from ripresa.contracts.payload import load
from ripresa.contracts.status import RunStatus
from ripresa.kernel import history as h
from ripresa.kernel.saga import UNDO
from ripresa.testing.evidence import Call, Evidence, Policy, Violation

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ripresa.ports.rows import Attempt, HistoryEvent, Run

_DISPATCH_US = 100_000
"""A call may begin this much later than the engine decided on it."""
_NO_POLICY = Policy(1, None)


class _Placed(NamedTuple):
    """An event, with its key and its place among everything that happened."""

    event: HistoryEvent
    key: str
    order: int
    at: int


class _RunView:
    """One run, its journal with places, and its calls by key."""

    def __init__(
        self, run: Run, evidence: Evidence, places: dict[tuple[str, int], tuple[int, int]], calls: list[Call]
    ) -> None:
        self.run = run
        self.forked = bool(run.memo and "forked_from" in run.memo)
        self.placed: list[_Placed] = []
        generation = ""
        undone: set[str | None] = set()
        anew: dict[str | None, str] = {}
        for event in evidence.history[run.id]:
            if event.kind == h.CONTINUED:
                generation = f".{event.seq - 1}"
                undone, anew = set(), {}
            elif event.kind == h.STEP_COMPLETED and (event.operation or "").startswith(UNDO):
                undone |= {event.operation, (event.operation or "").removeprefix(UNDO)}
            elif event.kind == h.RETRIED:  # what was undone is done again, as another effect
                anew.update(dict.fromkeys(undone, f"~{event.seq}"))
            order, at = places.get((run.id, event.seq), (0, event.at))
            key = f"{run.id}{generation}:{event.operation}{anew.get(event.operation, '')}"
            self.placed.append(_Placed(event, key, order, at))
        self.calls: dict[str, list[Call]] = defaultdict(list)
        for call in calls:
            self.calls[call.key].append(call)

    def of(self, *kinds: str) -> list[_Placed]:
        return [placed for placed in self.placed if placed.event.kind in kinds]


class _Epochs:
    """Which epoch owned the store, or the run, when."""

    def __init__(self, evidence: Evidence) -> None:
        self._shared = evidence.shared
        self._owners: dict[str, list[tuple[int, int, int | None]]] = defaultdict(list)
        """Order, time and owner of each run from then on."""
        self._fenced: dict[int, int] = {}
        """Order in which the lease of an engine was broken."""
        for write in evidence.writes:
            for run, owner in write.given:
                self._owners[run].append((write.order, write.at, owner))
            for engine in write.fenced:
                self._fenced.setdefault(engine, write.order)
        self._orders: list[int] = []
        self._highest: list[int] = []
        highest = 0
        for write in evidence.writes:
            if write.epoch > highest:
                highest = write.epoch
                self._orders.append(write.order)
                self._highest.append(highest)

    def owned(self, call: Call) -> bool:
        """Whether the caller owned the store, or the run, as far as anybody could know."""
        if self._shared:
            owners = self._owners[call.run]
            place = bisect_left(owners, (call.order,))
            return place > 0 and owners[place - 1][2] == call.epoch
        place = bisect_left(self._orders, call.order)
        return place == 0 or self._highest[place - 1] <= call.epoch

    def stolen(self, call: Call) -> bool:
        """Whether an engine whose lease holds called a step of a run that it did not own, and had not for a while."""
        if call.remote or not self._shared or self.owned(call) or self._fenced.get(call.epoch, call.order) < call.order:
            return False
        owners = self._owners[call.run]
        place = bisect_left(owners, (call.order,))
        return place == 0 or owners[place - 1][1] + _DISPATCH_US < call.at


def step_laws(evidence: Evidence) -> Iterator[Violation]:
    """I3, I4, I7, I9, I12, I13, I20 for every run."""
    places = {(event.run, event.seq): (write.order, write.at) for write in evidence.writes for event in write.events}
    calls: dict[str, list[Call]] = defaultdict(list)
    for call in evidence.calls:
        calls[call.run].append(call)
    epochs = _Epochs(evidence)
    undoes = {policy.compensated_by for policy in evidence.policies.values() if policy.compensated_by}
    undoes |= {name for name, policy in evidence.policies.items() if policy.goes_on}
    for run in evidence.runs:
        view = _RunView(run, evidence, places, calls[run.id])
        yield from _own_steps_only(view, epochs)
        yield from _one_outcome(view)
        yield from _outcome_has_a_call(view, evidence)
        yield from _called_once(view, evidence)
        yield from _one_worker(view)
        yield from _no_call_after_outcome(view, epochs)
        yield from _same_payload(view)
        yield from _bounded(view, evidence.attempts[run.id], evidence)
        yield from _stopped(view, epochs, undoes)
        yield from _undone(view, evidence)


def _own_steps_only(view: _RunView, epochs: _Epochs) -> Iterator[Violation]:
    for calls in view.calls.values():
        for call in calls:
            if epochs.stolen(call):
                text = f"{call.process} (engine {call.epoch}) called {call.operation}, and the run was not its own"
                yield Violation("I5 single owner", view.run.id, text)


def _one_outcome(view: _RunView) -> Iterator[Violation]:
    law = "I3 one effect"
    done: dict[str, str] = {}
    for placed in view.placed:
        event = placed.event
        if event.kind == h.RETRIED:
            done = {key: kind for key, kind in done.items() if kind != h.STEP_FAILED}
        if event.kind not in h.OUTCOMES or event.operation is None:
            continue
        if placed.key in done:
            yield Violation(law, view.run.id, f"{event.operation} has two outcomes, the second is event {event.seq}")
        done[placed.key] = h.STEP_FAILED if event.error is not None else event.kind


def _outcome_has_a_call(view: _RunView, evidence: Evidence) -> Iterator[Violation]:
    law = "I3 one effect"
    if view.forked:
        return
    for placed in view.of(h.STEP_COMPLETED):
        event = placed.event
        if event.attempt == 0:
            continue  # given by a person
        shared = evidence.policies.get(event.name or "", _NO_POLICY).shared
        if shared and any((one.step, one.output) == (event.name, event.data) for one in evidence.calls):
            continue
        mine = [call for call in view.calls.get(placed.key, ()) if call.order < placed.order]
        if not any(call.attempt == event.attempt and call.output == event.data for call in mine):
            text = f"{event.operation} is said to have given {event.data} in attempt {event.attempt}, and no call did"
            yield Violation(law, view.run.id, text)


def _called_once(view: _RunView, evidence: Evidence) -> Iterator[Violation]:
    """A step that must not be done twice is called once, whatever became of the engine that did."""
    for key, calls in view.calls.items():
        made = [call for call in calls if not call.duplicate]
        if evidence.policies.get(calls[0].step, _NO_POLICY).at_most_once and len(made) > 1:
            by = ", ".join(call.process for call in made)
            yield Violation("I3 one effect", view.run.id, f"{key} was called {len(made)} times: by {by}")


def _one_worker(view: _RunView) -> Iterator[Violation]:
    """While a worker gives signs of life, no other works on the same step; and none does once it has its outcome."""
    law = "I5 single owner"
    ended = {placed.key: placed for placed in view.of(h.STEP_COMPLETED)}
    for key, calls in view.calls.items():
        for call in calls:
            if not call.remote:
                continue
            for one in calls:
                if one.order < call.order < (one.ended or call.order) and not one.lost:
                    text = f"{call.process} began {key} while {one.process} was at work on it"
                    yield Violation(law, view.run.id, text)
            if key in ended and ended[key].order < call.order:
                text = f"{call.process} began {key} after event {ended[key].event.seq}, its outcome"
                yield Violation("I4 no work after the end", view.run.id, text)


def _no_call_after_outcome(view: _RunView, epochs: _Epochs) -> Iterator[Violation]:
    law = "I4 no work after the end"
    retried = [placed.order for placed in view.of(h.RETRIED)]
    for placed in view.of(h.STEP_COMPLETED, h.STEP_FAILED):
        for call in view.calls.get(placed.key, ()):
            if call.order <= placed.order or call.duplicate or not epochs.owned(call):
                continue
            if placed.event.kind == h.STEP_FAILED and any(placed.order < order < call.order for order in retried):
                continue
            text = f"{call.operation} was called again by {call.process} after event {placed.event.seq}, its outcome"
            yield Violation(law, view.run.id, text)
    for placed in view.of(h.FINISHED):
        until = next((order for order in retried if order > placed.order), None)
        for calls in view.calls.values():
            for call in calls:
                if _late(call, placed, epochs) and (until is None or call.order < until):
                    yield Violation(
                        law, view.run.id, f"{call.operation} was called after the run had {placed.event.name}"
                    )


def _late(call: Call, placed: _Placed, epochs: _Epochs) -> bool:
    after = call.order > placed.order and call.at > placed.at + _DISPATCH_US
    return after and not call.duplicate and epochs.owned(call)


def _same_payload(view: _RunView) -> Iterator[Violation]:
    for key, calls in view.calls.items():
        if len({call.payload for call in calls}) > 1:
            yield Violation(
                "I9 same input", view.run.id, f"{key} was called with {sorted({call.payload for call in calls})}"
            )
        if not re.fullmatch(rf"{view.run.id}(\.\d+)?:{re.escape(calls[0].operation)}(~\d+)?", key):
            yield Violation("I3 one effect", view.run.id, f"the key {key!r} is not that of {calls[0].operation!r}")


def _bounded(view: _RunView, attempts: list[Attempt], evidence: Evidence) -> Iterator[Violation]:
    law = "I7 attempts bounded"
    rounds = 1 + len(view.of(h.RETRIED, h.RELEASED))
    for key, calls in view.calls.items():
        operation = calls[0].operation
        tried = [row for row in attempts if row.operation == operation and row.generation == _generation(view, key)]
        own = [call for call in calls if not call.duplicate and not call.lost]
        most = evidence.policies.get(calls[0].step, _NO_POLICY).attempts_max
        lives = len({call.process for call in own})
        if len(own) > most * rounds + lives - 1:
            text = f"{operation} was called {len(own)} times in {lives} lives, and its policy allows {most} attempts"
            yield Violation(law, view.run.id, text)
        failed = sum(row.status in ("failed", "timeout") for row in tried)
        if failed > most * rounds:
            yield Violation(law, view.run.id, f"{operation} has {failed} failed attempts, and its policy allows {most}")
        yield from _spaced(view, own, tried)


def _generation(view: _RunView, key: str) -> int:
    """Where the run began anew last when the step of this idempotency key was asked for; 0: it had not yet."""
    return int(key.removeprefix(view.run.id).partition(":")[0].removeprefix(".") or 0)


def _spaced(view: _RunView, calls: list[Call], attempts: list[Attempt]) -> Iterator[Violation]:
    resets = [placed.event.at for placed in view.of(h.RETRIED, h.RELEASED)]
    for row in attempts:
        if row.due is None:
            continue
        for call in calls:
            if (
                (row.finished_at or 0) <= call.at < row.due
                and call.attempt == row.number + 1
                and call.epoch >= row.engine
            ):
                if any((row.finished_at or 0) <= at <= call.at for at in resets):
                    continue
                early = (row.due - call.at) / 1e6
                yield Violation(
                    "I7 attempts spaced",
                    view.run.id,
                    f"attempt {call.attempt} of {call.operation} is {early:g} s early",
                )


def _stopped(view: _RunView, epochs: _Epochs, undoes: set[str]) -> Iterator[Violation]:
    """While a run is paused nothing is begun, while a step is set aside it is not; and see `_cancelled`."""
    for placed in view.of(h.PAUSE_REQUESTED):
        for call in _late_calls(view, placed, epochs, view.calls):
            yield Violation("I12 pause stops", view.run.id, f"{call.operation} was called while paused")
    for placed in view.of(h.QUARANTINED):
        for call in _late_calls(view, placed, epochs, [placed.key]):
            yield Violation("I20 set aside", view.run.id, f"{call.operation} was called while quarantined")
    for placed in view.of(h.CANCEL_REQUESTED):
        yield from _cancelled(view, placed, epochs, undoes)


def _late_calls(view: _RunView, placed: _Placed, epochs: _Epochs, keys: Iterable[str]) -> Iterator[Call]:
    """Calls under these keys that begin after the event and before anything ends what it began."""
    ends = view.of(h.RESUME_REQUESTED, h.CANCEL_REQUESTED, h.RETRIED, h.FINISHED, h.RELEASED)
    until = next((end.order for end in ends if end.event.seq > placed.event.seq), None)
    for key in keys:
        for call in view.calls.get(key, ()):
            if _late(call, placed, epochs) and (until is None or call.order < until):
                yield call


def _cancelled(view: _RunView, placed: _Placed, epochs: _Epochs, undoes: set[str]) -> Iterator[Violation]:
    """After a cancel no attempt is repeated, but of an undoing, or in a graph's `finally`."""
    for calls in view.calls.values():
        if calls[0].step in undoes or calls[0].order >= placed.order:
            continue
        for call in calls[1:]:
            if _late(call, placed, epochs) and not _reopened(view, placed, call):
                yield Violation("I12 cancel stops", view.run.id, f"{call.operation} was tried again after the cancel")


def _reopened(view: _RunView, placed: _Placed, call: Call) -> bool:
    return any(placed.order < other.order < call.order for other in view.of(h.RETRIED))


def _undone(view: _RunView, evidence: Evidence) -> Iterator[Violation]:
    law = "I13 undone once, in reverse"
    policies = evidence.policies
    undoes = {policy.compensated_by for policy in policies.values() if policy.compensated_by}
    events = view.of(h.STEP_COMPLETED)
    undone = [placed for placed in events if placed.event.name in undoes]
    done = [placed for placed in events if policies.get(placed.event.name or "", _NO_POLICY).compensated_by]
    if not done or view.of(h.RETRIED, h.CONTINUED, h.RELEASED) or view.forked:
        return
    if view.run.status == RunStatus.SUCCEEDED:
        wanted: list[tuple[str | None, object]] = []
    elif view.run.status in (RunStatus.FAILED, RunStatus.CANCELLED):
        wanted = [(policies[p.event.name or ""].compensated_by, _first_argument(view, p)) for p in reversed(done)]
    else:
        return
    # What was under way at a cancel may still be recorded as done: its undoing comes when it can.
    cancel = next((placed.event.seq for placed in view.of(h.CANCEL_REQUESTED)), None)
    late = [_first_argument(view, p) for p in done if cancel is not None and p.event.seq > cancel]
    wanted = [undo for undo in wanted if undo[1] not in late]
    undoings = [(placed.event.name, _first_argument(view, placed)) for placed in undone]
    got = [undo for undo in undoings if undo[1] not in late]
    if got != wanted:
        yield Violation(law, view.run.id, f"undone was {got}, and should have been {wanted}")


def _first_argument(view: _RunView, placed: _Placed) -> object:
    calls = view.calls.get(placed.key)
    if not calls:
        return None
    payload = load(calls[0].payload)
    return next(iter(payload.values()), None) if isinstance(payload, dict) else payload
