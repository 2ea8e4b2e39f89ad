"""Definitions that come from files: found with their functions and pipelines, and made again from a store.

Python that a definition names is found beside it, and on PYTHONPATH.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ripresa.contracts.errors import UnknownDefinition

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ripresa.author.yaml.definition import FileDefinition


def file_definition(
    path: Path, *, config: Mapping[str, Any] | None = None, runtime: str | None = None
) -> FileDefinition:
    """The workflow of a definition file, or of a folder that holds one; a job alone is a workflow of one job.

    `config` is what templates know by that name; `runtime` takes the place of that of its jobs.
    Raises SpecInvalid with all problems of the file, OSError, UnknownDefinition for Python that is not there.
    """
    from ripresa.author.yaml.definition import FileDefinition  # noqa: PLC0415 - only where there are files
    from ripresa.engine.definition_files import file_of, load_file  # noqa: PLC0415 - as above

    loaded = load_file(path)
    if runtime is not None:
        loaded = _on(runtime, loaded)
    _prefer(file_of(path).resolve().parent)
    return FileDefinition(loaded, function=step_named, pipeline=load_pipeline, config=config)


def stored_definition(body: str, *, config: Mapping[str, Any] | None = None) -> FileDefinition:
    """The definition of this body, that a store has kept.  Raises SpecInvalid, UnknownDefinition."""
    from ripresa.author.yaml.definition import rebuilt  # noqa: PLC0415 - only where it is needed

    return rebuilt(body, function=step_named, pipeline=load_pipeline, config=config)


def _on(runtime: str, loaded: Any) -> Any:
    """The definition with its jobs on this runtime; another definition, so that its runs stay there."""
    from ripresa.author.templates import Template  # noqa: PLC0415 - as above
    from ripresa.contracts.spec import load  # noqa: PLC0415 - as above

    body = json.loads(loaded.body)
    workflow = body.get("workflow", {})
    if workflow:
        workflow["defaults"] = {**workflow.get("defaults", {}), "runtime": runtime}
    for job in (body.get("job"), *(one.get("job") for part in _PARTS for one in workflow.get(part, ()))):
        if job is not None:
            job["runtime"] = runtime
    return load(json.dumps(body), f"{loaded.files[0]} on {runtime}.json", templates=Template.parse)


_PARTS = ("jobs", "finally")


def step_named(target: str) -> Any:
    """The function `package.module:name` as a step.  Raises UnknownDefinition."""
    from ripresa.author.step import as_step  # noqa: PLC0415 - as above

    module, _, name = target.partition(":")
    try:
        found: Any = import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        msg = f"python: {target}: {error}; it is looked for beside the definition and on PYTHONPATH"
        raise UnknownDefinition(msg) from None
    if not callable(found):
        msg = f"python: {target} is {type(found).__name__}, not a function"
        raise UnknownDefinition(msg)
    return as_step(found)


def load_pipeline(name: str) -> None:
    """Import what may register the pipeline of this name: `finra.load_week` is looked for in `finra`, and so on.

    One that is not found is a failure of its step, which tells the names that there are.
    """
    from ripresa.author.pipelines import registered_pipelines  # noqa: PLC0415 - only where there are pipelines

    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        if name in registered_pipelines():
            return
        _import_if_there(".".join(parts[:end]))
    _import_if_there("pipelines")


def _import_if_there(module: str) -> None:
    with suppress(ModuleNotFoundError):
        import_module(module)


def _prefer(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
