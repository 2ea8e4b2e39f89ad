"""Reading: a store as any process may see it, whether or not an engine owns it.

Nothing here takes ownership, and a store that does not exist is not made.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from ripresa.cli.exits import UsageProblem
from ripresa.contracts.errors import RunNotFound, StoreUnavailable

if TYPE_CHECKING:
    from ripresa.ports.rows import Run
    from ripresa.ports.store import Store


@asynccontextmanager
async def opened(url: str, *, create: bool = False) -> AsyncIterator[Store]:
    """The store, open for reading and sending.  Raises StoreUnavailable if there is none yet.

    With `create` a database, but not a file, may get one.
    """
    store = existing(url, create=create)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def store_at(url: str, *, create: bool = True) -> Store:
    """The store at this address, not yet open.  Raises UsageProblem for an address that names none.

    Without `create`, opening a database that holds no store raises StoreMissing.
    """
    from ripresa.stores import open_store

    try:
        return open_store(url, create=create)
    except ValueError as error:
        raise UsageProblem(str(error)) from None


def existing(url: str, *, create: bool = False) -> Store:
    """The same, but it is there already.  Raises StoreUnavailable: here for a file, else when it is opened."""
    store = store_at(url, create=create)
    if url.startswith("memory:"):
        raise StoreUnavailable("memory:// lives and ends with its own process: there is nothing to look at")
    path = getattr(store, "path", None)
    if path is not None and not path.exists():
        raise StoreUnavailable(f"no store at {path} yet: `ripresa run` creates it, --store names another")
    return store


async def find(store: Store, ref: str) -> Run:
    """The run of this id or UUID.  Raises RunNotFound."""
    run = await store.get_run(ref)
    if run is None:
        raise RunNotFound(ref, f"no run {ref!r} in {store.url}: `ripresa runs list` shows those there are")
    return run
