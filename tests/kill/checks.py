"""What must hold after all the kills, from three witnesses: the store, the effect ledger, and what was acknowledged."""

import json
import sqlite3
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from tests.kill import ledger
from tests.kill.program import KINDS

STEP_KINDS = ("step_completed", "step_failed")


class Committed:
    """Step outcomes that were on disk when a life had ended, by idempotency key."""

    def __init__(self, path: Path) -> None:
        self.life_of: dict[str, int] = {}
        self.done: set[str] = set()
        """Those of them that say that the step was done."""
        self._path = path
        self._row = 0
        self._generation: dict[str, list[int]] = defaultdict(list)

    def look(self, life: int) -> int:
        """Take note of what the life that has just ended left behind; return how many outcomes are new."""
        if not self._path.exists():
            return 0
        asked = "SELECT rowid, run, seq, kind, operation FROM history WHERE rowid > ? ORDER BY rowid"
        before = len(self.life_of)
        for row, run, seq, kind, operation in ask(self._path, asked, self._row):
            self._row = row
            if kind == "continued_as_new":
                self._generation[run].append(seq - 1)
            elif kind in STEP_KINDS:
                key = key_of(run, self._generation[run], operation)
                self.life_of.setdefault(key, life)
                if kind == "step_completed":
                    self.done.add(key)
        return len(self.life_of) - before


def key_of(run: str, generations: list[int], operation: str) -> str:
    return f"{run}.{generations[-1]}:{operation}" if generations else f"{run}:{operation}"


def ask(path: Path, question: str, *values: Any) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(path, timeout=30)
    try:
        return connection.execute(question, values).fetchall()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):  # killed before it had made them
            return []
        raise
    finally:
        connection.close()


def violations(path: Path, lines: list[dict[str, Any]], committed: Committed) -> list[str]:
    """Every broken promise, a line each."""
    runs = {row[0]: row for row in ask(path, "SELECT id, key, definition, status, input, output, error FROM run")}
    return [
        *lost_runs(runs, lines),
        *wrong_ends(runs),
        *repeated(lines, committed),
        *unseen(lines, committed),
        *repeats_per_kill(runs, lines),
        *histories(path, runs),
    ]


def lost_runs(runs: dict[str, Any], lines: list[dict[str, Any]]) -> list[str]:
    """Every acknowledged run is there, once."""
    acknowledged = [line for line in lines if line["what"] == "ack"]
    found = [f"run {line['id']} was acknowledged and is lost" for line in acknowledged if line["run"] not in runs]
    keys = Counter(run[1] for run in runs.values() if run[1] is not None)
    found += [f"{number} runs have the id {key}" for key, number in keys.items() if number > 1]
    ids: dict[str, set[str]] = defaultdict(set)
    for line in acknowledged:
        ids[line["id"]].add(line["run"])
    return found + [f"the id {key} was given to {sorted(given)}" for key, given in ids.items() if len(given) > 1]


def wrong_ends(runs: dict[str, Any]) -> list[str]:
    """Every run has ended as its kind does, with the output that follows from its input."""
    found = []
    for run, key, definition, status, text, output, error in runs.values():
        kind = KINDS[definition]
        number = json.loads(text)["number"]
        if status != kind.status:
            found.append(f"{definition} {key or run} has {status}: {error}")
        elif status == "succeeded" and json.loads(output) != kind.expected(number):
            found.append(f"{definition} {key or run}: {output}, not {kind.expected(number)}")
    return found


def repeated(lines: list[dict[str, Any]], committed: Committed) -> list[str]:
    """Nothing recorded is done again; a key has one payload; within a life nothing is begun after it was done."""
    found = []
    hashes: dict[str, set[str]] = defaultdict(set)
    state: dict[tuple[str, int], str] = {}
    for line in lines:
        if line["what"] not in {"begin", "end", "fail"}:
            continue
        key, life = line["key"], line["life"]
        hashes[key].add(line["hash"])
        if line["what"] == "begin":
            recorded = committed.life_of.get(key)
            if recorded is not None and life > recorded:
                found.append(f"{line['step']} {key} was recorded in life {recorded} and begun again in life {life}")
            before = state.get((key, life))
            if before in {"begin", "end"}:
                found.append(f"{line['step']} {key} was begun again in life {life}, after {before}")
        state[key, life] = line["what"]
    return found + [f"{key} was called with {len(given)} payloads" for key, given in hashes.items() if len(given) > 1]


