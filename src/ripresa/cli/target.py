"""Targets: from what is typed – `shop.py:fulfil`, `shop.flows:fulfil`, `daily.yaml`, a registered name – to workflows.

A file is loaded under its own name, its folder first on the import path, as Python itself does with a
script; so worker processes, which import steps by name, find the same functions.
"""

from __future__ import annotations

import re
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from ripresa.cli.exits import UsageProblem
from ripresa.cli.nearest import did_you_mean

_FILES = (".yaml", ".yml", ".json")
"""What the name of a definition file ends with."""
_STATES = ".asl.json"


@dataclass(frozen=True, slots=True)
class Found:
    """What a target names."""

    chosen: Any
    """The workflow that it names; None: the target names a whole file or module."""
    workflows: list[Any]
    """All workflows that its module knows: children need them."""
    name: str
    """The target as it was typed."""


def workflow_of(target: str, registered: dict[str, str], *, runtime: str | None = None) -> Found:
    """The one workflow that `target` names; `runtime` takes the place of that of a definition's jobs.

    Raises UsageProblem.
    """
    found = workflows_of(target, registered, runtime=runtime)
    if found.chosen is not None:
        return found
    own = _own(found.workflows, target)
    if len(own) == 1:
        return Found(own[0][1], found.workflows, target)
    if not own:
        raise UsageProblem(f"{target}: no workflow there; decorate a function with @workflow")
    names = ", ".join(f"{target}:{name}" for name, _ in own)
    raise UsageProblem(f"{target} has {len(own)} workflows: say which one: {names}")


def all_of(targets: list[str], registered: dict[str, str]) -> list[Any]:
    """All workflows that these targets make known, each once.  Raises UsageProblem."""
    found = [one for target in targets for one in workflows_of(target, registered).workflows]
    if targets and not found:
        raise UsageProblem(f"{', '.join(targets)}: no workflow there; decorate a function with @workflow")
    return list(dict.fromkeys(found))


def workflows_of(target: str, registered: dict[str, str], *, runtime: str | None = None) -> Found:
    """All workflows that `target` makes known.  Raises UsageProblem."""
    place, name = _split(registered.get(target, target), registered)
    if place.endswith(_FILES):
        return _definition(place, target, registered, runtime)
    if runtime is not None:
        raise UsageProblem(f"--runtime: {target} is code, which says by itself where its steps run")
    module = _file(Path(place)) if place.endswith(".py") else _module(place)
    known = _workflows(module)
    chosen = _pick(module, known, name, place) if name else None
    return Found(chosen, list(dict.fromkeys(known.values())), target)


def _split(target: str, registered: dict[str, str]) -> tuple[str, str | None]:
    if target.endswith(_STATES):
        raise UsageProblem(f"{target}: state machines come with a later release; name a definition.yaml")
    if target.endswith(_FILES):
        return target, None
    place, colon, name = target.partition(":")
    if colon and place and name:
        return place, name
    if not colon and target.endswith(".py"):
        return target, None
    ways = "definition.yaml, file.py:workflow, module:workflow or a registered name"
    hint = did_you_mean(target, registered) if registered else " (ripresa.toml registers none)"
    raise UsageProblem(f"{target!r} is no target: write {ways}{hint}")


def _definition(place: str, target: str, registered: dict[str, str], runtime: str | None) -> Found:
    """The workflow of a definition file, and those that it runs in turn.  Raises UsageProblem, SpecInvalid."""
    found: dict[str, Any] = {}
    waiting = [Path(place)]
    while waiting:
        path = waiting.pop(0)
        made = _from_file(path, runtime)
        found.setdefault(made.name, made)
        for name in made.runs:
            other = registered.get(name) or _beside(path, name)
            if name not in found and other is not None:
                if not other.endswith(_FILES):
                    found.update({one.name: one for one in workflows_of(other, registered).workflows})
                elif Path(other) not in waiting:
                    waiting.append(Path(other))
    workflows = list(found.values())
    return Found(workflows[0], workflows, target)


def _from_file(path: Path, runtime: str | None) -> Any:
    from ripresa.cli.settings import settings
    from ripresa.engine.definitions import file_definition

    try:
        with redirect_stdout(sys.stderr):
            return file_definition(path, config=settings().config, runtime=runtime)
    except OSError as error:
        raise UsageProblem(f"{path}: {error.strerror or error}") from None
    except ValueError as error:
        raise UsageProblem(f"{path}: {error}") from None


