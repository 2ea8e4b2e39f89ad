"""Definitions of a store: which there are, which is meant, and what differs between two of them."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ripresa.cli.exits import UsageProblem
from ripresa.cli.nearest import did_you_mean
from ripresa.cli.reading import opened

if TYPE_CHECKING:
    from ripresa.contracts.records import DefinitionRecord

_FILES = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True)
class Known:
    """A version that a store has seen, and its runs by status."""

    record: DefinitionRecord
    runs: dict[str, int] = field(default_factory=dict)

    def to_json(self, *, whole: bool = False) -> dict[str, Any]:
        """As JSON data; the body and the schemas only if it is to be `whole`."""
        long = {"body", "input_schema", "output_schema"}
        return {**self.record.model_dump(mode="json", exclude=set() if whole else long), "runs": self.runs}


@dataclass(frozen=True, slots=True)
class Body:
    """A text to compare, and what it is: a version of the store, or a file."""

    what: str
    version: str
    lines: list[str]


async def known(url: str, name: str | None = None) -> list[Known]:
    """All versions, by name, then age; of one definition, if it is named.  Raises UsageProblem for an unknown one."""
    from ripresa.contracts.records import DefinitionRecord

    async with opened(url) as store:
        rows, counts = await store.definitions(), await store.count_by_version(name)
    found = [
        Known(DefinitionRecord.of(row), counts.get((row.name, row.version), {}))
        for row in rows
        if name in (None, row.name)
    ]
    if name is not None and not found:
        raise UsageProblem(f"no workflow {name!r} was run yet{did_you_mean(name, {row.name for row in rows})}")
    return found


def version_of(found: Sequence[Known], wanted: str | None) -> Known:
    """The version meant by a hash, the beginning of one, or a label (the newest of it); the newest of all for None.

    Raises UsageProblem.
    """
    if wanted is None:
        return found[-1]
    exact = [one for one in found if wanted in (one.record.version, one.record.label)]
    begun = [one for one in found if one.record.version.startswith(wanted)] if len(wanted) >= 4 else []
    if exact:
        return exact[-1]
    if len(begun) == 1:
        return begun[0]
    name = found[0].record.name
    if begun:
        raise UsageProblem(f"{name}: several versions begin with {wanted!r}: {_listed(begun)}")
    raise UsageProblem(f"{name} has no version {wanted!r} (it has: {_listed(found)})")


def _listed(found: Sequence[Known]) -> str:
    shown = [f"{one.record.version} ({one.record.label})" if one.record.label else one.record.version for one in found]
    return ", ".join(shown[-10:])


def body_text(kind: str, body: str) -> str:
    """A stored body as its author would read it: YAML for definitions of files, source for code."""
    if kind != "yaml":
        return body
    from ripresa.cli.yaml import to_yaml

    return to_yaml(json.loads(body))


# --- differences -------------------------------------------------------------------------------


async def compared(url: str, what: str, versions: list[str], registered: dict[str, str]) -> tuple[str, Body, Body]:
    """The name, and the two that are to be compared, the older first.  Raises UsageProblem, SpecInvalid."""
    if is_target(what):
        if len(versions) > 1:
            raise UsageProblem(f"{what} is a file: name one version at the most to compare it with")
        name, there = _of_target(what, registered)
        stored = version_of(await known(url, name), versions[0] if versions else None)
        return name, _of_store(stored), there
    found = await known(url, what)
    if len(versions) > 2:
        raise UsageProblem(f"two versions can be compared, and {len(versions)} are named")
    if not versions:
        if len(found) < 2:
            raise UsageProblem(f"{what} has one version only: name a file to compare it with")
        return what, _of_store(found[-2]), _of_store(found[-1])
    one, other = version_of(found, versions[0]), version_of(found, versions[1] if len(versions) > 1 else None)
    return what, _of_store(one), _of_store(other)


def is_target(what: str) -> bool:
    """Whether a file, or a workflow in one, is meant rather than a name that the store knows."""
    return what.endswith((*_FILES, ".py")) or ":" in what or "/" in what or what == "."


def _of_store(one: Known) -> Body:
    record = one.record
    label = f" ({record.label})" if record.label else ""
    return Body(f"{record.name}@{record.version}{label}", record.version, _lines(record.kind, record.body))


def _of_target(target: str, registered: dict[str, str]) -> tuple[str, Body]:
    if target.endswith(_FILES) or Path(target).is_dir():
        from ripresa.cli.explaining import loaded_file

        loaded = loaded_file(target)
        return loaded.spec.name, Body(target, loaded.version, _lines("yaml", loaded.body))
    from ripresa.cli.target import workflow_of

    workflow = workflow_of(target, registered).chosen
    return workflow.name, Body(target, workflow.version, _lines(workflow.kind, workflow.body))


def _lines(kind: str, body: str) -> list[str]:
    return body_text(kind, body).splitlines()


def unified(older: Body, newer: Body) -> list[str]:
    """The lines of a unified diff; none, if nothing differs."""
    return list(difflib.unified_diff(older.lines, newer.lines, older.what, newer.what, lineterm=""))
