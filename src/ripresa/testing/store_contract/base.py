"""Base: the stores and the engine that the tests of the contract are given."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from ripresa.ports.store import Store
from ripresa.testing.store_contract.rows import Engine


class Promises:
    """A test's stores; a subclass says how one is made."""

    def make_store(self) -> Store:
        """Make a store on this test's database."""
        raise NotImplementedError

    @pytest_asyncio.fixture
    async def store(self) -> AsyncIterator[Store]:
        """A store, open."""
        store = self.make_store()
        await store.open()
        yield store
        await store.close()

    @pytest_asyncio.fixture
    async def other(self, store: Store) -> AsyncIterator[Store]:
        """Another process's store on the same database, open."""
        other = self.make_store()
        await other.open()
        yield other
        await other.close()

    @pytest_asyncio.fixture
    async def engine(self, store: Store) -> Engine:
        """The owner."""
        return await Engine.start(store)
