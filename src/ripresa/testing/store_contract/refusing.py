"""Refusing: a run whose id or key is taken brings nothing of its own along."""

from __future__ import annotations

from ripresa.ports.rows import LogLine, Outgoing, Ready
from ripresa.testing.store_contract.base import Promises
from ripresa.testing.store_contract.rows import (
    A,
    B,
    C,
    Engine,
    T,
    attempt,
    change,
    event,
    ids,
    measured,
    message,
    new_run,
)


class Refusing(Promises):
    """What holds of a run that exists already."""

    async def test_a_run_whose_key_exists_is_refused_with_all_that_is_its_own(self, engine: Engine) -> None:
        await engine.commit(runs=[new_run(A, key="order-1")])
        refused = await engine.commit(
            runs=[new_run(B, key="order-1"), new_run(C, key="order-2")],
            changes=[change(B, "failed"), change(C, "waiting")],
            history=[event(B, 1), event(C, 1)],
            attempts=[attempt(B, "x", 1)],
            ready=[Ready(B, T), Ready(C, T)],
            messages=[message("m1", B)],
            outgoing=[Outgoing("o1", B, "x", "{}", T)],
            logs=[LogLine(B, None, None, T, "stdout", None, "line")],
            tags=[(B, "name", "value"), (C, "name", "value")],
            quality=[measured(B, 1), measured(C, 1)],
        )
        store = engine.store
        assert refused == {B}
        assert await store.get_run(B) is None
        assert not await store.history(B)
        assert not await store.attempts(B)
        assert not await store.messages(B)
        assert not await store.outgoing(limit=9)
        assert not await store.logs(B)
        assert not await store.tags(B)
        assert [row.run for row in await store.quality("orders", limit=9)] == [C]
        assert await engine.claim_due() == [C]
        assert await store.history(C) == [event(C, 1)]
        assert await store.last_batch(engine.lease) == 2

    async def test_of_two_new_runs_with_one_key_the_first_stays(self, engine: Engine) -> None:
        refused = await engine.commit(runs=[new_run(A, key="k"), new_run(B, key="k"), new_run(C)])
        assert refused == {B}
        assert await ids(engine.store) == [C, A]

    async def test_a_run_whose_id_exists_is_refused(self, engine: Engine) -> None:
        await engine.commit(runs=[new_run(A)], history=[event(A, 1)])
        assert await engine.commit(runs=[new_run(A, definition="x")], history=[event(A, 1)]) == {A}
        run = await engine.store.get_run(A)
        assert run is not None
        assert run.definition == "orders"
