"""Moving: a whole project from one database to another, runs under way included.

The source is owned while it is read, so no engine changes it; its runs go on in the target.  A source that is a file
is then called something else, so that nobody goes on with the same runs there.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ripresa.cli.counting_up import CountingUp
from ripresa.cli.exits import UsageProblem
from ripresa.cli.process import now_us
from ripresa.cli.reading import existing, store_at
from ripresa.contracts.errors import StoreError
from ripresa.ports.moving import Movable

if TYPE_CHECKING:
    from ripresa.ports.store import Store

_LEASE_US = 30_000_000


async def copied(source_url: str, target_url: str, *, keep: bool) -> dict[str, object]:
    """Copy all, and tell what: rows by table, problems found afterwards, what the source is called now.

    Raises UsageProblem if the target is not empty; StoreInUse if an engine is at work on the source; StoreError if
    not all rows arrived.
    """
    source, target = existing(source_url), store_at(target_url)
    if source.url == target.url:
        raise UsageProblem(f"{source.url}: source and target are one store")
    for store in (source, target):
        if not isinstance(store, Movable):
            raise UsageProblem(f"{store.url} is no database: there is nothing to copy")
    async with AsyncExitStack() as stack:
        await source.open()
        stack.push_async_callback(source.close)
        lease = await source.acquire(now=now_us(), lease_us=_LEASE_US, who=f"ripresa db copy to {target.url}")
        stack.push_async_callback(source.release, lease)
        await source.adopt(lease, now=now_us())
        await target.open()
        stack.push_async_callback(target.close)
        rows = await _copy(cast("Movable", source), cast("Movable", target), target.url)
        problems = await target.check()
    moved = None if keep else _put_aside(source)
    return {"source": source.url, "target": target.url, "rows": rows, "problems": problems, "moved_to": moved}


async def _copy(source: Movable, target: Movable, name: str) -> dict[str, int]:
    filled = {table: count for table, count in (await target.counts()).items() if count}
    if filled:
        held = ", ".join(f"{count:,} in {table}" for table, count in filled.items())
        raise UsageProblem(f"{name} is not empty ({held}): copy to a new database, or one that was emptied")
    wanted = await source.counts()
    progress, done = CountingUp("rows", sum(wanted.values())), 0
    try:
        async for chunk in source.dump():
            await target.restore(chunk)
            done += len(chunk.rows)
            progress.at(done)
    finally:
        progress.close()
    found = await target.counts()
    missing = {table: (count, found[table]) for table, count in wanted.items() if found[table] != count}
    if missing:
        told = ", ".join(f"{table}: {have:,} of {count:,}" for table, (count, have) in missing.items())
        raise StoreError(
            f"not all rows are in {name} ({told}): the source is as it was; empty the target and try again"
        )
    await target.settle(now=now_us())
    return wanted


def _put_aside(source: Store) -> str | None:
    """Give the source's file another name; None: it is none."""
    path: Path | None = getattr(source, "path", None)
    if path is None:
        return None
    aside = path.with_name(f"{path.name}.moved")
    number = 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.moved{number}")
    for suffix in ("-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    path.rename(aside)
    return str(aside)
