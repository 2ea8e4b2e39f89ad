"""Inputs: `-p KEY=VALUE` and `--input FILE` as the JSON text that a workflow is started with.

A value is read as its parameter's type wants it: a `str` takes the text as it stands, all else is JSON
if it can be read so, and else text.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ripresa.cli.exits import UsageProblem
from ripresa.cli.nearest import did_you_mean
from ripresa.contracts.errors import PayloadError
from ripresa.contracts.payload import dump

if TYPE_CHECKING:
    from collections.abc import Mapping


def input_text(workflow: Any, params: list[str], file: str | None) -> str:
    """The workflow's input, checked, with defaults filled in.  Raises UsageProblem naming the field."""
    values = _from_file(workflow, file) if file is not None else {}
    for param in params:
        key, equals, text = param.partition("=")
        if not equals or not key:
            raise UsageProblem(f"-p {param}: write KEY=VALUE")
        values[key] = _value(workflow, key, text)
    return _checked(workflow, values)


def pairs(given: list[str], option: str) -> dict[str, str]:
    """`KEY=VALUE` texts as a mapping."""
    found = {}
    for one in given:
        key, equals, text = one.partition("=")
        if not equals or not key:
            raise UsageProblem(f"{option} {one}: write KEY=VALUE")
        found[key] = text
    return found


def require_fit_to_start(key: str | None, priority: int = 0, tags: Mapping[str, str] | None = None) -> None:
    """Raise UsageProblem unless a run may have this id, priority and tags."""
    from ripresa.engine import given

    try:
        given.require_id(key, what="--id")
        given.require_priority(priority, what="--priority")
        for name, text in (tags or {}).items():
            given.require_text(name, what="--tag")
            given.require_text(text, what=f"--tag {name}")
    except ValueError as error:
        raise UsageProblem(str(error)) from None


def require_name(text: str, where: str) -> None:
    """Raise UsageProblem unless it can be the name of something."""
    from ripresa.engine.given import require_text

    try:
        require_text(text, what=where)
    except ValueError as error:
        raise UsageProblem(str(error)) from None


def json_value(text: str, where: str) -> Any:
    """A value typed as JSON.  Raises UsageProblem."""
    try:
        return json.loads(text)
    except ValueError as error:
        raise UsageProblem(f"{where}: {text!r} is not JSON ({error}); a text needs quotes: '\"{text}\"'") from None


def _from_file(workflow: Any, file: str) -> dict[str, Any]:
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text("utf-8")
        value = json.loads(text)
    except OSError as error:
        raise UsageProblem(f"--input {file}: {error.strerror or error}") from None
    except ValueError as error:
        raise UsageProblem(f"--input {file}: not JSON: {error}") from None
    names = workflow.signature.names
    if isinstance(value, dict) and (
        not value or any(name in names for name in value) or len(names) != 1 or workflow.signature.variadic is not None
    ):
        return value
    if len(names) == 1:
        return {names[0]: value}
    raise UsageProblem(f"--input {file}: an object with the parameters by name is needed: {', '.join(names) or 'none'}")


def _value(workflow: Any, key: str, text: str) -> Any:
    if key == "execution_date" and key not in workflow.signature.names:
        raise UsageProblem(f"--date: {workflow.name} has no logical date")
    if key not in workflow.signature.names and workflow.signature.variadic is None:
        what = f"-p {key}: {workflow.name} has no parameter {key!r}"
        raise UsageProblem(what + did_you_mean(key, workflow.signature.names))
    kind = workflow.signature.types.get(key)
    if kind is not None and kind.annotation is str:
        return text
    try:
        value = json.loads(text)
    except ValueError:
        return text
    if kind is None or isinstance(value, str) or _fits(kind, value):
        return value
    return text if _fits(kind, text) else value


def _fits(kind: Any, value: Any) -> bool:
    try:
        kind.read(dump(value), "")
    except (PayloadError, TypeError, ValueError):
        return False
    return True


def _checked(workflow: Any, values: dict[str, Any]) -> str:
    names = workflow.signature.names
    others = workflow.signature.variadic
    if others:
        more = {key: values.pop(key) for key in list(values) if key not in names}
        values = {**values, **({others: more} if more else {})}
    for key in values:
        if key not in names and others is None:
            raise UsageProblem(f"input: {workflow.name} has no parameter {key!r}{did_you_mean(key, names)}")
    missing = [name for name in workflow.signature.required if name not in values]
    if missing:
        raise UsageProblem(
            f"{workflow.name} needs {', '.join(missing)}: give " + " ".join(f"-p {n}=…" for n in missing)
        )
    text: str = workflow.signature.check_input(json.dumps(values))
    return text
