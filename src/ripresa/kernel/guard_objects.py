"""What names in workflow code stand for: the objects, found without running or importing anything.

Modules are looked at as far as they are loaded; what is not loaded is known by its name.
"""

from __future__ import annotations

import functools
import importlib.util
import inspect
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

from ripresa.kernel.guard_table import FORBIDDEN, SPARED


@dataclass(frozen=True, slots=True)
class Unloaded:
    """A module, or something in it, that is known by name only."""

    name: str


class Unknown:
    """What a name stands for cannot be told from the code."""


UNKNOWN = Unknown()


def is_a(value: Any, *kinds: type) -> bool:
    """`isinstance`, but a value that poses as another (a proxy that loads itself when asked) is not asked."""
    return issubclass(type(value), kinds)


def attribute(owner: Any, name: str) -> Any:
    """`owner.name` without running any code."""
    if is_a(owner, Unknown):
        return UNKNOWN
    if is_a(owner, Unloaded):
        return Unloaded(f"{owner.name}.{name}")
    if is_a(owner, ModuleType):
        dotted = f"{owner.__name__}.{name}"
        return vars(owner).get(name, sys.modules.get(dotted, Unloaded(dotted)))
    found = inspect.getattr_static(owner if is_a(owner, type) else type(owner), name, UNKNOWN)
    return found.__func__ if is_a(found, staticmethod, classmethod) else found


def module_named(name: str, level: int, names: dict[str, Any]) -> ModuleType | Unloaded:
    if level:
        package = names.get("__package__") or ""
        try:
            name = importlib.util.resolve_name("." * level + name, package)
        except ImportError:
            return Unloaded(name)
    return sys.modules.get(name) or Unloaded(name)


def plain_function(value: Any) -> FunctionType | None:
    """The Python function that calling `value` runs, if it is one and not a step or workflow."""
    if inspect.getattr_static(value, "__ripresa__", None) is not None:
        return None
    if is_a(value, functools.partial):
        return plain_function(value.func)
    if is_a(value, MethodType):
        return plain_function(value.__func__)
    if type(value) is FunctionType:
        return value
    wrapped = inspect.getattr_static(value, "__wrapped__", None)  # functools.lru_cache and its like
    return None if wrapped is None else plain_function(wrapped)


def callees(value: Any) -> Iterator[FunctionType]:
    """The Python functions that run when `value` is called."""
    if is_a(value, type):
        for name in ("__init__", "__post_init__"):
            made = inspect.getattr_static(value, name, None)
            if type(made) is FunctionType:
                yield made
    elif (function := plain_function(value)) is not None:
        yield function


class Table:
    """The forbidden names, found again as what they stand for in the modules that are loaded."""

    def __init__(self) -> None:
        self._names = {name for name in FORBIDDEN if not name.endswith(".*")}
        self._objects: dict[int, str] = {}
        self._members: dict[tuple[int, str], str] = {}
        for name in FORBIDDEN:
            self._learn(name)

    def ban(self, owner: Any, name: str, value: Any) -> str | None:
        """The forbidden name that `value`, got as `owner.name`, stands for."""
        if is_a(value, Unloaded):
            return self._of_name(value.name)
        if id(value) in self._objects:
            return self._objects[id(value)]
        if is_a(value, BuiltinFunctionType) and is_a(value.__self__, type):
            owner, name = value.__self__, value.__name__
        if is_a(owner, ModuleType, Unknown, Unloaded):
            return None
        if is_a(owner, random.Random):
            return "random.*"  # one for all runs: even a seeded one
        lineage = inspect.getmro(owner if is_a(owner, type) else type(owner))
        return next((self._members[id(cls), name] for cls in lineage if (id(cls), name) in self._members), None)

    def _of_name(self, name: str) -> str | None:
        if name in self._names:
            return name
        family = name.rpartition(".")[0] + ".*"
        return family if family in FORBIDDEN and name not in SPARED else None

    def _learn(self, name: str) -> None:
        place, _, last = name.rpartition(".")
        module = sys.modules.get(place)
        if module is None:
            self._learn_member(place, last, name)
        elif last == "*":
            for public in getattr(module, "__all__", vars(module)):
                self._learn_object(vars(module).get(public), f"{place}.{public}", name)
        else:
            self._learn_object(vars(module).get(last), name, name)

    def _learn_member(self, place: str, last: str, name: str) -> None:
        module, _, owner = place.rpartition(".")
        cls = vars(sys.modules[module]).get(owner) if module in sys.modules else None
        if is_a(cls, type):
            self._members[id(cls), last] = name

    def _learn_object(self, value: Any, own_name: str, name: str) -> None:
        is_error = is_a(value, type) and issubclass(value, BaseException)
        hidden = own_name.rpartition(".")[2].startswith("_") or own_name in SPARED
        if callable(value) and not is_error and not (hidden and name.endswith(".*")):
            self._objects.setdefault(id(value), name)
