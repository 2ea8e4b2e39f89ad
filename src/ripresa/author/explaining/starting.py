"""Starting: what an entry waits for, and what its failure does, in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ripresa.contracts.spec import Entry, WorkflowSpec

_RUN_IF = {
    "all_success": "{names} {have} succeeded",
    "all_done": "{names} {have} ended, however",
    "any_failed": "{names} {have} ended and {one} failed",
    "none_failed": "{names} {have} ended and {none} failed",
    "any_success": "{names} {have} ended and {one} succeeded",
}
ALONE = "the run fails"
"""What the failure of a job does that stands alone."""
_WHEN = {
    "succeeded": "has succeeded",
    "failed": "has failed",
    "skipped": "was skipped",
    "done": "has ended, however",
    "quarantined": "was set aside",
}


def starts(entry: Entry, choosers: Sequence[str], *, place: str, undoes: Sequence[str]) -> str:
    """When the entry starts; `place` is jobs or finally, `choosers` are the choices that may choose it."""
    if undoes:
        return f"only to undo {listed(undoes)}, when the run fails or is cancelled"
    conditions = [f"{listed(choosers, 'or')} chooses it"] if choosers else []
    plain = [one.job for one in entry.depends_on if one.when is None and one.job not in choosers]
    if plain:
        conditions.append(_run_if(entry.run_if, plain))
    conditions += [f"{one.job} {_WHEN[one.when]}" for one in entry.depends_on if one.when is not None]
    first = "when the jobs have ended, whatever became of them" if place == "finally" else "at once"
    said = f"when {', and '.join(conditions)}" if conditions else first
    if entry.when is None:
        return said
    condition = str(entry.when).lower() if isinstance(entry.when, bool) else entry.when
    return f"{said}, if {condition}; else it is skipped"


def _run_if(rule: str, names: Sequence[str]) -> str:
    several = len(names) > 1
    words = {"one": "one of them", "none": "none of them"} if several else {"one": "it", "none": "did not fail"}
    if not several and rule == "none_failed":
        return f"{names[0]} has ended and not failed"
    return _RUN_IF[rule].format(names=listed(names), have="have" if several else "has", **words)


def when_it_fails(spec: WorkflowSpec, entry: Entry, *, place: str) -> str:
    """What a failure for good does; `place` is jobs, finally, or undoing for what only undoes."""
    if place == "undoing":
        return "the run fails, and what should have been undone stays done"
    if entry.on_error == "quarantine":
        return "the run is set aside for a person to decide"
    if entry.on_error == "continue":
        return "what depends on it goes on as if it had succeeded"
    rule = "stop" if place == "finally" and spec.on_failure == "abort" else spec.on_failure
    return {
        "stop": "what depends on it does not start, other branches go on, and the run fails",
        "abort": "nothing more starts, what runs is cancelled, and the run fails",
        "continue": "what depends on it starts all the same, and the run fails at its end",
    }[rule]


def listed(names: Iterable[str], word: str = "and") -> str:
    """`a, b and c`."""
    *first, last = names
    return f"{', '.join(first)} {word} {last}" if first else last
