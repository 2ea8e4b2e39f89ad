"""What must hold after all the faults, in the evidence of three witnesses; of workers' steps: `checks_afar`.

Each check returns the promises that it found broken, a line each, and tells `Tally` how much it looked at: a check that
looked at nothing has shown nothing.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable

from ripresa.testing.torture import checks_afar, checks_store
from ripresa.testing.torture.ledger import Line
from ripresa.testing.torture.program import ALL, VERSIONED
from ripresa.testing.torture.seen import NEVER, Evidence
from ripresa.testing.torture.witness import Event, RunRow

ONCE = "just_once"
SHARED = "pay"
_STEP_LINES = frozenset({"begin", "end", "fail"})


def violations(seen: Evidence) -> list[str]:
    """Every broken promise, a line each."""
    return [found for check in CHECKS for found in check(seen)]


# -- runs -------------------------------------------------------------------------------------------------------------


def lost_runs(seen: Evidence) -> list[str]:
    """Every acknowledged run is there, once."""
    acknowledged = [line for line in seen.lines if line["what"] == "ack"]
    seen.tally.count("acknowledged runs found", len({line["run"] for line in acknowledged} & set(seen.runs)))
    found = [f"run {line['id']} was acknowledged and is lost" for line in acknowledged if line["run"] not in seen.runs]
    keys = Counter(run.key for run in seen.runs.values() if run.key is not None)
    found += [f"{number} runs have the id {key}" for key, number in keys.items() if number > 1]
    ids: dict[str, set[str]] = defaultdict(set)
    for line in acknowledged:
        ids[line["id"]].add(line["run"])
    return found + [f"the id {key} was given to {sorted(given)}" for key, given in ids.items() if len(given) > 1]


def wrong_ends(seen: Evidence) -> list[str]:
    """Every run has ended as its kind does, with the output that follows from its input."""
    found = []
    for run in seen.runs.values():
        status = "succeeded" if run.definition == VERSIONED else ALL[run.definition].status
        if run.status != status:
            found.append(f"{seen.name(run.id)} has {run.status}: {run.error}")
        elif run.status == "succeeded":
            output, expected = json.loads(run.output or "null"), _expected(run)
            if output not in expected:
                found.append(f"{seen.name(run.id)}: {output}, not {' or '.join(map(str, expected))}")
    seen.tally.count("runs ended as they should", len(seen.runs) - len(found))
    return found


def _expected(run: RunRow) -> list[object]:
    number = json.loads(run.input)["number"]
    if run.definition == VERSIONED:
        return [[int(run.label or -1), 4 * number + 6]]
    kind = ALL[run.definition]
    return [kind.expected(number), *([] if kind.or_else is None else [kind.or_else(number)])]


def versions(seen: Evidence) -> list[str]:
    """A run goes on with the version that it was started with, whichever engine has it."""
    codes: dict[str, set[int]] = defaultdict(set)
    for line in seen.lines:
        if line["what"] == "begin" and "code" in line:
            codes[line["run"]].add(line["code"])
    seen.tally.count("runs that kept their version", len(codes))
    return [f"{seen.name(run)} was run by versions {sorted(used)}" for run, used in codes.items() if len(used) > 1]


# -- steps ------------------------------------------------------------------------------------------------------------


def repeated(seen: Evidence) -> list[str]:
    """Nothing recorded is done again; a key has one payload; within a life nothing is begun after it was done.

    An engine that does not know yet that it has lost its lease may begin a step that others have done: what comes of
    it is refused.  Such are counted, not reported.
    """
    found = []
    hashes: dict[str, set[str]] = defaultdict(set)
    state: dict[tuple[str, int, int], str] = {}
    opened: Counter[int] = Counter()
    for line in seen.lines:
        if line["what"] == "again":  # an engine that was at work before it was all open has ended, and another opens
            opened[line["life"]] += 1
        if line["what"] not in _STEP_LINES:
            continue
        key, life = line["key"], line["life"]
        engine = (key, life, opened[life])
        hashes[key].add(line["hash"])
        if line["what"] == "begin":
            seen.tally.count("steps begun", 1)
        if line["life"] < 0:
            continue  # a worker's: see `checks_afar`
        if line["what"] == "begin":
            recorded = seen.committed.seen_at.get(key, NEVER)
            if line["at"] > recorded and line["at"] > seen.life(life).stale_from:
                seen.tally.count("begun after it was recorded, by an engine that had lost its lease", 1)
            elif line["at"] > recorded:
                found.append(f"{line['step']} {key} was recorded, and begun again by life {life}")
            before = state.get(engine)
            if before in {"begin", "end"} and line["step"] != checks_store.BOOK:  # its transaction may be undone
                found.append(f"{line['step']} {key} was begun again in life {life}, after {before}")
        state[engine] = line["what"]
    seen.tally.count("idempotency keys with one payload each", len(hashes))
    return found + [f"{key} was called with {len(given)} payloads" for key, given in hashes.items() if len(given) > 1]


def unseen(seen: Evidence) -> list[str]:
    """What is recorded as done was done: the ledger saw its end."""
    ended = {line["key"] for line in seen.lines if line["what"] == "end"}
    keys = {key for key, step in seen.committed.done.items() if step != SHARED}
    seen.tally.count("recorded steps that were done", len(keys & ended))
    return [f"{key} is recorded as done, and its end was never seen" for key in keys - ended]


def at_most_once(seen: Evidence) -> list[str]:
    """A step that may be done at most once was begun at most once, whatever happened."""
    begun = Counter(line["key"] for line in seen.lines if line["what"] == "begin" and line["step"] == ONCE)
    seen.tally.count("at-most-once steps begun once", len(begun))
    return [
        f"{key} may be done at most once, and was begun {number} times" for key, number in begun.items() if number > 1
    ]


def shared_effects(seen: Evidence) -> list[str]:
    """What several runs want done once is done by one of them: all who began it bear its key."""
    holders: dict[str, set[str]] = defaultdict(set)
    for line in seen.lines:
        if line["what"] == "begin" and line["step"] == SHARED:
            holders[line["hash"]].add(line["key"])
    seen.tally.count("effects over several runs done by one", len(holders))
    return [f"an effect was done by {sorted(keys)}" for keys in holders.values() if len(keys) > 1]


def stolen(seen: Evidence) -> list[str]:
    """What an engine has under way is not begun by another while that engine is well."""
    found = []
    last: dict[str, tuple[int, str]] = {}
    for line in _owners_steps(seen):
        key, life = line["key"], line["life"]
        other, what = last.get(key, (life, ""))
        if line["what"] == "begin" and other != life and what in {"begin", "end"}:
            seen.tally.count("steps repeated by another engine", 1)
            if line["at"] < seen.well_until(other):
                found.append(f"{line['step']} {key}: life {life} began it while life {other} had it under way")
        last[key] = (life, line["what"])
    return found


def repeats_per_fault(seen: Evidence) -> list[str]:
    """The end of an engine repeats what it had under way, and no more: one step of a sequential run."""
    found = []
    for (run, life), keys in repeats(seen).items():
        definition = seen.runs[run].definition
        at_once = ALL[definition].at_once if definition in ALL else 1
        if len(keys) > at_once:
            found.append(f"{seen.name(run)}: the end of life {life} cost {len(keys)} steps: {sorted(keys)}")
    return found


def repeats(seen: Evidence) -> dict[tuple[str, int], set[str]]:
    """Keys that a life had under way or done, and another began after it, by run and life."""
    told: dict[tuple[str, int], set[str]] = defaultdict(set)
    last: dict[str, tuple[int, str]] = {}
    for line in _owners_steps(seen):
        life, what = last.get(line["key"], (line["life"], ""))
        if line["what"] == "begin" and life != line["life"] and what in {"begin", "end"}:
            told[line["run"], life].add(line["key"])
        last[line["key"]] = (line["life"], line["what"])
    return told


def _owners_steps(seen: Evidence) -> Iterable[Line]:
    """Without what workers did, and an engine that may have lost its lease without knowing."""
    lines = (line for line in _steps(seen.lines) if line["life"] > 0)
    return (line for line in lines if line["at"] <= seen.life(line["life"]).stale_from)


def _steps(lines: list[Line]) -> Iterable[Line]:
    return (line for line in lines if line["what"] in _STEP_LINES)


# -- journals ---------------------------------------------------------------------------------------------------------


def histories(seen: Evidence) -> list[str]:
    """Each operation has one outcome; numbers have no gap; undoing is done in reverse, once for each done step."""
    found = []
    for run, rows in seen.histories.items():
        what = seen.name(run) if run in seen.runs else run
        seen.tally.count("journals whole and in order", 1)
        if [row.seq for row in rows] != list(range(1, len(rows) + 1)):
            found.append(f"{what}: its events are numbered {[row.seq for row in rows]}")
        outcomes = _outcomes(rows)
        seen.tally.count("operations with one outcome", len(outcomes))
        found += [f"{what}: {number} outcomes of {key}" for key, number in outcomes.items() if number > 1]
        if sum(row.kind == "finished" for row in rows) != 1 or rows[-1].kind != "finished":
            found.append(f"{what}: does not finish once, at the end: {[row.kind for row in rows]}")
        if run in seen.runs and seen.runs[run].status != "succeeded":
            found += [f"{what}: {broken}" for broken in wrong_undoings(rows)]
    return found


def _outcomes(rows: list[Event]) -> Counter[tuple[int, str]]:
    generation = 0
    outcomes: Counter[tuple[int, str]] = Counter()
    for row in rows:
        generation = row.seq if row.kind == "continued_as_new" else generation
        if row.operation is not None and row.kind not in {"quarantined", "update_received", "update_completed"}:
            outcomes[generation, row.operation] += 1
    return outcomes


def wrong_undoings(rows: list[Event]) -> list[str]:
    """What was done is undone once each, and in reverse.

    What ends while a cancellation is on its way is undone too, but may come between the others.
    """
    cancelled = next((row.seq for row in rows if row.kind == "cancel_requested"), len(rows) + 1)
    taken = _done(rows, "take")
    before = [row.data for row in taken if row.seq < cancelled]
    after = [row.data for row in taken if row.seq >= cancelled]
    given = [row.data for row in _done(rows, "give_back")]
    if [one for one in given if one in before] == before[::-1] and Counter(given) == Counter(before + after):
        return []
    return [f"took {before}, then {after}, and gave back {given}"]


def _done(rows: list[Event], name: str) -> list[Event]:
    return [row for row in rows if row.kind == "step_completed" and row.name == name]


CHECKS = (
    lost_runs,
    wrong_ends,
    versions,
    repeated,
    unseen,
    at_most_once,
    shared_effects,
    stolen,
    repeats_per_fault,
    histories,
    *checks_afar.CHECKS,
    *checks_store.CHECKS,
)


def told(seen: Evidence) -> dict[str, object]:
    """How much happened, to see that the checks were not idle."""
    lines = seen.lines
    whats = Counter(line["what"] for line in lines)
    return {
        "runs": len(seen.runs),
        "by_kind": dict(sorted(Counter(run.definition for run in seen.runs.values()).items())),
        "events": sum(map(len, seen.histories.values())),
        "steps_begun": whats["begin"],
        "steps_done": len({line["key"] for line in lines if line["what"] == "end"}),
        "steps_repeated_after_a_fault": sum(len(keys) for keys in repeats(seen).values()),
        "steps_begun_by_workers": sum(line["what"] == "begin" and line["life"] < 0 for line in lines),
        "attempts_lost_by_workers": checks_afar.lost(seen),
        "slots_taken_at_once": seen.most_taken,
        "sent": whats["sent"],
        "commits_of_unknown_fate": whats["unknown"],
        "interrupted": sum("interrupted" in (run.output or "") for run in seen.runs.values()),
        "quarantined_by_losses": sum(row.kind == "quarantined" for rows in seen.histories.values() for row in rows),
    }
