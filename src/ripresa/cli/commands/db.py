"""`ripresa db upgrade|check|prune|archive|copy`: a store's schema and integrity, how long it remembers, where it is."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from ripresa.cli.exits import FAILED, Ended, say
from ripresa.cli.options import FormatGiven, StoreOption
from ripresa.cli.output import emit, write
from ripresa.cli.settings import settings


def upgrade(*, output: FormatGiven = None, store: StoreOption = None) -> None:
    """Bring a store to the schema of this ripresa; other commands do so too when they open it.

    In a PostgreSQL database that has none yet, it is made.
    """
    from ripresa.cli.reading import opened

    async def open_it() -> str:
        async with opened(settings(store).store.value, create=True) as source:
            return source.url

    url = asyncio.run(open_it())
    emit({"store": url, "upgraded": True}, output, lambda: write(f"{url} has the schema of this ripresa"))


def check(*, output: FormatGiven = None, store: StoreOption = None) -> None:
    """Look for damage in a store: pages, settings, rows that belong to nothing."""
    from ripresa.cli.reading import opened

    async def look() -> tuple[str, list[str]]:
        async with opened(settings(store).store.value) as source:
            return source.url, await source.check()

    url, problems = asyncio.run(look())
    found = {"store": url, "problems": problems}
    emit(found, output, lambda: write("\n".join(problems) if problems else f"{url}: nothing is wrong"))
    if problems:
        say(f"{url}: {len(problems)} problem{'s'[: len(problems) > 1]}")
        raise Ended(FAILED)


OlderThan = Annotated[
    str,
    typer.Option("--older-than", metavar="AGE", help="Only runs that ended longer ago: 30d, 12h.", show_default=False),
]
StatusOption = Annotated[
    list[str] | None,
    typer.Option(
        "--status",
        metavar="STATUS",
        help="Only runs that ended so: succeeded, failed, cancelled; may be repeated.",
        show_default="all three",
    ),
]
BatchOption = Annotated[
    int, typer.Option("--batch", metavar="N", help="So many runs in one transaction; engines write between them.")
]


def prune(
    *,
    older_than: OlderThan,
    status: StatusOption = None,
    archive: Annotated[
        Path | None,
        typer.Option("--archive", metavar="FILE", help="Append the runs to this file, a JSON line each, first."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say how many would go, and remove none.")] = False,
    batch: BatchOption = 100,
    output: FormatGiven = None,
    store: StoreOption = None,
) -> None:
    """Forget runs that ended long ago, with all that is theirs, while engines go on.

    Runs that are open stay, and so do all that descend from one that is open.
    """
    from ripresa.cli import retention

    url, statuses = settings(store).store.value, status or []
    if dry_run:
        counts = asyncio.run(retention.would_go(url, older_than=older_than, statuses=statuses, size=batch))
        told = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count) or "none"
        emit({"would_remove": counts}, output, lambda: write(f"would be removed: {told}"))
        return
    work = retention.kept(url, older_than=older_than, statuses=statuses, archive=archive, remove=True, size=batch)
    archived, removed = asyncio.run(work)
    where = f", {archived:,} written to {archive}" if archive else ""
    emit({"removed": removed, "archived": archived}, output, lambda: write(f"{_runs(removed)} removed{where}"))


def archive(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Append to this file.", show_default=False)],
    *,
    older_than: OlderThan = "0s",
    status: StatusOption = None,
    batch: BatchOption = 100,
    output: FormatGiven = None,
    store: StoreOption = None,
) -> None:
    """Write runs that have ended to a file, a JSON line each, as `runs export` writes one; they stay in the store."""
    from ripresa.cli import retention

    url = settings(store).store.value
    work = retention.kept(url, older_than=older_than, statuses=status or [], archive=file, remove=False, size=batch)
    archived, _ = asyncio.run(work)
    emit({"archived": archived}, output, lambda: write(f"{_runs(archived)} written to {file}"))


def copy(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="The store to move.", show_default=False)],
    target: Annotated[str, typer.Argument(metavar="TARGET", help="A new, empty one.", show_default=False)],
    *,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the source its name: see that no engine starts on it again.")
    ] = False,
    output: FormatGiven = None,
) -> None:
    """Move a whole project to another database, as from SQLite to PostgreSQL; runs under way go on there.

    No engine may be at work on the source.  The target has all of it afterwards, or nothing.  The source is then called
    something else: a file FILE.moved, a schema SCHEMA_moved.
    """
    from ripresa.cli import moving

    told = asyncio.run(moving.copied(source, target, keep=keep))
    rows: dict[str, int] = told["rows"]  # type: ignore[assignment]  # see `copied`
    moved = f"; the source is {told['moved_to']} now" if told["moved_to"] else ""
    emit(
        told,
        output,
        lambda: write(f"{_runs(rows['run'])} in {sum(rows.values()):,} rows are in {told['target']}{moved}"),
    )
    if told["problems"]:
        for problem in told["problems"]:  # type: ignore[attr-defined]  # see `copied`
            say(str(problem))
        raise Ended(FAILED)


def _runs(count: int) -> str:
    return f"{count:,} run{'s'[: count != 1]}"
