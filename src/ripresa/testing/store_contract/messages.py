"""Messages: kept until they are taken, once, whoever sends them; and events to publish."""

from __future__ import annotations

import pytest

from ripresa.contracts.errors import RunFinished, RunNotFound
from ripresa.ports.rows import Definition, Outgoing, Ready
from ripresa.ports.store import Store
from ripresa.testing.store_contract.base import Promises
from ripresa.testing.store_contract.rows import (
    A,
    B,
    Engine,
    T,
    event,
    ids,
    message,
    new_run,
)


class Messages(Promises):
    """What holds of what is sent to runs, and by them."""

    async def test_messages_wait_in_order_of_arrival(self, engine: Engine) -> None:
        await engine.commit(runs=[new_run(A)], messages=[message("m3", A, at=T + 9), message("m1", A)])
        await engine.store.send(message("m2", A, at=T))
        assert [waiting.id for waiting in await engine.store.messages(A)] == ["m3", "m1", "m2"]

    async def test_a_message_sent_twice_is_kept_once(self, engine: Engine) -> None:
        await engine.commit(runs=[new_run(A)], messages=[message("m1", A), message("m1", A, data="2")])
        await engine.commit(messages=[message("m1", A, data="3")])
        await engine.store.send(message("m1", A, data="4"))
        assert await engine.store.messages(A) == [message("m1", A)]

    async def test_a_message_sent_again_after_it_was_taken_is_still_known(self, engine: Engine) -> None:
        await engine.commit(runs=[new_run(A)], messages=[message("m1", A), message("m2", A)])
        await engine.commit(taken=["m1"], history=[event(A, 1)])
        await engine.commit(messages=[message("m1", A)])
        await engine.store.send(message("m1", A))
        assert await engine.store.messages(A) == [message("m2", A)]
        assert await engine.store.next_due() is None  # nothing new: nobody is woken

    async def test_a_message_that_nobody_sent_may_be_taken(self, engine: Engine) -> None:
        await engine.commit(runs=[new_run(A)], taken=["m1"])
        await engine.commit(messages=[message("m1", A)])
        assert await engine.store.messages(A) == [message("m1", A)]

    async def test_a_message_may_be_taken_by_the_batch_that_brings_it(self, engine: Engine) -> None:
        await engine.commit(runs=[new_run(A)], messages=[message("m1", A)], taken=["m1"])
        assert not await engine.store.messages(A)

    async def test_a_message_in_a_batch_makes_nothing_ready(self, engine: Engine) -> None:
        await engine.commit(runs=[new_run(A)], messages=[message("m1", A)])
        assert await engine.store.next_due() is None

    async def test_an_event_to_publish_is_kept_until_it_is_published(self, engine: Engine) -> None:
        first, second, third = (Outgoing(f"o{3 - n}", A, "x", "{}", T) for n in range(3))
        await engine.commit(outgoing=[first, second])
        await engine.commit(outgoing=[first, third])
        assert await engine.store.outgoing(limit=2) == [first, second]
        await engine.store.published([first.id, "unknown"])
        await engine.store.published([])
        assert await engine.store.outgoing(limit=9) == [second, third]

    async def test_a_message_from_outside_wakes_its_run(self, engine: Engine, other: Store) -> None:
        await engine.commit(
            runs=[new_run(A, priority=1), new_run(B, priority=2)], ready=[Ready(A, T + 999), Ready(B, T + 999)]
        )
        await other.send(message("m1", A, at=T + 5))
        await other.send(message("m2", B, at=T + 6))
        await other.send(message("m3", B, at=T + 7))
        assert await engine.store.next_due() == T + 5
        assert await engine.claim_due(now=T + 6) == [B, A]

    async def test_only_a_run_that_exists_takes_messages(self, store: Store) -> None:
        with pytest.raises(RunNotFound):
            await store.send(message("m1", A))

    @pytest.mark.parametrize("status", ["succeeded", "failed", "cancelled"])
    async def test_a_run_that_has_ended_takes_no_message_but_a_retry(self, engine: Engine, status: str) -> None:
        await engine.commit(runs=[new_run(A, status=status)])
        with pytest.raises(RunFinished, match=status):
            await engine.store.send(message("m1", A))
        assert not await engine.store.messages(A)
        await engine.store.send(message("m1", A, kind="retry"))
        assert await engine.claim_due() == [A]

    async def test_a_run_may_be_submitted_without_an_engine(self, store: Store) -> None:
        run = new_run(A, key="order-1", status="queued", priority=5)
        definition = Definition("orders", "v1", None, "yaml", "{}", "{}", None, T)
        assert await store.submit(run, event(A, 1), {"region": "eu", "tier": "1"}, definition) is True
        assert await store.definitions() == [definition]
        assert await store.submit(new_run(B, key="order-1"), event(B, 1), {"region": "us"}) is False
        assert await store.submit(new_run(A), event(A, 2), {}) is False
        assert await ids(store) == [A]
        assert await store.history(A) == [event(A, 1)]
        assert await store.history(B) == []
        assert await store.tags(A) == {"region": "eu", "tier": "1"}
        assert await store.next_due() == T
        engine = await Engine.start(store)
        assert await engine.claim_due() == [A]

    async def test_what_another_process_writes_is_noticed_once(self, engine: Engine, other: Store) -> None:
        await engine.store.changed()
        await other.changed()
        await engine.commit(runs=[new_run(A)])
        assert await engine.store.changed() is False  # our own
        assert await other.changed() is True
        assert await other.changed() is False
        await other.send(message("m1", A))
        assert await engine.store.changed() is True
        assert await engine.store.changed() is False
