"""Frozen values: JSON that nobody can change, however deep it lies.

What is given is copied through JSON, so that no caller keeps a way in, and what JSON cannot hold (NaN, a
cycle, an object without a schema) is refused here and not when it is written.  A frozen mapping is a
`dict` and a frozen list a `list` to all who read: they compare, print and serialise as such.
"""

from __future__ import annotations

from typing import Any, NoReturn, TypeVar

from ripresa.contracts.payload import dump, load

K = TypeVar("K")
V = TypeVar("V")


def _refuse(self: Any, *_: Any, **__: Any) -> NoReturn:
    msg = (
        f"this {type(self).__mro__[1].__name__} belongs to a step's context and cannot be changed:"
        " make a copy, as in dict(value) or list(value), or return StepResult.ok(context_updates={…})"
    )
    raise TypeError(msg)


class FrozenDict(dict[K, V]):
    """A dict that cannot be changed, nor can what it holds."""

    __slots__ = ()
    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __hash__(self) -> int:  # type: ignore[override]  # it cannot be changed
        return hash(frozenset(self.items()))

    def __deepcopy__(self, _: Any) -> FrozenDict[K, V]:
        return self

    def __reduce__(self) -> Any:
        return FrozenDict, (dict(self),)


class FrozenList(list[V]):
    """A list that cannot be changed, nor can what it holds."""

    __slots__ = ()
    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse
    append = clear = extend = insert = pop = remove = reverse = sort = _refuse

    def __hash__(self) -> int:  # type: ignore[override]  # it cannot be changed
        return hash(tuple(self))

    def __deepcopy__(self, _: Any) -> FrozenList[V]:
        return self

    def __reduce__(self) -> Any:
        return FrozenList, (list(self),)


NOTHING: FrozenDict[str, Any] = FrozenDict()
"""The empty mapping."""


def freeze(value: Any, where: str) -> Any:
    """`value`, copied as JSON has it, frozen.  Raises PayloadError naming `where` and the place within."""
    if value is None or type(value) in (bool, str, FrozenDict, FrozenList):
        return value
    return frozen(load(dump(value, where=where)))


def frozen(value: Any) -> Any:
    """Plain JSON values, of which nobody else keeps a part, frozen."""
    if type(value) is dict:
        return FrozenDict({key: frozen(item) for key, item in value.items()})
    if type(value) is list:
        return FrozenList([frozen(item) for item in value])
    return value


def thaw(value: Any) -> Any:
    """A plain copy that may be changed."""
    if isinstance(value, dict):
        return {key: thaw(item) for key, item in value.items()}
    if isinstance(value, list):
        return [thaw(item) for item in value]
    return value
