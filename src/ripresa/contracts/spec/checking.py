"""Checking a file's value against its model: the spec, or every problem in the contract's own words."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import ValidationError

from ripresa.contracts.problems import PROBLEMS_MAX, Problem, nearest
from ripresa.contracts.reading.document import Path
from ripresa.contracts.spec.base import Spec
from ripresa.contracts.spec.entries import KINDS, Entry
from ripresa.contracts.spec.shape import fields_of, known_fields
from ripresa.contracts.spec.sources import Sources
from ripresa.contracts.spec.versions import CONTRACT, newer_minor
from ripresa.contracts.spec.words import Wrong, told

S = TypeVar("S", bound=Spec)

_BESIDE = frozenset(fields_of(Entry)) - frozenset(KINDS)
"""What stands beside the kind of an entry, not within it."""
_FOREIGN = {
    "arguments": "args", "attempts": "max_attempts", "backoff": "exponential_backoff", "cmd": "command",
    "condition": "when", "cron_expression": "cron", "dependencies": "depends_on", "depends": "depends_on",
    "entrypoint": "command", "environment": "env", "max_retry": "max_retries", "needs": "depends_on",
    "parallelism": "max_parallel", "parameters": "params", "retries": "retry", "schedule_interval": "schedule",
    "steps": "jobs", "tasks": "jobs", "tz": "timezone",
}  # fmt: skip
"""Words of other systems, and the contract's for them."""


def checked(model: type[S], sources: Sources) -> tuple[S | None, list[Problem]]:
    """The spec, or None and the problems."""
    try:
        return model.model_validate(sources.value), []
    except ValidationError as error:
        found = error.errors(include_url=False)[:PROBLEMS_MAX]
        return None, [_problem(model, one, sources) for one in found]


def _problem(model: type[Spec], error: Any, sources: Sources) -> Problem:
    kind, context, loc = error["type"], error.get("ctx") or {}, tuple(error["loc"])
    if kind == "spec":
        path = _written(sources.value, (*loc, *context["at"]))
        return sources.problem(context["code"], context["message"], context["remedy"], path, key="[key]" in loc[-1:])
    path = _written(sources.value, loc, and_last=kind == "missing")
    if kind == "extra_forbidden":
        return _unknown(model, path, sources)
    code, message, remedy = told(Wrong(kind, context, error["input"], sources.raw(path)))
    return sources.problem(code, message, remedy, path, key=kind == "missing")


def _unknown(model: type[Spec], path: Path, sources: Sources) -> Problem:
    """An unknown field: where it belongs, what it is called here, or which there are."""
    name, around = str(path[-1]), path[:-1]
    known = known_fields(model, around)
    near = nearest(name, known)
    if near is None and _FOREIGN.get(name) in known:
        near = _FOREIGN[name]
    place = _place_for(name, around, model, sources)
    if place:
        return sources.problem("unknown_field", "unknown field here", place, path, key=True)
    newer = newer_minor(sources)
    if newer:
        said = f"contract {CONTRACT}, which this ripresa reads, has no such field, and the file is of {newer}"
        return sources.problem("contract_too_new", said, "upgrade ripresa", path, key=True, did_you_mean=near)
    remedy = "" if near else f"there are: {', '.join(known)}"
    return sources.problem("unknown_field", "unknown field", remedy, path, key=True, did_you_mean=near)


def _place_for(name: str, around: Path, model: type[Spec], sources: Sources) -> str:
    """Where a field of an entry belongs that stands one level too deep, or not deep enough."""
    if around and around[-1] in KINDS and name in _BESIDE:
        return f"write it beside {around[-1]}:, not within it"
    entry = sources.at(around)
    kinds = [kind for kind in KINDS if isinstance(entry, dict) and kind in entry]
    if kinds and name in known_fields(model, (*around, kinds[0])):
        return f"write it within {kinds[0]}:"
    return ""


def _written(value: Any, loc: Path, *, and_last: bool = False) -> Path:
    """The part of `loc` that leads through the value as it was written.

    pydantic adds steps of its own (the tag of a union, `[key]`), and a check may have made a mapping of a scalar.
    """
    path: list[str | int] = []
    for place, step in enumerate(loc):
        inside = _inside(value, step)
        if inside is not None:
            value = inside[0]
        elif not (and_last and place == len(loc) - 1):
            continue
        path.append(step)
    return tuple(path)


def _inside(value: Any, step: str | int) -> tuple[Any] | None:
    """The value behind a step, if there is one."""
    if isinstance(value, dict) and step in value:
        return (value[step],)
    if isinstance(value, list) and isinstance(step, int) and step < len(value):
        return (value[step],)
    return None
