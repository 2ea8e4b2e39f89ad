"""Signatures: the values of a call as checked JSON, and back, from a function's annotations.

A call is written as one JSON object, `{"order": {…}, "express": true}`: parameters by name, defaults
filled in.  Reading it back gives new objects, so that a step can never change its workflow's values
behind the journal's back.  Adapters are built on first use: importing a workflow costs nothing.
"""

from __future__ import annotations

import inspect
import sys
from functools import cached_property
from typing import TYPE_CHECKING, Any, get_type_hints

from pydantic_core import ValidationError

from ripresa.contracts.errors import PayloadError
from ripresa.contracts.payload import dump, load

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import TypeAdapter

_SCALARS = frozenset({int, str, bool, float, type(None)})
_P = inspect.Parameter
_OPEN_ENDED = (_P.VAR_KEYWORD, _P.VAR_POSITIONAL)
_NO_ARGUMENTS = "{}"


class Type:
    """An annotation, as a checker and reader of values; `Any` (or none) checks nothing."""

    def __init__(self, annotation: Any) -> None:
        self.annotation = annotation
        self.unchecked = annotation is Any or annotation is inspect.Parameter.empty
        self.exact = annotation if annotation in _SCALARS_AND_NONE else None
        if annotation is None:
            self.exact = type(None)

    @cached_property
    def adapter(self) -> TypeAdapter[Any]:
        from pydantic import TypeAdapter  # noqa: PLC0415 - heavy; only where a value is checked

        return TypeAdapter(self.annotation)

    @cached_property
    def _read_json(self) -> Callable[[str], Any]:
        """Pydantic's own reader, without its Python wrapper."""
        return self.adapter.validator.validate_json

    def check(self, value: Any, where: str) -> Any:
        """`value` as the annotation has it.  Raises PayloadError naming `where`."""
        if self.unchecked or type(value) is self.exact:
            return value
        try:
            return self.adapter.validate_python(value)
        except ValidationError as error:
            raise PayloadError(explain(error, where)) from None

    def read(self, text: str, where: str) -> Any:
        """The value that `text` holds.  Raises PayloadError naming `where`."""
        if self.unchecked or (text == "null" and self.exact is type(None)):
            return load(text)
        try:
            return self._read_json(text)
        except ValidationError as error:
            raise PayloadError(explain(error, where)) from None

    def write(self, value: Any, where: str) -> str:
        """`value`, checked, as JSON text.  Raises PayloadError naming `where`."""
        if type(value) is not self.exact:
            value = self.check(value, where)
        return dump(value, where=where)

    def json_schema(self) -> dict[str, Any]:
        """JSON Schema (2020-12) of the values."""
        return {} if self.unchecked else self.adapter.json_schema()


_SCALARS_AND_NONE = tuple(_SCALARS)


def explain(error: Any, where: str) -> str:
    """A pydantic error in one voice: place, problem, value; all problems at once."""
    problems = []
    for item in error.errors(include_url=False, include_context=False):
        place = where + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in item["loc"])
        shown = repr(item["input"])
        problems.append(f"{place}: {item['msg'][0].lower()}{item['msg'][1:]} (got {shown[:80]})")
    return "; ".join(problems)


