"""Known: the definitions that an App can run – those it was given, and those of files that its store has kept.

A run goes on with the version that it was started with: the one given, else, for a definition of a file, the
body that the store kept of it, though the file says something else by now.  Code is not kept; there the
definition of the same label, or the one listed last, has to do.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ripresa.contracts.errors import RipresaError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ripresa.ports.rows import Definition
    from ripresa.ports.store import Store

logger = logging.getLogger("ripresa.engine")

_OF_FILES = "yaml"
"""The kind of definitions whose body is all that is needed to run them."""


class Known:
    """The definitions of one App."""

    def __init__(self, workflows: Iterable[Any]) -> None:
        self.given: dict[str, list[Any]] = {}
        self._kept: dict[tuple[str, str], Definition] = {}
        self._rebuilt: dict[tuple[str, str], Any] = {}
        for workflow in workflows:
            self._add(_of_file(workflow) if isinstance(workflow, str | os.PathLike) else workflow)

    def _add(self, workflow: Any) -> None:
        if getattr(workflow, "__ripresa__", None) != "workflow":
            msg = (
                f"App(workflows): {workflow!r} is not a workflow; decorate the function with @workflow,"
                " or give a DAG or the path of a definition file"
            )
            raise TypeError(msg)
        others = self.given.setdefault(workflow.name, [])
        if any(other.label == workflow.label and other is not workflow for other in others):
            msg = f"App(workflows): two workflows are called {workflow.name!r}; give one name= or version="
            raise ValueError(msg)
        others.append(workflow)

    @property
    def workflows(self) -> list[Any]:
        """Those given."""
        return [one for group in self.given.values() for one in group]

    def find(self, name: str, version: str | None) -> Any:
        """What a run of this version goes on with; of none, what a new run is started of.  None: it is not known."""
        candidates = self.given.get(name, [])
        exact = next((one for one in candidates if one.version == version), None)
        if exact is not None:
            return exact
        kept = self._of_store(name, version) if version is not None or not candidates else None
        if kept is not None or not candidates:
            return kept
        row = self._kept.get((name, version or ""))
        of_label = (one for one in candidates if row is not None and row.label is not None and one.label == row.label)
        return next(of_label, candidates[-1])

    def has(self, name: str, version: str) -> bool:
        """Whether a run of this version would go on with what it was started with, or with code that bears its label.

        Code without a label is taken to go on with what there is of its name.
        """
        candidates = self.given.get(name, [])
        if any(one.version == version for one in candidates) or self._of_store(name, version) is not None:
            return True
        label = self.label_of(name, version)
        return bool(candidates) and (label is None or any(one.label == label for one in candidates))

    def label_of(self, name: str, version: str) -> str | None:
        """The label of a version, as far as it has been read."""
        row = self._kept.get((name, version))
        return None if row is None else row.label

    async def learn(self, store: Store, run: tuple[str, str] | None = None) -> None:
        """Read what the store keeps, unless it is known already what `run` (definition, version) goes on with."""
        if run is None or (run not in self._kept and all(one.version != run[1] for one in self.given.get(run[0], ()))):
            self._kept = {(row.name, row.version): row for row in await store.definitions()}

    def _of_store(self, name: str, version: str | None) -> Any:
        """The definition that the store has kept of this version, or its newest of the name."""
        if version is None:
            rows = [row for row in self._kept.values() if row.name == name and row.kind == _OF_FILES]
            if not rows:
                return None
            version = max(rows, key=lambda row: row.created_at).version
        mark = (name, version)
        if mark not in self._rebuilt:
            row = self._kept.get(mark)
            self._rebuilt[mark] = None if row is None or row.kind != _OF_FILES else _from_body(row)
        return self._rebuilt[mark]


def _of_file(path: str | os.PathLike[str]) -> Any:
    from ripresa.engine.definitions import file_definition  # noqa: PLC0415 - only where there are files

    return file_definition(Path(path))


def _from_body(row: Definition) -> Any:
    from ripresa.engine.definitions import stored_definition  # noqa: PLC0415 - as above

    try:
        return stored_definition(row.body)
    except (RipresaError, ValueError) as error:
        logger.warning("workflow %s %s cannot be made from what the store has kept: %s", row.name, row.version, error)
        return None