def _beside(path: Path, name: str) -> str | None:
    """The definition file of another workflow, beside that of one that runs it: it bears the workflow's name."""
    files = (path.parent / f"{name}{suffix}" for suffix in _FILES)
    return next((str(file) for file in files if file.is_file()), None)


# --- loading -----------------------------------------------------------------------------------


def _file(path: Path) -> ModuleType:
    if not path.is_file():
        raise UsageProblem(f"{path}: no such file")
    path = path.resolve()
    folder, name = path.parent, path.stem
    while (folder / "__init__.py").is_file():  # a module of a package keeps its place there
        folder, name = folder.parent, f"{folder.name}.{name}"
    _prefer(folder)
    known = _spec(name)
    if known is not None and known.origin is not None and Path(known.origin).resolve() == path:
        return _loading(str(path), lambda: import_module(name))
    return _loading(str(path), lambda: _as_script(path))


def _spec(name: str) -> Any:
    if not all(part.isidentifier() for part in name.split(".")):
        return None
    try:
        return find_spec(name)
    except (ImportError, ValueError):
        return None


def _as_script(path: Path) -> ModuleType:
    """A file whose name is no module's, or another module's: under a name of its own that stays the same."""
    name = re.sub(r"\W", "_", path.stem)
    while name in sys.modules or _spec(name) is not None:
        name = f"{name}_"
    spec = spec_from_file_location(name, path)
    assert spec is not None  # noqa: S101 - its name ends in .py
    assert spec.loader is not None  # noqa: S101 - as above
    module = sys.modules[name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _module(name: str) -> ModuleType:
    _prefer(Path.cwd())
    try:
        missing = find_spec(name) is None
    except (ImportError, ValueError):
        missing = True
    if missing and name not in sys.modules:
        raise UsageProblem(f"{name}: no such module here or in this Python ({sys.executable})")
    return _loading(name, lambda: import_module(name))


def _prefer(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _loading(what: str, load: Any) -> ModuleType:
    """Load it; whatever its code raises is told as a problem of that file, and what it prints is no result."""
    try:
        with redirect_stdout(sys.stderr):
            module: ModuleType = load()
    except (Exception, SystemExit) as error:
        raise UsageProblem(f"{what}: cannot be loaded: {type(error).__name__}: {error}{_place(error)}") from error
    return module


def _place(error: BaseException) -> str:
    """Where in the user's files it was raised."""
    place = ""
    trace = error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if file != __file__ and not file.startswith("<frozen"):
            place = f" ({file}:{trace.tb_lineno})"
        trace = trace.tb_next
    return place if not isinstance(error, SyntaxError) else ""


# --- choosing ----------------------------------------------------------------------------------


def _workflows(module: ModuleType) -> dict[str, Any]:
    return {name: value for name, value in vars(module).items() if _is(value, "workflow")}


def _is(value: Any, kind: str) -> bool:
    return not isinstance(value, type) and getattr(value, "__ripresa__", None) == kind


def _own(workflows: list[Any], target: str) -> list[tuple[str, Any]]:
    """Those written in the file itself; all if it only brings others together."""
    named = [(_written(one), one) for one in workflows]
    stem = Path(target).stem
    own = [(name, one) for name, one in named if _file_of(one).endswith(f"{stem}.py")]
    return own or named


def _written(workflow: Any) -> str:
    return str(getattr(getattr(workflow, "function", None), "__name__", workflow.name))


def _file_of(workflow: Any) -> str:
    """The file in which a function is written; of what is no function it is not known."""
    code = getattr(getattr(workflow, "function", None), "__code__", None)
    return str(getattr(code, "co_filename", ""))


def _pick(module: ModuleType, known: dict[str, Any], name: str, place: str) -> Any:
    if name in known:
        return known[name]
    by_name = [one for one in known.values() if one.name == name]
    if by_name:
        return by_name[-1]
    value = getattr(module, name, None)
    if value is None:
        raise UsageProblem(f"{place}: no workflow {name!r} there{did_you_mean(name, known)}")
    what = "a step" if _is(value, "step") else "not a workflow"
    raise UsageProblem(f"{place}: {name} is {what}; decorate a function with @workflow")
