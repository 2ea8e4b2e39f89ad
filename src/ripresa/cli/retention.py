"""Retention: runs that have ended are written to an archive, or forgotten, or one after the other.

A batch of runs is on disk in the archive before it is removed.  Cut off between the two, they are archived again the
next time: a reader takes the last line of a run.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ripresa.cli.counting_up import CountingUp
from ripresa.cli.exits import UsageProblem
from ripresa.cli.looking import exported
from ripresa.cli.process import now_us
from ripresa.cli.reading import find, opened
from ripresa.contracts.durations import micros
from ripresa.contracts.status import TERMINAL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path
    from typing import TextIO

    from ripresa.ports.store import Store


async def kept(
    url: str,
    *,
    older_than: str,
    statuses: list[str],
    archive: Path | None,
    remove: bool,
    size: int,
) -> tuple[int, int]:
    """How many runs were archived and how many removed, of those that ended longer ago than `older_than`.

    Raises UsageProblem.
    """
    before = now_us() - _age(older_than)
    chosen = _statuses(statuses)
    if size < 1:
        raise UsageProblem(f"--batch {size}: it must be 1 or more")
    archived = removed = 0
    progress = CountingUp("removed" if remove else "archived")
    async with opened(url) as store:
        try:
            with _appending(archive) as file:
                async for runs in _batches(store, before, chosen, size):
                    if file is not None:
                        archived += await _write(store, runs, file)
                    removed += len(await store.remove(runs)) if remove else 0
                    progress.at(removed or archived)
        finally:
            progress.close()
    return archived, removed


async def would_go(url: str, *, older_than: str, statuses: list[str], size: int) -> dict[str, int]:
    """How many runs would be removed, by status."""
    before, chosen = now_us() - _age(older_than), _statuses(statuses)
    async with opened(url) as store:
        counts = dict.fromkeys(chosen, 0)
        for status in chosen:
            async for runs in _batches(store, before, (status,), max(size, 1)):
                counts[status] += len(runs)
    return counts


async def _batches(store: Store, before: int, statuses: tuple[str, ...], size: int) -> AsyncIterator[list[str]]:
    """All runs that may go, oldest first; one that stays after all is not met again."""
    after: str | None = None
    while runs := await store.ended(before=before, statuses=statuses, limit=size, after=after):
        yield runs
        after = runs[-1]


async def _write(store: Store, runs: list[str], file: TextIO) -> int:
    lines = [(await exported(store, await find(store, run))).model_dump_json() + "\n" for run in runs]
    file.writelines(lines)
    file.flush()
    os.fsync(file.fileno())
    return len(runs)


@contextmanager
def _appending(archive: Path | None) -> Iterator[TextIO | None]:
    if archive is None:
        yield None
        return
    try:
        file = archive.open("a", encoding="utf-8")
    except OSError as error:
        raise UsageProblem(f"{archive}: {error.strerror or error}") from None
    with file:
        yield file


def _age(text: str) -> int:
    try:
        return micros(text, where="--older-than")
    except ValueError as error:
        raise UsageProblem(str(error)) from None


def _statuses(given: list[str]) -> tuple[str, ...]:
    ends = sorted(status.value for status in TERMINAL)
    for status in given:
        if status not in ends:
            from ripresa.cli.nearest import did_you_mean

            raise UsageProblem(f"--status {status}: only runs that have ended may go{did_you_mean(status, ends)}")
    return tuple(given) or tuple(ends)
