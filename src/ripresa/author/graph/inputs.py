"""Inputs: the params of a graph – which there are, which are needed, and their defaults.

The input of a run is one JSON object, params by name.  Beside them it may hold `execution_date`, the
run's logical date (without it that is the moment at which the run was started), and `config`, the settings
that its templates read, as they were then: a run does not change because a setting does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from ripresa.author.signature import Type
from ripresa.contracts.errors import PayloadError
from ripresa.contracts.payload import dump, load

DATE = "execution_date"
CONFIG = "config"
_PYTHON = {"string": str, "integer": int, "number": float, "boolean": bool}

Check = Callable[[Mapping[str, Any]], list[str]]
"""What is wrong with the params, a line each."""


class Given(NamedTuple):
    """What a run was given: its params, its logical date as text if there is one, its settings."""

    params: dict[str, Any]
    date: str | None
    config: dict[str, Any]


class GraphInput:
    """The params of a graph, as `Signature` is those of a function.

    `schema` is a JSON Schema of the params, an object's; `check` tells what is wrong with given ones by it; `config`
    are the settings that a new run takes with it.
    """

    def __init__(
        self,
        name: str,
        schema: Mapping[str, Any],
        *,
        check: Check | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = name
        self._schema = schema
        self._check = check
        self._config = dict(config or {})
        properties: Mapping[str, Any] = schema.get("properties", {})
        self.names = (*properties, DATE)
        self.types = {key: Type(_PYTHON.get(str(one.get("type")), Any)) for key, one in properties.items()}
        self.types[DATE] = Type(str)
        self.required = tuple(key for key in schema.get("required", ()) if "default" not in properties.get(key, {}))
        self.variadic = "" if schema.get("additionalProperties", not properties) is not False else None
        """Whether other params than those listed may be given, beside those; None: they may not."""
        self.result = Type(Any)
        self.defaults = {key: one["default"] for key, one in properties.items() if "default" in one}

    def encode(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """Params as JSON text, checked, defaults filled in.  Raises PayloadError, TypeError."""
        if len(args) > 1 or (args and not isinstance(args[0], Mapping | None)):
            raise TypeError(f"{self.name}: give the params as one mapping, {{'region': 'eu'}}, or by name")
        given = {**((args[0] if args else None) or {}), **kwargs}
        return self._checked({key: _plain(value) for key, value in given.items()})

    def check_input(self, text: str) -> str:
        """The input's JSON text, checked, defaults filled in.  Raises PayloadError."""
        given = load(text)
        if not isinstance(given, dict):
            raise PayloadError(
                f"{self.name}: the input is {type(given).__name__}, not an object with the params by name"
            )
        return self._checked(given)

    def decode(self, text: str) -> Given:
        """What a run was given."""
        given = load(text)
        date, config = given.pop(DATE, None), given.pop(CONFIG, {})
        return Given({**self.defaults, **given}, date, config)

    def input_schema(self) -> dict[str, Any]:
        """JSON Schema (2020-12) of the input."""
        date = {"type": "string", "format": "date-time", "description": "The run's logical date."}
        properties = {**self._schema.get("properties", {}), DATE: date}
        return {"type": "object", **self._schema, "properties": properties}

    def output_schema(self) -> dict[str, Any]:
        """JSON Schema of the output: anything."""
        return {}

    def _checked(self, given: dict[str, Any]) -> str:
        date, config = given.pop(DATE, None), given.pop(CONFIG, self._config)
        values = {**self.defaults, **given}
        problems = [f"{name} is missing" for name in self.required if name not in values]
        if self.variadic is None:
            known = ", ".join(self.names)
            problems += [f"there is no param {key!r} (there are: {known})" for key in given if key not in self.names]
        if self._check is not None and not problems:
            problems = self._check(values)
        if problems:
            raise PayloadError(f"input of {self.name}: " + "; ".join(problems))
        if date is not None:
            values[DATE] = _date(date, self.name)
        if config:
            values[CONFIG] = config
        return dump(values, where=f"input of {self.name}")


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _date(given: Any, name: str) -> str:
    try:
        datetime.fromisoformat(str(given))
    except ValueError:
        raise PayloadError(
            f"input of {name}: {DATE}: {given!r} is no date; write 2026-01-31 or 2026-01-31T02:00:00Z"
        ) from None
    return str(given)