class Signature:
    """A function's parameters and result."""

    def __init__(
        self, function: Callable[..., Any], name: str, names: dict[str, Any] | None = None, *, given: int = 0
    ) -> None:
        """`given`: how many parameters, the first ones, do not come from the caller."""
        self.function = function
        self.name = name
        self._local_names = names
        self._signature = inspect.signature(function)
        parameters = list(self._signature.parameters.values())[given:]
        if given:
            self._signature = self._signature.replace(parameters=parameters)
        self.names = tuple(p.name for p in parameters)
        self._variadic = any(p.kind in (_P.VAR_POSITIONAL, _P.VAR_KEYWORD) for p in parameters)
        self._positional = all(p.kind in (_P.POSITIONAL_ONLY, _P.POSITIONAL_OR_KEYWORD) for p in parameters)
        self._plain = not self._variadic and self._positional

    @property
    def required(self) -> tuple[str, ...]:
        """Parameters without a default."""
        parameters = self._signature.parameters.values()
        return tuple(p.name for p in parameters if p.default is _P.empty and p.kind not in _OPEN_ENDED)

    @property
    def variadic(self) -> str | None:
        """The name of its `**parameters`, if it takes any."""
        return next((p.name for p in self._signature.parameters.values() if p.kind is _P.VAR_KEYWORD), None)

    @cached_property
    def hints(self) -> dict[str, Any]:
        """Annotations, resolved; those that cannot be (a name not imported at run time) count as `Any`."""
        try:
            return get_type_hints(self.function, localns=self._local_names, include_extras=True)
        except (NameError, TypeError, AttributeError):
            return _hints_one_by_one(self.function, self._local_names or {})

    @cached_property
    def types(self) -> dict[str, Type]:
        return {name: Type(self.hints.get(name, Any)) for name in self.names}

    @cached_property
    def result(self) -> Type:
        return Type(self.hints.get("return", Any))

    @cached_property
    def _listed_types(self) -> tuple[tuple[str, str, Type, Any], ...]:
        return tuple((f'"{name}":', f"{self.name}({name})", kind, kind.exact) for name, kind in self.types.items())

    def encode(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        """JSON text of the call, and arguments of its own to call with.

        Raises PayloadError for a value that does not fit, TypeError for a call that does not fit.
        """
        if not self.names and not args and not kwargs:
            return _NO_ARGUMENTS, (), kwargs
        if self._plain and not kwargs and len(args) == len(self.names):
            parts = []
            fresh = True
            for (label, where, kind, exact), value in zip(self._listed_types, args, strict=True):
                if type(value) is exact:
                    parts.append(label + dump(value, where=where))
                    continue
                fresh = False
                parts.append(label + dump(kind.check(value, where), where=where))
            text = "{" + ",".join(parts) + "}"
            if fresh:
                return text, args, kwargs
            return text, *self.decode(text)
        return self._encode_any(args, kwargs)

    def _encode_any(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError as error:
            msg = f"{self.name}(): {error}"
            raise TypeError(msg) from None
        bound.apply_defaults()
        text = dump({n: self._checked(n, v) for n, v in bound.arguments.items()}, where=f"{self.name}()")
        return text, *self.decode(text)

    def _checked(self, name: str, value: Any) -> Any:
        kind = self._signature.parameters[name].kind
        where = f"{self.name}({name})"
        if kind is _P.VAR_POSITIONAL:
            return [self.types[name].check(item, where) for item in value]
        if kind is _P.VAR_KEYWORD:
            return {key: self.types[name].check(item, where) for key, item in value.items()}
        return self.types[name].check(value, where)

    @cached_property
    def _reader(self) -> Type:
        from pydantic import ConfigDict, with_config  # noqa: PLC0415 - heavy
        from typing_extensions import TypedDict  # noqa: PLC0415 - pydantic's own requirement before Python 3.12

        fields = {}
        for name, parameter in self._signature.parameters.items():
            hint = self.hints.get(name, Any)
            if parameter.kind is _P.VAR_POSITIONAL:
                hint = list[hint]  # type: ignore[valid-type]  # built at run time
            elif parameter.kind is _P.VAR_KEYWORD:
                hint = dict[str, hint]  # type: ignore[valid-type]  # built at run time
            fields[name] = hint
        open_ended = (_P.VAR_POSITIONAL, _P.VAR_KEYWORD)
        parameters = self._signature.parameters.items()
        required = {n for n, p in parameters if p.default is _P.empty and p.kind not in open_ended}
        from typing import NotRequired  # noqa: PLC0415 - as above

        annotations = {n: t if n in required else NotRequired[t] for n, t in fields.items()}
        shape: Any = TypedDict(f"{self.name}_input", annotations)  # type: ignore[misc]  # built at run time
        return Type(with_config(ConfigDict(extra="forbid"))(shape))

    def decode(self, text: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arguments to call with, from what `encode` wrote.  Raises PayloadError."""
        if not self.names and text == _NO_ARGUMENTS:
            return (), {}
        values = self._reader.read(text, f"{self.name}()")
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        for name, parameter in self._signature.parameters.items():
            kind = parameter.kind
            if kind is _P.VAR_POSITIONAL:
                args.extend(values.get(name, ()))
            elif kind is _P.VAR_KEYWORD:
                kwargs.update(values.get(name, {}))
            elif kind is _P.KEYWORD_ONLY:
                kwargs[name] = values.get(name, parameter.default)
            else:
                args.append(values.get(name, parameter.default))
        return tuple(args), kwargs

    def check_input(self, text: str) -> str:
        """`text`, checked and with defaults filled in.  Raises PayloadError."""
        args, kwargs = self.decode(text)
        return self.encode(args, kwargs)[0]

    def input_schema(self) -> dict[str, Any]:
        """JSON Schema (2020-12) of the call's object."""
        schema = self._reader.json_schema()
        for name, parameter in self._signature.parameters.items():
            if parameter.default is not _P.empty and parameter.default is not None:
                schema["properties"][name].setdefault("default", load(dump(parameter.default)))
        return schema

    def output_schema(self) -> dict[str, Any]:
        """JSON Schema (2020-12) of the result."""
        return self.result.json_schema()


def _hints_one_by_one(function: Callable[..., Any], names: dict[str, Any]) -> dict[str, Any]:
    """Those annotations that can be resolved; the others check nothing."""
    names = {**getattr(function, "__globals__", {}), **names}
    hints = {}
    for name, annotation in getattr(function, "__annotations__", {}).items():
        try:
            hints[name] = eval(annotation, names) if isinstance(annotation, str) else annotation  # noqa: S307 - as get_type_hints does, over the author's own code
        except Exception:  # noqa: BLE001, S112 - whatever it raises, it cannot be resolved
            continue
    return hints


def local_names(depth: int) -> dict[str, Any] | None:
    """Names local to the function in which a definition is written, for its annotations; None at module level."""
    frame = sys._getframe(depth + 1)  # noqa: SLF001 - the documented way to one's caller
    return None if frame.f_locals is frame.f_globals else dict(frame.f_locals)
