"""Completing: what the shell proposes for an argument.  Whatever goes wrong, nothing is proposed."""

from __future__ import annotations

import asyncio
from pathlib import Path

_FILES = {".yaml", ".yml", ".json"}
_RUNS_SHOWN_MAX = 50


def fields_and_files(incomplete: str) -> list[str]:
    """The fields of the contract one level below what is typed, and the files and folders that begin so."""
    from ripresa.contracts.spec.fields import all_paths

    depth = incomplete.count(".")
    fields = [path for path in all_paths() if path.startswith(incomplete) and path.count(".") == depth]
    return fields + (_files(incomplete) if incomplete else [])


def _files(incomplete: str) -> list[str]:
    folder, _, begun = incomplete.rpartition("/")
    try:
        there = [one for one in Path(folder or ".").iterdir() if one.name.startswith(begun or "")]
    except OSError:
        return []
    seen = [one for one in there if not one.name.startswith(".") and (one.is_dir() or one.suffix in _FILES)]
    return sorted(str(one) for one in seen)


def targets(incomplete: str) -> list[str]:
    """Other orchestrators."""
    from ripresa.contracts.portability import TARGETS

    return [one for one in TARGETS if one.startswith(incomplete)]


def streams(incomplete: str) -> list[str]:
    """Where lines of a log come from."""
    from ripresa.cli.log_lines import STREAMS

    return [one for one in STREAMS if one.startswith(incomplete)]


def definitions(incomplete: str) -> list[str]:
    """Names of the definitions of the store in use; behind `NAME@`, its versions."""
    try:
        return asyncio.run(_definitions(incomplete))
    except Exception:  # noqa: BLE001 - a message would stand in the middle of what is being typed
        return []


async def _definitions(incomplete: str) -> list[str]:
    from ripresa.cli.reading import opened
    from ripresa.cli.settings import settings

    async with opened(settings().store.value) as store:
        rows = await store.definitions()
    shown = [f"{row.name}@{row.version}" if "@" in incomplete else row.name for row in rows]
    return [one for one in dict.fromkeys(shown) if one.startswith(incomplete)]


def runs(incomplete: str) -> list[str]:
    """Ids of the newest runs of the store in use."""
    try:
        return asyncio.run(_runs(incomplete))
    except Exception:  # noqa: BLE001 - as above
        return []


async def _runs(incomplete: str) -> list[str]:
    from ripresa.cli.reading import opened
    from ripresa.cli.settings import settings
    from ripresa.ports.reading import RunFilter

    async with opened(settings().store.value) as store:
        found = await store.list_runs(RunFilter(key_prefix=incomplete or None), limit=_RUNS_SHOWN_MAX)
    return [one for one in (run.key or run.id for run in found.runs) if one.startswith(incomplete)]
