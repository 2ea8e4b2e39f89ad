"""A request for runs that was given up, and is carried out all the same: its runs are not lost."""

import asyncio

import pytest

from ripresa import App, sleep, step, workflow
from ripresa.contracts.errors import StoreUnavailable
from ripresa.engine import loading
from ripresa.engine.config import Config
from ripresa.stores.memory import MemoryDatabase, MemoryStore

pytestmark = pytest.mark.own_store  # it holds up what is asked of the memory store


@step
async def tick(number: int) -> int:
    return number + 1


@workflow
async def later(number: int) -> int:
    await sleep(seconds=0.3)
    return await tick(number)


class Held(MemoryStore):
    """The first request for runs is on its way until somebody has looked what is ours."""

    late = None
    carried_out = None

    async def claim_due(self, lease, **of):
        if self.carried_out is None and self.late is None and self.database.ready:
            self.late = lambda: super(Held, self).claim_due(lease, **of | {"now": of["now"] + 10_000_000})
            raise StoreUnavailable("the line broke")
        return await super().claim_due(lease, **of)

    async def owned(self, lease):
        found = await super().owned(lease)
        if self.late is not None:
            late, self.late = self.late, None
            self.carried_out = await late()
        return found


async def test_a_run_that_became_ours_late_goes_on(monkeypatch):
    monkeypatch.setattr(loading, "_LATE_S", 0.5)
    database = MemoryDatabase()
    async with App(MemoryStore(database, shared=True), [later], evict_after=0) as app:
        run = await app.start(later, 1, id="run")
    store = Held(database, shared=True)
    async with App(store, [later], evict_after=0) as app:
        assert await (await app.get(run.id)).result("60s") == 2
    assert len(store.carried_out) == 1


@step(labels="gpu")
async def train(number: int) -> int:
    return number + 1


@workflow
async def trained(number: int) -> int:
    return await train(number)


class Slow(MemoryStore):
    """Says that a new run is on disk when that was found out otherwise, and read; and what was read after that."""

    def __init__(self, database):
        super().__init__(database, shared=True)
        self.created, self.read, self.told = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.strangers = []
        """Runs that were written to by an engine that did not own them."""

    async def commit(self, lease, batch, **more):
        known = self.database.runs
        touched = {row.run for row in batch.history} | {row.id for row in batch.changes}
        self.strangers += [run for run in touched if run in known and known[run].owner != lease.engine]
        refused = await super().commit(lease, batch, **more)
        if batch.runs:
            self.created.set()
            await self.read.wait()
            asyncio.get_running_loop().call_later(0.05, self.told.set)
        return refused

    async def load(self, runs):
        loaded = await super().load(runs)
        if self.created.is_set() and not self.told.is_set():
            self.read.set()
            await self.told.wait()
        return loaded


async def test_a_new_run_that_is_being_read_does_not_begin_beside_that():
    """It could be let go of, and then be held as it was read: by an engine that does not own it any more."""
    database = MemoryDatabase()
    store = Slow(database)
    async with App(store, [trained]) as app, asyncio.timeout(60):
        starting = asyncio.ensure_future(app.start(trained, 1, id="run"))
        await store.created.wait()
        app.opened().loading.unsure()
        await starting
        await store.told.wait()
        async with App(MemoryStore(database, shared=True), [trained], config=Config(labels="gpu")):
            assert await (await app.get("run")).result() == 2
    assert store.read.is_set()
    assert store.strangers == []
