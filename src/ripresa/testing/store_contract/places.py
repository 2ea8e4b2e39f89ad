"""Lines: runs of which only so many go on at a time, those that do and those that wait."""

from __future__ import annotations

import pytest

from ripresa.contracts.errors import EngineFenced
from ripresa.testing.store_contract.base import Promises
from ripresa.testing.store_contract.rows import A, B, C, D, Engine, T, change, new_run, place


class Places(Promises):
    """Who has a place in a line, who waits, and who is woken."""

    async def test_only_so_many_of_a_line_have_a_place_and_the_rest_wait_in_order(self, engine: Engine) -> None:
        store = engine.store
        await engine.commit(runs=[new_run(run, status="queued", owner=None) for run in (A, B, C, D)])
        assert await engine.admit(A) is True
        assert await engine.admit(B) is False
        assert await engine.admit(C, priority=5) is False
        assert await engine.admit(D, line="other") is True
        assert [(one.run, one.held) for one in await store.line("sales")] == [(A, True), (C, False), (B, False)]
        assert await store.place(B) == place(B, held=False)
        assert await store.place(D) == place(D, line="other", held=True)
        assert await store.place("none") is None
        assert await engine.claim_due() == []

    async def test_who_ends_makes_the_first_in_line_ready_with_the_same_batch(self, engine: Engine) -> None:
        await engine.commit(runs=[new_run(run, status="queued", owner=None) for run in (A, B, C)])
        for run in (A, B, C):
            await engine.admit(run)
        await engine.commit(changes=[change(A, "succeeded")], leaving=[(A, T + 3)])
        assert await engine.store.place(A) is None
        assert await engine.store.next_due() == T + 3
        assert await engine.claim_due() == [B]
        assert await engine.admit(C) is False
        assert await engine.admit(B) is True
        assert [(one.run, one.held) for one in await engine.store.line("sales")] == [(B, True), (C, False)]

    async def test_who_gives_up_waiting_leaves_the_turn_to_the_next(self, engine: Engine) -> None:
        await engine.commit(runs=[new_run(run, status="queued", owner=None) for run in (A, B, C)])
        for run in (A, B, C):
            await engine.admit(run)
        await engine.commit(leaving=[(A, T + 3)])
        assert await engine.claim_due() == [B]
        await engine.commit(leaving=[(B, T + 4)])
        assert await engine.claim_due() == [C]

    async def test_a_place_is_given_once_and_may_be_forced(self, engine: Engine) -> None:
        await engine.commit(runs=[new_run(run, status="queued", owner=None) for run in (A, B, C)])
        assert await engine.admit(A) is True
        assert await engine.admit(A) is True
        assert await engine.admit(B, force=True) is True
        assert await engine.admit(C, places=3) is True
        await engine.commit(leaving=[(D, T)])  # it is in no line
        assert len(await engine.store.line("sales")) == 3

    async def test_more_places_let_more_go_on(self, engine: Engine) -> None:
        await engine.commit(runs=[new_run(run, status="queued", owner=None) for run in (A, B, C)])
        assert [await engine.admit(run) for run in (A, B, C)] == [True, False, False]
        assert await engine.admit(B, places=3) is True
        assert await engine.claim_due() == []  # the next in line knows of one place only
        assert await engine.admit(C, places=3) is True

    async def test_an_owner_that_was_fenced_gives_no_places(self, engine: Engine) -> None:
        await engine.store.release(engine.lease)
        with pytest.raises(EngineFenced):
            await engine.admit(A)
