"""Settings: flags, then RIPRESA_* variables, then `ripresa.toml`, then defaults – each value with its origin.

Read at the edge, once a command; everything below gets plain values.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, NamedTuple

from ripresa.cli.exits import UsageProblem
from ripresa.cli.nearest import did_you_mean
from ripresa.contracts.labels import labels_of

if TYPE_CHECKING:
    from ripresa.contracts.events import EventSettings
    from ripresa.contracts.pools import Pool

FILE = "ripresa.toml"
DEFAULT_STORE = "sqlite:///.ripresa/ripresa.db"

_TABLES = ("store", "engine", "workflows", "runtimes", "secrets", "config", "pools", "events")
_CONFIG = "RIPRESA_CONFIG_"
"""What a variable begins with that sets a value of `config`: RIPRESA_CONFIG_TRINO_ENDPOINT is config.trino_endpoint."""


class Value(NamedTuple):
    """A setting and where it came from."""

    value: Any
    origin: str


@dataclass
class Given:
    """Flags given before the command's name; a flag behind it wins."""

    store: str | None = None
    format: Any = None


GIVEN = Given()


def same_store() -> str:
    """What a command that is proposed needs so that it reaches the same store."""
    if not GIVEN.store:
        return ""
    from ripresa.stores import shown_address

    return f" --store {quote(shown_address(GIVEN.store))}"


@dataclass(frozen=True, slots=True)
class Settings:
    """What holds for this invocation."""

    store: Value
    workflows: dict[str, str] = field(default_factory=dict)
    """Registered names and their targets."""
    engine: dict[str, Value] = field(default_factory=dict)
    """Fields of `Config` that differ from their defaults."""
    config: dict[str, Any] = field(default_factory=dict)
    """What templates know as `config`."""
    jobs: dict[str, Value] = field(default_factory=dict)
    """What is said of the runtimes of jobs, by dotted name; they read it themselves."""
    pools: tuple[Pool, ...] = ()
    events: EventSettings | None = None
    """Named capacities that steps wait for."""


def settings(store: str | None = None) -> Settings:
    """The settings under these flags.  Raises UsageProblem for a file or variable that cannot be read."""
    GIVEN.store = store or GIVEN.store
    told = _file()
    return Settings(
        _store(told), _workflows(told), _engine(told), _config(told), _jobs(told), _pools(told), _events(told)
    )


def _store(told: dict[str, Any]) -> Value:
    if GIVEN.store:
        return Value(GIVEN.store, "--store")
    if os.environ.get("RIPRESA_STORE"):
        return Value(os.environ["RIPRESA_STORE"], "RIPRESA_STORE")
    if "store" in told:
        if not isinstance(told["store"], str):
            raise UsageProblem(f"{FILE}: store: {told['store']!r} is not a URL")
        return Value(told["store"], FILE)
    return Value(DEFAULT_STORE, "default")


def _workflows(told: dict[str, Any]) -> dict[str, str]:
    named = told.get("workflows", {})
    if not isinstance(named, dict):
        raise UsageProblem(f'{FILE}: workflows: a table of names is needed, as [workflows] sales = "sales.py:daily"')
    for name, target in named.items():
        if not isinstance(target, str):
            raise UsageProblem(f'{FILE}: workflows.{name}: {target!r} is not a target such as "sales.py:daily"')
    return named


def _config(told: dict[str, Any]) -> dict[str, Any]:
    table = told.get("config", {})
    if not isinstance(table, dict):
        raise UsageProblem(f'{FILE}: config: a table is needed, as [config] trino_endpoint = "http://trino:8080"')
    given = {name: value for name, value in os.environ.items() if name.startswith(_CONFIG)}
    return {**table, **{name.removeprefix(_CONFIG).lower(): value for name, value in given.items()}}


def _jobs(told: dict[str, Any]) -> dict[str, Value]:
    """The tables of the runtimes and secrets of jobs, checked."""
    if not (told.get("runtimes") or told.get("secrets")):
        return {}
    from ripresa.runtimes.job_settings import HOST_VARIABLE, JobSettings

    try:
        JobSettings.read(told, Path())
    except ValueError as error:
        raise UsageProblem(f"{FILE}: {error}") from None
    found = {name: Value(value, FILE) for name, value in _leaves(told, ("runtimes", "secrets"))}
    if host := os.environ.get(HOST_VARIABLE):
        found["runtimes.container.host"] = Value(host, HOST_VARIABLE)
    return found


def _events(told: dict[str, Any]) -> EventSettings | None:
    if not told.get("events"):
        return None
    from ripresa.contracts.events import EventSettings

    try:
        return EventSettings.of(dict(told["events"]))
    except (TypeError, ValueError) as error:
        raise UsageProblem(f"{FILE}: {error}") from None


def _pools(told: dict[str, Any]) -> tuple[Pool, ...]:
    if not told.get("pools"):
        return ()
    from ripresa.contracts.pools import Pool

    try:
        return tuple(Pool.of(name, table) for name, table in dict(told["pools"]).items())
    except (ValueError, TypeError) as error:
        raise UsageProblem(f"{FILE}: pools: {error}") from None


def _leaves(table: dict[str, Any], names: Iterable[str], where: str = "") -> Iterator[tuple[str, Any]]:
    for name in names:
        value, place = table.get(name, {}), f"{where}{name}"
        if isinstance(value, dict):
            yield from _leaves(value, value, f"{place}.")
        else:
            yield place, value


def _engine(told: dict[str, Any]) -> dict[str, Value]:
    from ripresa.engine.config import Config

    kinds = {name: type(getattr(Config(), name)) for name in Config.__slots__}
    table = told.get("engine", {})
    for name in table if isinstance(table, dict) else ():
        if name not in kinds:
            raise UsageProblem(f"{FILE}: engine.{name}: unknown setting{did_you_mean(name, kinds)}")
    found = {name: Value(value, FILE) for name, value in table.items()} if isinstance(table, dict) else {}
    for name in kinds:
        variable = f"RIPRESA_{name.upper()}"
        if variable in os.environ:
            found[name] = Value(os.environ[variable], variable)
    return {name: Value(_as(kinds[name], given, name), given.origin) for name, given in found.items()}


def _as(kind: type, given: Value, name: str) -> Any:
    text = str(given.value).strip().lower()
    try:
        if kind is tuple:
            return labels_of(_yes_is_no_value(given.value), where="labels")
        if kind is bool:
            return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[text]
        return kind(text)
    except (ValueError, KeyError, TypeError) as error:
        place = given.origin if given.origin.startswith("RIPRESA_") else f"{FILE}: engine.{name}"
        wanted = {bool: "true or false", int: "a whole number", float: "a number"}.get(kind, kind.__name__)
        said = str(error) if kind is tuple else f"{given.value!r} is not {wanted}"
        raise UsageProblem(f"{place}: {said}") from None


def _yes_is_no_value(given: Any) -> Any:
    """`[engine.labels]` may say `eu = true`, as TOML has no null."""
    if isinstance(given, dict):
        return {name: None if value is True else value for name, value in given.items()}
    return given


@cache
def _file() -> dict[str, Any]:
    path = Path(FILE)
    if not path.is_file():
        return {}
    import tomllib

    try:
        told = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageProblem(f"{FILE}: {error}") from None
    for name in told:
        if name not in _TABLES:
            raise UsageProblem(f"{FILE}: {name}: unknown field{did_you_mean(name, _TABLES)}")
    return told
