"""A request for runs that was given up, and is carried out all the same: its runs are not lost."""

import pytest

from ripresa import App, sleep, step, workflow
from ripresa.contracts.errors import StoreUnavailable
from ripresa.engine import loading
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
