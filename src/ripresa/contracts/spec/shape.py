"""Shape: which fields each model has, and which models stand under them; read off the models themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, get_args

from ripresa.contracts.spec.base import Spec


@lru_cache(maxsize=256)
def fields_of(model: type[Spec]) -> dict[str, tuple[type[Spec], ...]]:
    """The contract's names of a model's fields, and the models that may stand under each."""
    return {
        field.alias or name: tuple(dict.fromkeys(_models([field.annotation, *field.metadata])))
        for name, field in model.model_fields.items()
    }


def _models(parts: Sequence[Any]) -> Iterator[type[Spec]]:
    for part in parts:
        if isinstance(part, type) and issubclass(part, Spec):
            yield part
        else:
            yield from _models(get_args(part))


def models_at(root: type[Spec], path: Sequence[str | int]) -> tuple[type[Spec], ...]:
    """The models that may describe the mapping at `path`; none, where the keys are the user's own."""
    found: tuple[type[Spec], ...] = (root,)
    for step in path:
        if isinstance(step, str) and found:
            found = tuple(child for model in found for child in fields_of(model).get(step, ()))
    return found


def known_fields(root: type[Spec], path: Sequence[str | int]) -> list[str]:
    """The names of all fields that may stand in the mapping at `path`."""
    return list(dict.fromkeys(name for model in models_at(root, path) for name in fields_of(model)))


def models_below(root: type[Spec]) -> list[type[Spec]]:
    """The model and all that stand under it, each once."""
    found = {root: True}
    waiting = [root]
    while waiting:
        for children in fields_of(waiting.pop()).values():
            waiting += [child for child in children if child not in found]
            found.update(dict.fromkeys(children, True))
    return list(found)
