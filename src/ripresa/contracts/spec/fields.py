"""Fields explained: what may stand at a place of a definition file, read off the models themselves.

A place is a dotted path as `workflow.jobs.job.retry.max_delay`.  Positions (`jobs[0]`) may stand in it and count for
nothing, so that the path of an error message can be asked about; where keys are the user's own (`env.PORT`), the path
ends at the mapping that holds them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from ripresa.contracts.problems import nearest
from ripresa.contracts.spec.base import Spec
from ripresa.contracts.spec.shape import fields_of
from ripresa.contracts.spec.strings import takes_template
from ripresa.contracts.spec.type_words import Kind, kind_of
from ripresa.contracts.spec.workflow import JobFile, WorkflowFile

PLACES_SHOWN_MAX = 8
_LISTS = frozenset(("jobs", "finally"))
_INDEX = re.compile(r"\[[^\]]*\]")


class FieldUnknown(ValueError):
    """There is no such field; the message says which was meant, or where a field of this name stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field: where it stands, what it may hold, and what it means.

    `type` is in words, `values` the words that it may be, `limits` its bounds in words.  `templates`: it may hold
    `{{ … }}`.  `default` is None also where leaving it out means something of its own, which `says` tells then.
    """

    path: tuple[str, ...]
    type: str
    required: bool
    default: Any
    says: str
    values: tuple[str, ...] = ()
    limits: str = ""
    example: Any = None
    templates: bool = False
    has_fields: bool = False

    @property
    def name(self) -> str:
        """Its own name, the last of the path."""
        return self.path[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """What stands at a place: the field itself (None: the top of a file), what a mapping there is, its fields.

    `also_at`: other places where the very same field stands.
    """

    field: Field | None
    abouts: tuple[str, ...]
    fields: tuple[Field, ...]
    also_at: tuple[tuple[str, ...], ...] = ()


def explain(path: str = "") -> Explained:
    """The field at `path`, or the top of a file for an empty one.

    A path may begin anywhere, if all fields that end so are one and the same: `retry.max_delay`.  Raises FieldUnknown.
    """
    steps = tuple(step for step in _INDEX.sub("", path).strip(". ").split(".") if step and not step.isdigit())
    if not steps:
        return Explained(field=None, abouts=(), fields=_top())
    found = _walked(steps)
    return found if found is not None else _ending_in(steps, path)


def all_paths() -> list[str]:
    """Every path that there is, dotted; a field within `finally:` is told at `jobs:`."""
    return [".".join(path) for path in _places()]


# --- the way there -----------------------------------------------------------------------------


def _top() -> tuple[Field, ...]:
    fields = [_field(WorkflowFile, name, (name,)) for name in ("contract", "workflow")]
    return (*fields, _field(JobFile, "job", ("job",)))


def _walked(steps: tuple[str, ...]) -> Explained | None:
    """The field that these steps lead to from the top; None: they lead nowhere."""
    models: tuple[type[Spec], ...] = (JobFile if steps[0] == "job" else WorkflowFile,)
    field: Field | None = None
    for depth, step in enumerate(steps):
        holders = [model for model in models if step in fields_of(model)]
        if not holders:
            if field is not None and (step == "from" and _includes(field.path)):
                return Explained(field=_from(field.path), abouts=(), fields=())
            return _explained(field, models) if field is not None and not models and _of_user(field) else None
        field = _field(holders[0], step, steps[: depth + 1])
        models = tuple(child for model in holders for child in fields_of(model)[step])
    return None if field is None else _explained(field, models)


def _of_user(field: Field) -> bool:
    """Whether the keys of the mapping are the user's own."""
    return field.type.startswith("mapping") or field.type == "anything"


def _explained(field: Field, models: Sequence[type[Spec]]) -> Explained:
    fields: dict[str, Field] = {}
    for model in models:
        for name in fields_of(model):
            one = _field(model, name, (*field.path, name))
            fields[name] = _merged(fields[name], one) if name in fields else one
    listed = tuple(fields.values())
    if _includes(field.path):
        listed = (*listed, _from(field.path))
    abouts = tuple(" ".join((model.__doc__ or "").split()) for model in models)
    same = _same().get(_place(field.path), ())
    return Explained(
        field=field, abouts=abouts, fields=listed, also_at=tuple(path for path in same if path != field.path)
    )


def _merged(one: Field, other: Field) -> Field:
    """A field that several kinds of mapping have, with the words and the meaning that it has in each."""
    if one.values and other.values:
        values = tuple(dict.fromkeys((*one.values, *other.values)))
        return replace(one, values=values, type=" | ".join(values), says=_both(one.says, other.says))
    return replace(one, required=one.required and other.required, says=_both(one.says, other.says))


def _both(one: str, other: str) -> str:
    return one if other in one else f"{one} {other}"


def _includes(path: tuple[str, ...]) -> bool:
    return len(path) == 3 and path[1] in _LISTS and path[2] == "job"


def _from(path: tuple[str, ...]) -> Field:
    says = "Instead of all others: path of the job's own file below the definition's folder."
    return Field(path=(*path, "from"), type="text", required=False, default=None, says=says, example="jobs/load.yaml")


# --- one field ---------------------------------------------------------------------------------


