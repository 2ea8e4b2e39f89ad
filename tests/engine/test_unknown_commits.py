"""Commits whose answer is lost, by a store that is out of reach again while the engine asks what became of them."""

import pytest

from ripresa import workflow
from ripresa.contracts.errors import CommitUnknown, StoreUnavailable


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