def unseen(lines: list[dict[str, Any]], committed: Committed) -> list[str]:
    """What is recorded as done was done: the ledger saw its end."""
    seen = {line["key"] for line in lines if line["what"] == "end"}
    return [f"{key} is recorded as done, and its end was never seen" for key in committed.done - seen]


def repeats_per_kill(runs: dict[str, Any], lines: list[dict[str, Any]]) -> list[str]:
    """A kill repeats what was under way, and no more: one step of a sequential run, `at_once` of another."""
    found = []
    for (run, life), keys in repeats(lines).items():
        definition = runs[run][2]
        if len(keys) > KINDS[definition].at_once:
            found.append(f"{definition} {run}: the end of life {life} cost {len(keys)} steps: {sorted(keys)}")
    return found


def repeats(lines: list[dict[str, Any]]) -> dict[tuple[str, int], set[str]]:
    """Keys that were begun in a life and begun again in a later one, by run and life."""
    lives: dict[str, set[int]] = defaultdict(set)
    run_of: dict[str, str] = {}
    for line in lines:
        if line["what"] == "begin":
            lives[line["key"]].add(line["life"])
            run_of[line["key"]] = line["run"]
    told: dict[tuple[str, int], set[str]] = defaultdict(set)
    for key, known in lives.items():
        for life in sorted(known)[:-1]:
            told[run_of[key], life].add(key)
    return told


def histories(path: Path, runs: dict[str, Any]) -> list[str]:
    """Each operation has one outcome; numbers have no gap; undoing is done in reverse, once for each done step."""
    found = []
    for run, rows in by_run(path).items():
        what = f"{runs[run][2]} {runs[run][1] or run}"
        if [row[1] for row in rows] != list(range(1, len(rows) + 1)):
            found.append(f"{what}: its events are numbered {[row[1] for row in rows]}")
        generation = 0
        outcomes: Counter[tuple[int, str]] = Counter()
        for _, seq, kind, operation, _, _ in rows:
            generation = seq if kind == "continued_as_new" else generation
            if operation is not None and kind not in {"quarantined", "update_received", "update_completed"}:
                outcomes[generation, operation] += 1
        found += [f"{what}: {number} outcomes of {key}" for key, number in outcomes.items() if number > 1]
        if sum(row[2] == "finished" for row in rows) != 1 or rows[-1][2] != "finished":
            found.append(f"{what}: does not finish once, at the end: {[row[2] for row in rows]}")
        if runs[run][3] != "succeeded":
            found += [f"{what}: {broken}" for broken in wrong_undoings(rows)]
    return found


def by_run(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    rows: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    for row in ask(path, "SELECT run, seq, kind, operation, name, data FROM history ORDER BY run, seq"):
        rows[row[0]].append(row)
    return rows


def wrong_undoings(rows: list[tuple[Any, ...]]) -> list[str]:
    """What was done is undone once each, and in reverse.

    What ends while a cancellation is on its way is undone too, but may come between the others.
    """
    cancelled = next((row[1] for row in rows if row[2] == "cancel_requested"), len(rows) + 1)
    before = [row[5] for row in done(rows, "take") if row[1] < cancelled]
    taken = [row[5] for row in done(rows, "take")]
    given = [row[5] for row in done(rows, "give_back")]
    if [one for one in given if one in before] == before[::-1] and sorted(given) == sorted(taken):
        return []
    return [f"took {before}, then {taken[len(before) :]}, and gave back {given}"]


def done(rows: list[tuple[Any, ...]], name: str) -> list[tuple[Any, ...]]:
    return [row for row in rows if row[2] == "step_completed" and row[4] == name]


def told(path: Path, lines: list[dict[str, Any]]) -> dict[str, Any]:
    """How much happened, to see that the checks were not idle."""
    again = repeats(lines)
    kinds = Counter(kind for (kind,) in ask(path, "SELECT definition FROM run"))
    return {
        "runs": sum(kinds.values()),
        "by_kind": dict(kinds),
        "steps_begun": sum(line["what"] == "begin" for line in lines),
        "steps_done": len({line["key"] for line in lines if line["what"] == "end"}),
        "steps_repeated_after_a_kill": sum(len(keys) for keys in again.values()),
        "sent": sum(line["what"] == "sent" for line in lines),
        "quarantined_by_losses": sum(
            n for (n,) in ask(path, "SELECT count(*) FROM history WHERE kind = 'quarantined'")
        ),
    }


__all__ = ["Committed", "ask", "ledger", "told", "violations"]
