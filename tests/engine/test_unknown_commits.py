"""Commits whose answer is lost, by a store that is out of reach again while the engine asks what became of them."""

import asyncio

import pytest

from ripresa import App, sleep, step, workflow
from ripresa.contracts.errors import CommitUnknown, StoreUnavailable
from ripresa.stores.memory import MemoryStore


@workflow
async def answers() -> int:
    return 42


@pytest.mark.parametrize("silent", ["last_batch", "get_run"])
async def test_an_engine_asks_what_became_of_a_commit_until_the_store_answers(world, monkeypatch, silent):
    app = await world.open(answers)
    commit, ask = app.store.commit, getattr(app.store, silent)
    lost, asked = [], []

    async def unheard(lease, batch, **more):
        await commit(lease, batch, **more)
        if batch.runs and not lost:
            lost.append(batch.number)
            raise CommitUnknown("the line was cut")
        return frozenset()

    async def answers_at_last(*given):
        if lost:
            asked.append(given)
        if 0 < len(asked) < 3:
            raise StoreUnavailable("the server is starting up")
        return await ask(*given)

    monkeypatch.setattr(app.store, "commit", unheard)
    monkeypatch.setattr(app.store, silent, answers_at_last)
    run = await app.start(answers, id="r")
    assert await run.result("10s") == 42
    assert len(asked) >= 3


@step(labels=("gpu",))
async def train() -> int:
    return 1


@workflow
async def naps_and_trains() -> list[object]:
    return await asyncio.gather(sleep(seconds=0.05), train())


class Slow(MemoryStore):
    """Of the first new run nobody says for long that it is on disk."""

    def __init__(self):
        super().__init__(shared=True)
        self.written, self.told = asyncio.Event(), asyncio.Event()

    async def commit(self, lease, batch, **more):
        refused = await super().commit(lease, batch, **more)
        if batch.runs and not self.written.is_set():
            self.written.set()
            raise CommitUnknown("the line was cut")
        return refused

    async def last_batch(self, lease):
        await self.told.wait()
        return await super().last_batch(lease)


@pytest.mark.own_store
async def test_a_new_run_that_was_found_and_let_go_of_does_not_begin_when_its_commit_is_told():
    """It needs another engine, which may have it from now on."""
    store = Slow()
    async with App(store, [naps_and_trains], config={"labels": ["cpu"]}) as app:
        starting = asyncio.ensure_future(app.start(naps_and_trains, id="r"))
        await store.written.wait()
        engine = app.engine
        engine.loading.unsure()  # as after a claim that was not answered: it looks what is its own
        while not engine.parking.leaving:  # noqa: ASYNC110 - nobody is told of it
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.1)  # what it waits for is due by now
        store.told.set()
        run = await starting
        assert run.uuid not in engine.held
        async with App(
            MemoryStore(store.database, shared=True), [naps_and_trains], config={"labels": ["gpu"]}
        ) as other:
            assert await (await other.get("r")).result("60s") == [None, 1]
