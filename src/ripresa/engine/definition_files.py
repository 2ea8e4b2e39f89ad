"""Definition files: workflows and jobs in YAML or JSON, read from the disk, and from no further than their folder.

A definition may be in a Git repository that somebody else writes to.  So an included file is read only if it really
lies below the folder of the definition – a link that leads out of it is refused –, and only regular files are opened.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ripresa.contracts.reading.text import BYTES_MAX

if TYPE_CHECKING:
    from ripresa.contracts.spec import JobSpec, Loaded, WorkflowSpec

SUFFIXES = (".yaml", ".yml", ".json")
WORKFLOW_FILES = tuple(f"workflow{suffix}" for suffix in SUFFIXES)
"""What a folder of one workflow has its workflow in; the files of its jobs are beside it, in `jobs/`."""


def load_file(path: Path) -> Loaded[WorkflowSpec] | Loaded[JobSpec]:
    """The workflow or job in the file – or in the folder, if it is one of a workflow.

    Raises SpecInvalid with all problems, OSError if a file cannot be read.
    """
    from ripresa.author.templates import Template  # noqa: PLC0415 - jinja2 and pydantic are needed only here
    from ripresa.contracts.spec import load  # noqa: PLC0415 - as above

    file = file_of(path)
    return load(read_regular(file), str(file), read=reader_below(file.parent), templates=Template.parse)


def file_of(path: Path) -> Path:
    """The file itself, for a folder its workflow file.  Raises FileNotFoundError."""
    if not path.is_dir():
        return path
    for name in WORKFLOW_FILES:
        if (path / name).is_file():
            return path / name
    raise FileNotFoundError(2, f"no {' or '.join(WORKFLOW_FILES[:1])} in this folder", str(path))


def definition_files(path: Path) -> list[Path]:
    """The definition files of a folder and all folders below it, in order; hidden ones are left out.

    The job files beside a workflow are among them: each must be in order by itself.
    """
    if not path.is_dir():
        return [path]
    found = []
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__")) and name != "node_modules")
        found += [Path(folder, name) for name in sorted(names) if name.endswith(SUFFIXES) and not name.startswith(".")]
    return found


def reader_below(folder: Path) -> Callable[[str], bytes]:
    """A reader of files by their path relative to `folder`, that never reads outside of it."""
    root = folder.resolve()

    def read(name: str) -> bytes:
        real = (root / name).resolve(strict=True)
        if not real.is_relative_to(root):
            raise ValueError("it is a link that leads out of the definition's folder")
        return read_regular(real)

    return read


def read_regular(path: Path) -> bytes:
    """The bytes of a regular file, at most one more than a definition may have.

    Raises OSError, and ValueError for what is no regular file: a pipe would never end.
    """
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise ValueError("it is no regular file")
        return file.read(BYTES_MAX + 1)
