"""Binding: where the parameters of a task's function get their values from, decided once, by name.

A parameter is, in this order: the output of the task of that name which comes before; `params`, all of
them; `context`; the param of that name; its default.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ripresa.contracts.errors import GraphError, RipresaError
from ripresa.contracts.status import FailureClass

if TYPE_CHECKING:
    from ripresa.author.graph.ancestry import Ancestry
    from ripresa.author.graph.plan import Expression, Values

T = TypeVar("T")
_P = inspect.Parameter


@lru_cache(maxsize=4096)
def parameters(function: Callable[..., Any]) -> tuple[inspect.Parameter, ...]:
    """The function's parameters; many tasks may have one function."""
    return tuple(inspect.signature(function).parameters.values())


class OutputMissing(RipresaError):
    """A task wants the output of one that has none, since it was skipped or failed: give the parameter a default."""

    failure_class = FailureClass.TERMINAL
    code = "input_missing"


@dataclass(frozen=True, slots=True)
class Bound(Generic[T]):
    """Something bound: which tasks' outputs it uses, and which params it cannot do without."""

    value: T
    uses: frozenset[str]
    needs: frozenset[str]


class Binding:
    """Binds for one task of a DAG; `params` are those that the DAG declares."""

    def __init__(self, dag: str, task: str, ancestry: Ancestry, params: frozenset[str]) -> None:
        self._dag = dag
        self._task = task
        self._ancestry = ancestry
        self._params = params

    def of_call(self, function: Callable[..., Any], *, mapped: bool) -> Bound[Any]:
        """The arguments of a call of the function, as `works.Call` wants them."""
        sources = self._sources(function)
        if mapped:
            self._give_item(sources)
        takes = [(name, source) for name, source in sources.items() if source is not None]

        def arguments(values: Values) -> tuple[tuple[Any, ...], dict[str, Any]]:
            found = {}
            for name, source in takes:
                value = source(values)
                if value is not _ABSENT:
                    found[name] = value
            return (), found

        return self._bound(sources, arguments)

    def of_condition(self, function: Callable[..., Any]) -> Bound[Expression]:
        """The condition's value, worked out from its parameters."""
        bound = self.of_call(function, mapped=False)

        def condition(values: Values) -> Any:
            args, kwargs = bound.value(values)
            return function(*args, **kwargs)

        return Bound(condition, bound.uses, bound.needs)

    def items(self, items: Any) -> Expression:
        """The items of a fan-out: a task's output, a param, or a list."""
        if isinstance(items, str):
            return lambda values: values["params"].get(items)
        name = getattr(items, "name", None)
        if name is not None:
            return _Output(name, optional=False)
        return lambda _: items

    def _sources(self, function: Callable[..., Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for parameter in parameters(function):
            name = parameter.name
            if parameter.kind in (_P.VAR_POSITIONAL, _P.VAR_KEYWORD):
                continue
            if parameter.kind is _P.POSITIONAL_ONLY:
                raise GraphError(self._dag, [f"{self._task}: parameter {name!r} cannot be given by name; drop the `/`"])
            optional = parameter.default is not _P.empty
            if self._ancestry.before(self._task, name):
                found[name] = _Output(name, optional=optional)
            elif name == "params":
                found[name] = _all_params
            elif name == "context":
                found[name] = _Context(self._ancestry.all_before(self._task))
            else:
                found[name] = _Param(name, optional=optional)
        return found

    def _give_item(self, sources: dict[str, Any]) -> None:
        """The item goes to the parameter `item`, else to the first that is neither a task nor a declared param."""
        free = [name for name, source in sources.items() if isinstance(source, _Param) and name not in self._params]
        name = "item" if "item" in sources else next(iter(free), None)
        if name is None:
            raise GraphError(self._dag, [f"{self._task}: no parameter is left for the item; add one called `item`"])
        sources[name] = _item
        if "index" in sources and name != "index":
            sources["index"] = _index

    def _bound(self, sources: dict[str, Any], value: Any) -> Bound[Any]:
        uses = frozenset(one.name for one in sources.values() if isinstance(one, _Output))
        needs = frozenset(one.name for one in sources.values() if isinstance(one, _Param) and not one.optional)
        return Bound(value, uses, needs)


_ABSENT: Any = object()


class _Output:
    """The output of a task that comes before."""

    def __init__(self, name: str, *, optional: bool) -> None:
        self.name = name
        self._optional = optional

    def __call__(self, values: Values) -> Any:
        step = values["steps"][self.name]
        if "output" in step:
            return step["output"]
        if self._optional:
            return _ABSENT
        raise OutputMissing(f"{self.name} {_said(step['status'])}, so it has no output; give the parameter a default")


class _Param:
    """A param of the run."""

    def __init__(self, name: str, *, optional: bool) -> None:
        self.name = name
        self.optional = optional

    def __call__(self, values: Values) -> Any:
        params = values["params"]
        if self.name in params:
            return params[self.name]
        if self.optional:
            return _ABSENT
        raise OutputMissing(f"there is no param {self.name!r}, and no task of that name before it")


def _said(status: str) -> str:
    return "was skipped" if status == "skipped" else status


def _item(values: Values) -> Any:
    return values["item"]


def _index(values: Values) -> Any:
    return values["index"]


def _all_params(values: Values) -> Any:
    return values["params"]


_INSIDE = ("steps", "date_texts")


class _Context:
    """What a task may know of its run, all in one: params, dates, and the outputs of what comes before."""

    def __init__(self, before: list[str]) -> None:
        self.before = before

    def __call__(self, values: Values) -> Mapping[str, Any]:
        steps = values["steps"]
        outputs = {name: steps[name]["output"] for name in self.before if "output" in steps.get(name, ())}
        return {**{key: value for key, value in values.items() if key not in _INSIDE}, "outputs": outputs}
