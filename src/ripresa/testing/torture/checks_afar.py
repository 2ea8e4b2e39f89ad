"""What must hold for steps that workers elsewhere carry out, in the words of `checks`.

A worker proves by a token that a step is its own; once its lease is over the attempt is given up, which is recorded
before there is another.  So of each attempt there is one beginning, and what is recorded comes of an attempt that was
not given up.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from ripresa.testing.torture.ledger import Line
from ripresa.testing.torture.seen import NEVER, Evidence

GIVEN_UP = ("lost", "cancelled")
_OVER = (*GIVEN_UP, "failed", "timeout")


def claimed_twice(seen: Evidence) -> list[str]:
    """Of each attempt there is one beginning: whatever comes twice, late or again, one worker has the token."""
    begun = Counter((line["key"], line["attempt"]) for line in _lines(seen, "begin"))
    seen.tally.count("attempts of workers begun once", sum(number == 1 for number in begun.values()))
    return [
        f"attempt {attempt} of {key} was begun {number} times by workers"
        for (key, attempt), number in begun.items()
        if number > 1
    ]


def begun_beside(seen: Evidence) -> list[str]:
    """Another attempt begins when the one before has failed or was given up, and is known to have."""
    statuses = _statuses(seen)
    begun: dict[str, set[int]] = defaultdict(set)
    for line in _lines(seen, "begin"):
        begun[line["key"]].add(line["attempt"])
    found = []
    for key, attempts in begun.items():
        if _was_set_aside(seen, key):
            continue  # what stood beside the step that was lost too often was stopped with it, and is begun anew
        before = sorted(attempts)[:-1]
        seen.tally.count("attempts of workers that were over before the next", len(before))
        found += [
            f"{key}: attempt {number} was {statuses.get((key, number))} when there was another"
            for number in before
            if statuses.get((key, number)) not in _OVER
        ]
    return found


def begun_when_over(seen: Evidence) -> list[str]:
    """What is recorded is not begun again, but by a worker that was given up and cannot know it yet: those count."""
    statuses = _statuses(seen)
    found = []
    for line in _lines(seen, "begin"):
        if line["at"] <= seen.committed.seen_at.get(line["key"], NEVER):
            continue
        status = statuses.get((line["key"], line["attempt"]))
        if status in GIVEN_UP:
            seen.tally.count("begun after it was recorded, by a worker that was given up", 1)
        else:
            found.append(f"{line['step']} {line['key']} was recorded, and attempt {line['attempt']} ({status}) begun")
    return found


def outcomes_of_workers(seen: Evidence) -> list[str]:
    """What is recorded as done came of one attempt, which was seen to end: of no other was a report taken."""
    good: dict[str, list[int]] = defaultdict(list)
    for (key, number), status in _statuses(seen).items():
        if status == "succeeded":
            good[key].append(number)
    ended = {(line["key"], line["attempt"]) for line in _lines(seen, "end")}
    keys = {key for key, _ in ended} & set(seen.committed.done)
    seen.tally.count("outcomes of workers taken from one attempt", len(keys))
    found = [f"{key} is recorded as done by attempts {good[key]}" for key in keys if len(good[key]) != 1]
    return found + [
        f"{key} is recorded as done by attempt {number}, whose end was never seen"
        for key in keys
        for number in good[key]
        if (key, number) not in ended
    ]


CHECKS = (claimed_twice, begun_beside, begun_when_over, outcomes_of_workers)


def lost(seen: Evidence) -> int:
    """Attempts that were begun by workers and given up for lost."""
    statuses = _statuses(seen)
    return sum(statuses.get((line["key"], line["attempt"])) == "lost" for line in _lines(seen, "begin"))


def _was_set_aside(seen: Evidence, key: str) -> bool:
    run = key.partition(":")[0].partition(".")[0]
    return any(row.kind == "quarantined" for row in seen.histories.get(run, ()))


def _lines(seen: Evidence, what: str) -> Iterable[Line]:
    return (line for line in seen.lines if line["what"] == what and line["life"] < 0)


def _statuses(seen: Evidence) -> dict[tuple[str, int], str]:
    return {(row.key, row.number): row.status for row in seen.attempts}
