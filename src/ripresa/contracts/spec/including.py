"""Including: `job: {from: jobs/extract.yaml}` becomes the job of that file, which keeps its own places.

What a path may be is decided here; what lies behind it – links, other folders – by whoever reads the files.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ripresa.contracts.errors import SpecInvalid
from ripresa.contracts.problems import Problem
from ripresa.contracts.reading import read as read_text
from ripresa.contracts.reading.document import Document, Path
from ripresa.contracts.spec.sources import Sources
from ripresa.contracts.spec.strings import LISTS, entries_of

ReadFile = Callable[[str], bytes]
"""The bytes of a file by its path relative to the definition.  Raises OSError, or ValueError saying why not."""

BYTES_MAX = 64 * 1024 * 1024
"""Of all included files together."""
_PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.-]*){0,9}\.(?:yaml|yml|json)", re.ASCII)


def include(sources: Sources, read: ReadFile | None) -> list[Problem]:
    """Put every included job in its place; the problems of those that cannot be."""
    problems: list[Problem] = []
    if not isinstance(sources.value, dict) or not isinstance(sources.value.get("workflow"), dict):
        return problems
    places = [path for path, entry in entries_of(sources.value) if _includes(entry)]
    if not places:
        return problems
    _own_copy(sources)
    reader = _Reader(sources, read, problems)
    for path in places:
        document = reader.document(path)
        if document is not None:
            entry = sources.at(path)
            entry["job"] = document.value["job"]
            sources.parts[(*path, "job")] = (document, ("job",))
        else:
            sources.unread.append((*path, "job"))
    return problems


def _includes(entry: dict[str, Any]) -> bool:
    return isinstance(entry.get("job"), dict) and "from" in entry["job"]


def _own_copy(sources: Sources) -> None:
    """Entries may be replaced in the copy; the document stays as it was read."""
    workflow = dict(sources.value["workflow"])
    for name in LISTS:
        if isinstance(workflow.get(name), list):
            workflow[name] = [dict(one) if isinstance(one, dict) else one for one in workflow[name]]
    sources.value = {**sources.value, "workflow": workflow}


class _Reader:
    """Reads included files, each once."""

    def __init__(self, sources: Sources, read: ReadFile | None, problems: list[Problem]) -> None:
        self._sources = sources
        self._read = read
        self._problems = problems
        self._known: dict[str, Document | None] = {}
        self._bytes = 0

    def document(self, entry: Path) -> Document | None:
        path = (*entry, "job", "from")
        job = self._sources.at((*entry, "job"))
        others = [key for key in job if key != "from"]
        if others:
            said = "what is included is not changed here"
            self._refuse("include_invalid", said, f"move {others[0]} into the file", (*entry, "job", others[0]))
            return None
        name = job["from"]
        if not isinstance(name, str) or not _PATH.fullmatch(name) or len(name) > 300:
            said = "this is no path below the definition's folder"
            self._refuse("include_invalid", said, "write from: jobs/name.yaml", path)
            return None
        if name not in self._known:
            self._known[name] = self._document(name, path)
        return self._known[name]

    def _document(self, name: str, path: Path) -> Document | None:
        if self._read is None:
            said = "there is no folder to include from"
            self._refuse("include_unavailable", said, "put the job itself here", path)
            return None
        try:
            data = self._read(name)
        except FileNotFoundError:
            self._refuse("include_unavailable", f"there is no file {name}", "correct the path", path)
            return None
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            self._refuse("include_unavailable", f"{name} cannot be read: {why}", "mend the file", path)
            return None
        self._bytes += len(data)
        if self._bytes > BYTES_MAX:
            said = f"included files have more than {BYTES_MAX:,} bytes together"
            self._refuse("too_large", said, "split the workflow", path)
            return None
        return self._job_of(name, data)

    def _job_of(self, name: str, data: bytes) -> Document | None:
        try:
            document = read_text(data, name)
        except SpecInvalid as error:
            self._problems += error.problems
            return None
        own = Sources(document, document.value)
        value = document.value
        if not isinstance(value, dict) or not isinstance(value.get("job"), dict):
            said = "the file that is included holds no job"
            self._problems.append(own.problem("include_invalid", said, "begin it with `job:`", ()))
            return None
        if "from" in value["job"]:
            said = "an included job includes another"
            self._problems.append(own.problem("include_invalid", said, "include that one instead", ("job", "from")))
            return None
        for key in value:
            if key not in {"job", "contract"}:
                said = "a file of a job holds nothing else"
                self._problems.append(own.problem("unknown_field", said, "remove it", (key,), key=True))
        return document

    def _refuse(self, code: str, message: str, remedy: str, path: Path) -> None:
        self._problems.append(self._sources.problem(code, message, remedy, path))
