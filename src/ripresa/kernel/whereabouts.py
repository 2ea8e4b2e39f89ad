"""Whereabouts: why no engine goes on with a run, or carries out a step of it, in words.

Pure: it is given the engines as they tell of themselves, and what a store has of the run.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from ripresa.contracts.labels import needed, offered, shown

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

_SHOWN_MAX = 5

NOBODY = "no engine is at work"


class Seen(NamedTuple):
    """An engine that lives, as it tells of itself."""

    number: int
    labels: tuple[str, ...]
    definitions: Mapping[str, Sequence[str | None]]
    """What it can run: names, each with the labels of its versions."""
    draining: bool

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Seen:
        """From a row of `Store.engines`."""
        about = json.loads(told.get("about") or "{}")
        return cls(
            int(told["engine"]),
            tuple(about.get("labels", ())),
            about.get("definitions", {}),
            bool(told.get("draining")),
        )


def living(rows: Collection[Mapping[str, Any]]) -> list[Seen]:
    """The engines that live, by number."""
    return sorted((Seen.of(row) for row in rows if row["alive"]), key=lambda one: one.number)


def why_no_label(labels: Collection[str], definition: str, owner: int | None, engines: Sequence[Seen]) -> str:
    """Why a step waits for an engine with these labels, that of its run's owner being without."""
    what = needed(labels)
    if not engines:
        return f"needs {what}, and {NOBODY}"
    having = [one for one in engines if offered(one.labels).issuperset(labels)]
    if not having:
        return f"no engine has {what}; engines: {_each(engines, lambda one: shown(one.labels))}"
    able = [one for one in having if definition in one.definitions and not one.draining]
    if not able:
        drains = all(one.draining for one in having if definition in one.definitions)
        gone = any(definition in one.definitions for one in having) and drains
        return (
            f"{_numbers(having)} {_has(having)} {what}, but {_drains(having) if gone else _lacks(having, definition)}"
        )
    if owner is not None and any(one.number == owner for one in engines):
        there = _numbers(able, "or")
        return f"needs {what}: goes to {there} when what is under way of its run on engine {owner} has ended"
    return f"needs {what}: {_numbers(able, 'or')} takes it as soon as it can"


def why_not_taken(definition: str, label: str | None, engines: Sequence[Seen]) -> str | None:
    """Why nobody has taken a run that could go on; None: somebody is to."""
    if not engines:
        return NOBODY
    knowing = [one for one in engines if definition in one.definitions]
    if not knowing:
        return f"no engine has workflow {definition}; engines: {_each(engines, _workflows)}"
    able = [one for one in knowing if not one.draining]
    if not able:
        return f"no engine takes it: {_numbers(knowing)} {_has(knowing)} workflow {definition}, but {_drains(knowing)}"
    pinned = [one for one in able if label in one.definitions[definition]]
    if label is not None and pinned and len(pinned) < len(able):
        return f"it began with version {label}, and is left to {_numbers(pinned, 'or')}, which {_has(pinned)} that"
    return None


def why_orphaned(owner: int, why_not: str | None) -> str:
    """Why a run stands still whose engine is gone."""
    return f"its engine {owner} is gone, and {why_not or 'another takes it over in a moment'}"


def _numbers(engines: Sequence[Seen], word: str = "and") -> str:
    """`engine 7`, `engines 7, 8 and 2 more`."""
    names = [str(one.number) for one in engines[:_SHOWN_MAX]]
    if len(engines) > _SHOWN_MAX:
        names.append(f"{len(engines) - _SHOWN_MAX} more")
    if len(names) == 1:
        return f"engine {names[0]}"
    return f"engine{'s'[: word == 'and']} {', '.join(names[:-1])} {word} {names[-1]}"


def _each(engines: Sequence[Seen], what: Any) -> str:
    """`7 (gpu=t4), 8 (no labels)`."""
    found = [f"{one.number} ({what(one)})" for one in engines[:_SHOWN_MAX]]
    if len(engines) > _SHOWN_MAX:
        found.append(f"{len(engines) - _SHOWN_MAX} more")
    return ", ".join(found)


def _workflows(engine: Seen) -> str:
    names = sorted(engine.definitions)
    more = [f"{len(names) - _SHOWN_MAX} more"] if len(names) > _SHOWN_MAX else []
    return ", ".join(names[:_SHOWN_MAX] + more) or "none"


def _has(engines: Sequence[Seen]) -> str:
    return "has" if len(engines) == 1 else "have"


def _lacks(engines: Sequence[Seen], definition: str) -> str:
    return f"{'does' if len(engines) == 1 else 'do'} not know workflow {definition}"


def _drains(engines: Sequence[Seen]) -> str:
    return "drains" if len(engines) == 1 else "drain"