def _field(model: type[Spec], name: str, path: tuple[str, ...]) -> Field:
    known = next(one for key, one in model.model_fields.items() if (one.alias or key) == name)
    kind = kind_of(_schema(model)["properties"][name], _definitions())
    default = None if known.is_required() else known.get_default(call_default_factory=True)
    if isinstance(default, Spec | list | dict):
        default = None
    return Field(
        path=path,
        type=kind.words,
        required=known.is_required(),
        default=default,
        says=known.description or "",
        values=kind.values,
        limits=kind.limits,
        example=kind.example,
        templates=_takes_template(path, kind),
        has_fields=bool(fields_of(model)[name]),
    )


def _takes_template(path: tuple[str, ...], kind: Kind) -> bool:
    if kind.is_mapping_of_models:
        return False
    return takes_template(tuple(_indexed(path)))


def _indexed(path: tuple[str, ...]) -> Iterator[str | int]:
    for step in path:
        yield step
        if step in _LISTS or step == "cases":
            yield 0


@cache
def _definitions() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for model in (WorkflowFile, JobFile):
        schema = model.model_json_schema(by_alias=True, mode="validation")
        found |= schema.pop("$defs", {})
        found[model.__name__] = schema
    return found


def _schema(model: type[Spec]) -> dict[str, Any]:
    schema: dict[str, Any] = _definitions()[model.__name__]
    return schema


# --- all places --------------------------------------------------------------------------------

_Place = tuple[type[Spec], str]


@cache
def _places() -> dict[tuple[str, ...], _Place]:
    """Every path and the field that stands there, nearest to the top first."""
    found: dict[tuple[str, ...], _Place] = {("contract",): (WorkflowFile, "contract")}
    waiting: list[tuple[tuple[str, ...], type[Spec], str]] = [
        (("workflow",), WorkflowFile, "workflow"),
        (("job",), JobFile, "job"),
    ]
    while waiting:
        following = []
        for path, model, name in waiting:
            if path in found or "finally" in path[:-1]:
                continue
            found[path] = (model, name)
            following += [((*path, key), child, key) for child in fields_of(model)[name] for key in fields_of(child)]
        waiting = following
    return found


def _place(path: tuple[str, ...]) -> _Place | None:
    return _places().get(tuple("jobs" if step == "finally" and len(path) > 2 else step for step in path))


@cache
def _same() -> dict[_Place | None, tuple[tuple[str, ...], ...]]:
    """By field: all places where it stands."""
    found: dict[_Place | None, list[tuple[str, ...]]] = {}
    for path, place in _places().items():
        found.setdefault(place, []).append(path)
    return {place: tuple(paths) for place, paths in found.items()}


def _ending_in(steps: tuple[str, ...], typed: str) -> Explained:
    """The one field whose places end in these steps.  Raises FieldUnknown for none, and for several."""
    ending: dict[_Place, list[tuple[str, ...]]] = {}
    for path, place in _places().items():
        if path[-len(steps) :] == steps:
            ending.setdefault(place, []).append(path)
    if len(ending) == 1:
        ((path, *_),) = ending.values()
        found = _walked(path)
        assert found is not None  # noqa: S101 - it is one of the places
        return found
    if ending:
        shown = [".".join(paths[0]) for paths in ending.values()]
        raise FieldUnknown(f"{typed}: there are {len(shown)} fields of this name: {_listed(shown)}")
    raise FieldUnknown(f"{typed}: there is no such field{_meant(steps)}")


def _meant(steps: tuple[str, ...]) -> str:
    """The nearest path, else what there is at the last step that exists."""
    for depth, step in enumerate(steps):
        there = _walked(steps[:depth]) if depth else explain()
        names = [one.name for one in there.fields] if there is not None else []
        if step in names or not names:
            continue
        near = nearest(step, names)
        if near is not None:
            return f'; did you mean "{".".join((*steps[:depth], near, *steps[depth + 1 :]))}"?'
        elsewhere = [".".join(path) for path in _places() if path[-1] == steps[-1]]
        if elsewhere:
            return f"; did you mean {_listed(elsewhere, ' or ')}?"
        if depth:
            return f"; {'.'.join(steps[:depth])} has {_listed(names)}"
    paths = all_paths()
    near = nearest(steps[-1], {path.rpartition(".")[2] for path in paths})
    near = next((path for path in paths if path.rpartition(".")[2] == near), None)
    return f'; did you mean "{near}"?' if near else "; `ripresa explain` lists what there is"


def _listed(names: Sequence[str], mark: str = ", ") -> str:
    shown = mark.join(names[:PLACES_SHOWN_MAX])
    return f"{shown}, …" if len(names) > PLACES_SHOWN_MAX else shown


def to_json(found: Explained) -> dict[str, Any]:
    """As JSON data."""
    told: dict[str, Any] = {} if found.field is None else _told(found.field)
    if found.abouts:
        told["about"] = list(found.abouts)
    told["fields"] = [_told(one) for one in found.fields]
    told["also_at"] = [".".join(path) for path in found.also_at]
    return told


def _told(one: Field) -> dict[str, Any]:
    return {
        "field": ".".join(one.path),
        "type": one.type,
        "required": one.required,
        "default": one.default,
        "says": one.says,
        "values": list(one.values),
        "limits": one.limits,
        "example": one.example,
        "templates": one.templates,
    }
