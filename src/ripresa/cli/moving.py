"""Moving: a whole project from one database to another, runs under way included.

No engine is at work on the source while it is read; its runs go on in the target, which has all of it or nothing.  The
source – a file, or a schema of PostgreSQL – is then called something else, so that nobody goes on with the same runs
there.
"""

from __future__ import annotations

from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ripresa.cli.counting_up import CountingUp
from ripresa.cli.exits import UsageProblem
from ripresa.cli.process import now_us
from ripresa.cli.reading import existing, store_at
from ripresa.contracts.errors import StoreError, StoreInUse
from ripresa.ports.moving import TABLES, Movable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ripresa.ports.lease import Lease
    from ripresa.ports.moving import Chunk
    from ripresa.ports.store import Store

_LEASE_US = 30_000_000


async def copied(source_url: str, target_url: str, *, keep: bool) -> dict[str, object]:
    """Copy all, and tell what: rows by table, problems found afterwards, what the source is called now.

    Raises UsageProblem if the target is not empty; StoreInUse if an engine is at work on the source; StoreError if
    it was changed meanwhile.  The target has all rows afterwards, or none.
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
        async with AsyncExitStack() as owned:
            lease = await source.acquire(now=now_us(), lease_us=_LEASE_US, who=f"ripresa db copy to {target.url}")
            owned.push_async_callback(source.release, lease)
            await _require_alone(source, lease)
            await source.adopt(lease, now=now_us())
            await target.open()
            stack.push_async_callback(target.close)
            rows = await _copy(source, lease, target)
        problems = await target.check()
        moved = None if keep else await _put_schema_aside(source)
    if not keep and moved is None:
        moved = _put_file_aside(source)
    return {"source": source.url, "target": target.url, "rows": rows, "problems": problems, "moved_to": moved}


async def _require_alone(source: Store, lease: Lease) -> None:
    """Raise StoreInUse if an engine is at work on the source."""
    others = [one for one in await source.engines() if one["alive"] and one["engine"] != lease.engine]
    if others:
        told = ", ".join(f"{one['engine']} (process {one['pid']} on {one['host']})" for one in others)
        raise StoreInUse(f"{source.url}: engines are at work on it: {told}; stop them first: nothing was copied")


async def _copy(source: Store, lease: Lease, target: Store) -> dict[str, int]:
    """Have all rows in the target, or none."""
    there, name = cast("Movable", target), target.url
    filled = {table: count for table, count in (await there.counts()).items() if count}
    if filled:
        held = ", ".join(f"{count:,} in {table}" for table, count in filled.items())
        raise UsageProblem(f"{name} is not empty ({held}): copy to a new database, or one that was emptied")
    done: Counter[str] = Counter()
    await there.restore(_chunks(source, lease, done, name), now=now_us())
    return {table: done[table] for table in TABLES}


async def _chunks(source: Store, lease: Lease, done: Counter[str], name: str) -> AsyncIterator[Chunk]:
    """All that is in the source.  Raises StoreError if that is not what it holds at the end."""
    here = cast("Movable", source)
    progress = CountingUp("rows", sum((await here.counts()).values()))
    try:
        async for chunk in here.dump():
            yield chunk
            done[chunk.table] += len(chunk.rows)
            progress.at(done.total())
    finally:
        progress.close()
    await _require_alone(source, lease)
    missing = {table: count for table, count in (await here.counts()).items() if done[table] != count}
    if missing:
        told = ", ".join(f"{table}: {done[table]:,} of {count:,}" for table, count in missing.items())
        raise StoreError(
            f"{source.url} was changed while it was copied ({told}): nothing is in {name}; see that nobody sends "
            "anything to it, and try again"
        )


async def _put_schema_aside(source: Store) -> str | None:
    """Give the source's schema another name; None: it has none."""
    put_aside = getattr(source, "put_aside", None)
    if put_aside is None:
        return None
    try:
        return f"schema {await put_aside()}"
    except StoreError as error:
        return f"still where it was, and no engine must begin there: {error}"


def _put_file_aside(source: Store) -> str | None:
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
