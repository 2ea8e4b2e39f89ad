"""`ripresa migrate`: a definition file of an older contract, brought up to date."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ripresa.cli.exits import USAGE, Ended, UsageProblem, say
from ripresa.cli.options import FormatGiven
from ripresa.cli.output import emit


def migrate(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A workflow or job file.", show_default=False)],
    *,
    write: Annotated[bool, typer.Option("--write", help="Change the file; otherwise only show what would be.")] = False,
    output: FormatGiven = None,
) -> None:
    """Bring a file of contract 0.9 to 1.0: keys are renamed where they stand, all else stays as it was typed.

    Ends with 2 if something is left to be done by hand.
    """
    from ripresa.contracts.migration import migrate as migrated
    from ripresa.engine.definition_files import read_regular

    path = Path(file)
    if not path.is_file():
        raise UsageProblem(f"{file}: no such file")
    data = read_regular(path)
    found = migrated(data, file)
    changed = found.text.encode() != data
    if write and changed:
        _replace(path, found.text)
    report = {"file": file, "changed": changed, "written": write and changed, "done": found.done, "left": found.left}
    emit(report, output, lambda: _show(data.decode(), found, file))
    for line in found.left:
        say(f"{file}: by hand: {line}")
    if not changed:
        say(f"{file}: nothing to migrate")
    elif not write:
        say(f"{file}: not changed yet: ripresa migrate --write {file}")
    if found.left:
        raise Ended(USAGE)


def _show(before: str, found: Any, file: str) -> None:
    import difflib
    import sys

    lines = before.splitlines(keepends=True), found.text.splitlines(keepends=True)
    for line in difflib.unified_diff(*lines, fromfile=file, tofile=f"{file} (contract 1.0)"):
        sys.stdout.write(line if line.endswith("\n") else f"{line}\n")


def _replace(path: Path, text: str) -> None:
    """Write it beside, and put it in the file's place: a crash leaves the one or the other."""
    import os
    import tempfile

    real = path.resolve()
    handle, name = tempfile.mkstemp(dir=real.parent, prefix=f".{real.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(real.stat().st_mode & 0o7777)
        Path(name).replace(real)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
