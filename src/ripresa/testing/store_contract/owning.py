"""Owning: leases, told apart by their epochs, and what a broken one is good for."""

from __future__ import annotations

import pytest

from ripresa.contracts.errors import EngineFenced, StoreInUse
from ripresa.ports.rows import Ready
from ripresa.ports.store import Store
from ripresa.testing.store_contract.base import Promises
from ripresa.testing.store_contract.rows import (
    LEASE,
    A,
    B,
    C,
    D,
    Engine,
    T,
    event,
    message,
    new_run,
    run_id,
)


class Owning(Promises):
    """What holds of leases, however many there may be at once."""

    async def test_each_owner_has_a_higher_epoch(self, store: Store) -> None:
        leases = []
        for _ in range(3):
            leases.append(await store.acquire(now=T, lease_us=LEASE, who="contract"))
            await store.release(leases[-1])
        assert leases[0].epoch < leases[1].epoch < leases[2].epoch
        assert len({lease.engine for lease in leases}) == 3

    async def test_an_owner_that_was_taken_over_writes_nothing(self, engine: Engine, other: Store) -> None:
        await engine.commit(runs=[new_run(A)], ready=[Ready(A, T)])
        second = await Engine.start(other, at=T + LEASE)
        assert await other.adopt(second.lease, now=T + LEASE) == []
        store, lease = engine.store, engine.lease
        with pytest.raises(EngineFenced):
            await engine.commit(history=[event(A, 1)], runs=[new_run(B)])
        for verb in (
            store.renew(lease, now=T + LEASE, lease_us=LEASE),
            store.last_batch(lease),
            store.adopt(lease, now=T),
            store.adopt(lease, now=T, limit=9),
            store.claim_due(lease, now=T + 9, limit=1),
            store.claim(lease, A),
            engine.admit(A),
        ):
            with pytest.raises(EngineFenced):
                await verb
        await store.release(lease)  # not his to end
        await second.commit(history=[event(A, 1, data="2")])
        assert await other.history(A) == [event(A, 1, data="2")]
        assert await other.get_run(B) is None
        assert await second.claim_due() == [A]

    async def test_an_owner_that_let_go_writes_nothing(self, engine: Engine) -> None:
        await engine.store.release(engine.lease)
        with pytest.raises(EngineFenced):
            await engine.commit(runs=[new_run(A)])
        with pytest.raises(EngineFenced):
            await engine.store.renew(engine.lease, now=T, lease_us=LEASE)
        assert await engine.store.get_run(A) is None

    async def test_a_store_that_was_let_go_of_is_free_at_once(self, engine: Engine, other: Store) -> None:
        await engine.store.release(engine.lease)
        await other.acquire(now=T, lease_us=LEASE, who="second")

    async def test_the_last_batch_tells_whether_a_broken_commit_took_effect(self, engine: Engine, other: Store) -> None:
        assert await engine.store.last_batch(engine.lease) == 0
        await engine.commit()
        await engine.commit()
        assert await engine.store.last_batch(engine.lease) == 2
        second = await other.acquire(now=T + LEASE, lease_us=LEASE, who="second")
        assert await other.last_batch(second) == 0

    async def test_the_owner_is_told(self, store: Store) -> None:
        assert await store.engines() == []
        engine = await Engine.start(store)
        [told] = await store.engines()
        assert {"engine", "epoch", "who", "lease_until", "host", "pid", "alive"} <= told.keys()
        assert (told["epoch"], told["who"], told["lease_until"]) == (engine.lease.epoch, "contract", T + LEASE)
        await store.release(engine.lease)
        [told] = await store.engines()
        assert told["alive"] is False

    async def test_an_owner_may_ask_which_runs_are_its_own(self, engine: Engine, other: Store) -> None:
        mine = {"owner": engine.lease.engine}
        await engine.commit(
            runs=[
                new_run(B, **mine, status="paused"),
                new_run(A, **mine),
                new_run(C),
                new_run(D, **mine, status="succeeded"),
                new_run(run_id(9), status="failed"),
            ]
        )
        assert await engine.store.owned(engine.lease) == [A, B]
        await other.send(message("m1", run_id(9), kind="retry"))
        await other.send(message("m2", C))
        assert await engine.claim_due() == [C, run_id(9)]
        assert await engine.store.owned(engine.lease) == [A, B, C, run_id(9)]
        await engine.store.release(engine.lease)
        with pytest.raises(EngineFenced):
            await engine.store.owned(engine.lease)

    async def test_who_renews_is_not_told_to_drain_unless_asked(self, engine: Engine) -> None:
        assert await engine.store.renew(engine.lease, now=T, lease_us=LEASE) is False


class OneOwner(Promises):
    """What holds of leases on a store that is not shared: there is one at a time."""

    async def test_it_says_that_it_is_not_shared(self, store: Store) -> None:
        assert store.shared is False

    async def test_a_store_has_one_owner(self, engine: Engine, other: Store) -> None:
        with pytest.raises(StoreInUse, match="contract"):
            await other.acquire(now=T + LEASE - 1, lease_us=LEASE, who="second")
        with pytest.raises(StoreInUse):
            await engine.store.acquire(now=T, lease_us=LEASE, who="the same again")

    async def test_a_lease_ends_by_itself(self, engine: Engine, other: Store) -> None:
        taken = await other.acquire(now=T + LEASE, lease_us=LEASE, who="second")
        assert taken.epoch > engine.lease.epoch
        with pytest.raises(EngineFenced):
            await engine.commit()

    async def test_a_commit_prolongs_the_lease(self, engine: Engine, other: Store) -> None:
        await engine.commit(at=T + LEASE - 1)
        with pytest.raises(StoreInUse):
            await other.acquire(now=T + LEASE, lease_us=LEASE, who="second")

    async def test_renewing_prolongs_the_lease(self, engine: Engine, other: Store) -> None:
        await engine.store.renew(engine.lease, now=T + LEASE - 1, lease_us=LEASE)
        with pytest.raises(StoreInUse):
            await other.acquire(now=T + LEASE, lease_us=LEASE, who="second")

    async def test_a_lease_that_ran_out_may_be_prolonged_while_nobody_took_over(
        self, engine: Engine, other: Store
    ) -> None:
        await engine.store.renew(engine.lease, now=T + 9 * LEASE, lease_us=LEASE)
        with pytest.raises(StoreInUse):
            await other.acquire(now=T + 10 * LEASE - 1, lease_us=LEASE, who="second")

    async def test_closing_a_store_does_not_give_up_the_lease(self, other: Store) -> None:
        store = self.make_store()
        await store.open()
        await Engine.start(store)
        await store.close()
        with pytest.raises(StoreInUse):
            await other.acquire(now=T + 1, lease_us=LEASE, who="second")
