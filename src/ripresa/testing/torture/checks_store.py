"""What must hold of the user's own SQL and of a pool's slots, in the words of `checks`."""

from __future__ import annotations

from collections import Counter

from ripresa.testing.torture.in_store import POOL, book, take_turn
from ripresa.testing.torture.seen import Evidence

BOOK, TAKE_TURN = book.name, take_turn.name


def transactions(seen: Evidence) -> list[str]:
    """What a step has written in the store's own transaction is there exactly once if the step is recorded as done."""
    done = {key for key, step in seen.committed.done.items() if step == BOOK}
    rows = Counter(seen.books)
    seen.tally.count("rows written in transactions of steps, once each", len(done & set(rows)))
    found = [f"{key} is recorded as done, and has written {rows[key]} rows" for key in done if rows[key] != 1]
    return found + [f"{key} has written a row, and is not recorded as done" for key in set(rows) - done]


def slots(seen: Evidence) -> list[str]:
    """No more steps of a pool are under way than it has slots, in engines that nothing has happened to."""
    most = POOL.slots or 0
    changes = sorted(change for begin, end in _taken(seen) for change in ((begin, 1), (end, -1)))
    found, taken = [], 0
    for at, change in changes:
        taken += change
        seen.most_taken = max(seen.most_taken, taken)
        if taken > most:
            found.append(f"pool {POOL.name}: {taken} of {most} slots were taken at {at}")
    seen.tally.count("steps that took a slot of a pool", len(changes) // 2)
    return found


def _taken(seen: Evidence) -> list[tuple[int, int]]:
    """When each slot was taken and left, as far as the engine that had it was well."""
    begun: dict[tuple[str, int], int] = {}
    taken = []
    for line in seen.lines:
        if line.get("step") != TAKE_TURN:
            continue
        who = (line["key"], line["life"])
        if line["what"] == "begin":
            begun[who] = line["at"]
        elif line["what"] == "left" and who in begun:
            taken.append((line["life"], begun.pop(who), line["at"]))
    # Who has not left ended with its engine.
    taken += [(life, at, seen.well_until(life)) for (_, life), at in begun.items()]
    return [(at, min(left, seen.well_until(life))) for life, at, left in taken if at < seen.well_until(life)]


CHECKS = (transactions, slots)
