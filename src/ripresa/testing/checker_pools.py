"""Laws of pools: limits hold at every moment, keys take turns, probes are few, and nothing is held at the end."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from ripresa.kernel import history as h
from ripresa.testing.evidence import Evidence, PoolLook, Violation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ripresa.testing.evidence import Call

_IN_A_ROW = 2
"""Grants to one key while another waits: its own turn, and that of one who had joined before."""


def pool_laws(evidence: Evidence) -> Iterator[Violation]:
    """What every look at a pool, and every call of its steps, must keep."""
    yield from _within_limits(evidence)
    yield from _called_within_limits(evidence)
    yield from _in_turns(evidence)
    if evidence.settled:
        for name in evidence.tickets_left:
            if name[0] not in evidence.left_open:
                text = f"{name[1]} still waits for a pool, or holds a slot of it"
                yield Violation("I16 no slot leaks", name[0], text)


def _within_limits(evidence: Evidence) -> Iterator[Violation]:
    for look in evidence.pool_looks:
        limit = evidence.pools[look.pool].slots
        if limit is not None and len(look.held) > limit:
            text = f"{len(look.held)} hold one of {limit} slots of {look.pool}: {look.held}"
            yield Violation("I16 slots", None, text)
        breaker = evidence.pools[look.pool].breaker
        if breaker is not None and look.probes > breaker.probes:
            yield Violation("I16 probes", None, f"{look.probes} probes of {look.pool}, which lets {breaker.probes} in")
        if look.state == "open" and look.granted:
            yield Violation("I16 breaker", None, f"{look.pool} is open, and let {look.granted} in")


def _called_within_limits(evidence: Evidence) -> Iterator[Violation]:
    """Calls under one epoch: what a process does that has lost its lease is no call of that time."""
    events = [event for history in evidence.history.values() for event in history if event.kind == h.STEP_COMPLETED]
    kept = {(event.run, event.operation, event.attempt) for event in events}
    for pool, steps in evidence.steps_of_pools.items():
        limit = evidence.pools[pool].slots
        by_epoch: defaultdict[int, list[Call]] = defaultdict(list)
        for call in evidence.calls:
            # The worker of what was called off learns of it at its next sign of life.
            called_off = call.remote and (call.run, call.operation, call.attempt) not in kept
            if call.step in steps and not (call.duplicate or call.lost or called_off):
                by_epoch[call.epoch].append(call)
        for epoch, calls in by_epoch.items():
            for call in calls:
                beside = [
                    one for one in calls if one.order <= call.order and (one.ended is None or one.ended > call.order)
                ]
                if limit is not None and len(beside) > limit:
                    text = f"{len(beside)} calls at once under epoch {epoch}, and {pool} has {limit} slots"
                    yield Violation("I16 slots", call.run, text)


def _in_turns(evidence: Evidence) -> Iterator[Violation]:
    """While one engine serves: who waits for a slot sees no other key served again and again."""
    looks: defaultdict[str, list[PoolLook]] = defaultdict(list)
    for look in evidence.pool_looks:
        looks[look.pool].append(look)
    for pool, of_pool in looks.items():
        if len({look.epoch for look in of_pool}) > 1 or evidence.pools[pool].cooldown is not None:
            continue
        passed: Counter[tuple[str, str]] = Counter()
        for look in of_pool:
            waiting = {key for _, key in look.waiting}
            for _, served in look.granted:
                for key in waiting - {served}:
                    passed[key, served] += 1
                for pair in [pair for pair in passed if pair[0] == served or pair[0] not in waiting]:
                    del passed[pair]
                for (key, by), count in passed.items():
                    if count > _IN_A_ROW:
                        yield Violation("fairness", None, f"{by} was served {count} times of {pool} while {key} waited")
