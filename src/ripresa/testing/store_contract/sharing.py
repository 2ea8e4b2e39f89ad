"""Sharing: several engines on one store, each the only owner of its own runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from ripresa.contracts.errors import EngineFenced
from ripresa.ports.rows import Ready, Run
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
    attempt,
    change,
    event,
    message,
    new_run,
    place,
    run_id,
)

_TOLD_WITHIN_S = 30.0


class ManyOwners(Promises):
    """What holds of leases and runs where several engines are at work."""

    @pytest_asyncio.fixture
    async def second(self, engine: Engine, other: Store) -> Engine:
        """Another engine, beside the first."""
        assert engine.store.shared
        return await Engine.start(other)

    @pytest_asyncio.fixture
    async def third(self, second: Engine) -> AsyncIterator[Engine]:
        """One more."""
        assert second.store.shared
        store = self.make_store()
        await store.open()
        yield await Engine.start(store)
        await store.close()

    # --- leases --------------------------------------------------------------------------------

    async def test_several_leases_live_at_once(self, engine: Engine, second: Engine, third: Engine) -> None:
        leases = [one.lease for one in (engine, second, third)]
        assert len({lease.engine for lease in leases}) == len({lease.epoch for lease in leases}) == 3
        for one, run in zip((engine, second, third), (A, B, C), strict=True):
            await one.commit(runs=[new_run(run, owner=one.lease.engine)], history=[event(run, 1)])
        assert [(await _run(third.store, run)).owner for run in (A, B, C)] == [lease.engine for lease in leases]

    async def test_each_is_fenced_alone(self, engine: Engine, second: Engine) -> None:
        await engine.store.release(engine.lease)
        with pytest.raises(EngineFenced):
            await engine.commit(runs=[new_run(A)])
        await second.commit(runs=[new_run(B)])
        assert await second.store.get_run(A) is None
        assert (await _run(second.store, B)).id == B

    async def test_batches_are_counted_by_engine(self, engine: Engine, second: Engine) -> None:
        await engine.commit()
        await engine.commit()
        await second.commit()
        assert await engine.store.last_batch(engine.lease) == 2
        assert await second.store.last_batch(second.lease) == 1

    async def test_engines_that_write_at_the_same_time_lose_nothing(
        self, engine: Engine, second: Engine, third: Engine
    ) -> None:
        async def write(one: Engine, first: int) -> None:
            for number in range(first, first + 20):
                run = run_id(number)
                await one.commit(runs=[new_run(run)], history=[event(run, 1), event(run, 2)], ready=[Ready(run, T)])

        await asyncio.gather(write(engine, 100), write(second, 200), write(third, 300))
        assert await engine.store.count_runs() == {"running": 60}
        assert [len(await engine.store.history(run_id(number))) for number in (100, 219, 319)] == [2, 2, 2]

    async def test_all_engines_are_told_newest_first(self, engine: Engine, second: Engine) -> None:
        told = await second.store.engines()
        assert [(one["engine"], one["alive"]) for one in told] == [
            (second.lease.engine, True),
            (engine.lease.engine, True),
        ]
        await engine.store.release(engine.lease)
        alive = [one["engine"] for one in await second.store.engines() if one["alive"]]
        assert alive == [second.lease.engine]

    async def test_a_lease_that_ran_out_is_good_until_somebody_adopts(self, engine: Engine, second: Engine) -> None:
        late = T + 9 * LEASE
        await engine.commit(at=late, runs=[new_run(A, owner=engine.lease.engine)])
        await second.store.renew(second.lease, now=late, lease_us=LEASE)
        assert await second.store.adopt(second.lease, now=late, limit=9) == []
        await engine.commit(at=late, history=[event(A, 1)])

    async def test_an_engine_that_adopts_keeps_its_own_lease_even_if_that_ran_out(self, engine: Engine) -> None:
        assert await engine.store.adopt(engine.lease, now=T + 9 * LEASE, limit=9) == []
        await engine.commit(runs=[new_run(A)])

    async def test_closing_a_store_does_not_give_up_the_lease(self, second: Engine) -> None:
        store = self.make_store()
        await store.open()
        gone = await Engine.start(store)
        await gone.commit(runs=[new_run(A, owner=gone.lease.engine)])
        await store.close()
        assert await second.store.adopt(second.lease, now=T + LEASE - 1, limit=9) == []
        assert await second.store.adopt(second.lease, now=T + LEASE, limit=9) == [A]

    async def test_what_engines_say_of_themselves_is_told(self, second: Engine) -> None:
        store = self.make_store()
        await store.open()
        await store.acquire(now=T, lease_us=LEASE, who="third", about='{"definitions": {"orders": ["v1"]}}')
        told = [(one["who"], one["about"], one["draining"]) for one in await second.store.engines()]
        assert told[0] == ("third", '{"definitions": {"orders": ["v1"]}}', False)
        assert told[1:] == [("contract", None, False)] * 2
        await store.close()

    async def test_an_engine_that_was_asked_to_drain_hears_of_it_when_it_renews(
        self, engine: Engine, second: Engine
    ) -> None:
        assert await second.store.drain(engine.lease.engine) is True
        assert await second.store.renew(second.lease, now=T, lease_us=LEASE) is False
        for _ in range(2):  # until it is gone
            assert await engine.store.renew(engine.lease, now=T, lease_us=LEASE) is True
        assert [one["draining"] for one in await second.store.engines()] == [False, True]
        await engine.commit(runs=[new_run(A)])  # it writes until it ends
        await engine.store.release(engine.lease)
        assert await second.store.drain(engine.lease.engine) is False
        assert await second.store.drain(999_999) is False

    # --- runs of the living ----------------------------------------------------------------------

    async def test_a_run_of_a_living_engine_is_left_to_it(self, engine: Engine, second: Engine) -> None:
        owner = engine.lease.engine
        await engine.commit(
            runs=[new_run(A, owner=owner), new_run(B, owner=owner, status="paused")],
            ready=[Ready(A, T)],
            attempts=[attempt(A, "x", 1)],
        )
        before = await engine.store.load([A, B])
        assert await second.claim_due() == []
        assert await second.store.claim(second.lease, A) is False
        assert await second.store.claim(second.lease, B) is False
        assert await second.store.adopt(second.lease, now=T + LEASE - 1, limit=9) == []
        assert await second.store.adopt(second.lease, now=T + LEASE - 1) == []
        assert await engine.store.load([A, B]) == before
        assert await engine.store.next_due() == T
        assert await engine.claim_due() == [A]

    async def test_ready_runs_of_others_do_not_stand_in_the_way(self, engine: Engine, second: Engine) -> None:
        runs = [run_id(number) for number in range(10, 30)]
        await engine.commit(
            runs=[new_run(run, owner=engine.lease.engine) for run in runs], ready=[Ready(run, T, 5) for run in runs]
        )
        await second.commit(runs=[new_run(A), new_run(B)], ready=[Ready(A, T + 1), Ready(B, T + 2)])
        assert await second.claim_due(limit=2) == [A, B]

    async def test_what_nobody_owns_goes_to_whoever_asks_first(self, engine: Engine, second: Engine) -> None:
        runs = [run_id(number) for number in range(10, 50)]
        await engine.commit(runs=[new_run(run) for run in runs], ready=[Ready(run, T) for run in runs])

        async def claim(one: Engine) -> list[str]:
            got: list[str] = []
            for _ in range(60):
                claimed = await one.claim_due(limit=3)
                for run in claimed:
                    assert (await _run(one.store, run)).owner == one.lease.engine
                got += claimed
                await asyncio.sleep(0)
            return got

        ours, theirs = await asyncio.gather(claim(engine), claim(second))
        assert sorted(ours + theirs) == runs

    async def test_one_of_two_who_claim_the_same_run_gets_it(self, engine: Engine, second: Engine) -> None:
        await engine.commit(runs=[new_run(A)], ready=[Ready(A, T)])
        got = await asyncio.gather(engine.store.claim(engine.lease, A), second.store.claim(second.lease, A))
        assert sorted(got) == [False, True]

    async def test_an_id_is_taken_once_whoever_asks(self, engine: Engine, second: Engine) -> None:
        first, later = new_run(A, key="order-7"), new_run(B, key="order-7")
        refused = await asyncio.gather(
            engine.commit(runs=[first], history=[event(A, 1)]), second.commit(runs=[later], history=[event(B, 1)])
        )
        assert sorted(map(set, refused), key=len) in ([set(), {A}], [set(), {B}])
        assert await engine.store.count_runs() == {"running": 1}

    async def test_runs_of_definitions_that_are_left_are_for_others(self, engine: Engine, second: Engine) -> None:
        leave = frozenset({("orders", "v1"), ("bills", "v2")})
        mine = {"owner": engine.lease.engine}
        await engine.commit(
            runs=[
                new_run(A),
                new_run(B, definition="bills"),
                new_run(C, version="v2"),
                new_run(D, definition="bills", version="v2"),
                new_run(run_id(9), **mine),
            ],
            ready=[Ready(run, T) for run in (A, B, C, D, run_id(9))],
        )
        claim, now = engine.store.claim_due, T + 10
        assert await claim(engine.lease, now=now, limit=2, leave=leave) == [B, C]
        assert await claim(engine.lease, now=now, limit=9, leave=leave) == [run_id(9)]
        assert await second.store.claim_due(second.lease, now=now, limit=9, leave=frozenset()) == [A, D]

    async def test_orphans_of_definitions_that_are_left_are_for_others(self, engine: Engine, second: Engine) -> None:
        owner = engine.lease.engine
        await engine.commit(runs=[new_run(A, owner=owner), new_run(B, owner=owner, version="v2")])
        await engine.store.release(engine.lease)
        adopt = second.store.adopt
        leave = frozenset({("orders", "v1")})
        assert await adopt(second.lease, now=T, limit=1, leave=leave) == [B]
        assert await adopt(second.lease, now=T, limit=9, leave=leave) == []
        assert await adopt(second.lease, now=T, limit=9) == [A]

    # --- messages --------------------------------------------------------------------------------

    async def test_a_message_is_claimed_by_the_owner_of_its_run_only(
        self, engine: Engine, second: Engine, third: Engine
    ) -> None:
        await engine.commit(runs=[new_run(A, owner=engine.lease.engine)])
        await second.store.send(message("m1", A))
        await third.commit(messages=[message("m2", A)], ready=[Ready(A, T + 5)])  # one engine to another's run
        assert await second.claim_due() == []
        assert await third.claim_due() == []
        assert await engine.claim_due() == [A]
        assert [sent.id for sent in await engine.store.messages(A)] == ["m1", "m2"]

    async def test_a_message_to_a_run_that_is_being_let_go_of_is_for_whoever_comes(
        self, engine: Engine, second: Engine
    ) -> None:
        await engine.commit(runs=[new_run(A, owner=engine.lease.engine)])
        await second.store.send(message("m1", A, at=T + 5))
        assert await second.claim_due() == []
        await engine.commit(changes=[change(A, "waiting")], ready=[Ready(A, T + 500)])  # it has not seen the message
        assert await second.claim_due() == [A]
        assert await engine.claim_due() == []
        assert await engine.store.claim(engine.lease, A) is False

    async def test_a_message_that_was_claimed_while_its_run_was_let_go_of_is_not_lost(
        self, engine: Engine, second: Engine
    ) -> None:
        await engine.commit(runs=[new_run(A, owner=engine.lease.engine)])
        await second.store.send(message("m1", A))
        assert await engine.claim_due() == [A]
        await engine.commit(changes=[change(A, "waiting")])  # was on its way already
        assert await second.claim_due() == []
        assert await second.store.adopt(second.lease, now=T, limit=9) == [A]
        assert await engine.store.claim(engine.lease, A) is False
        assert await engine.store.adopt(engine.lease, now=T, limit=9) == []

    async def test_a_retry_of_an_ended_run_goes_to_one_engine(self, engine: Engine, second: Engine) -> None:
        await engine.commit(runs=[new_run(A, status="failed")])
        await engine.store.send(message("m1", A, kind="retry"))
        assert await second.claim_due() == [A]
        assert await engine.claim_due() == []
        assert await engine.store.adopt(engine.lease, now=T + LEASE - 1, limit=9) == []
        await engine.store.renew(engine.lease, now=T + LEASE, lease_us=LEASE)
        assert await engine.store.adopt(engine.lease, now=T + LEASE, limit=9) == [A]

    # --- adopting --------------------------------------------------------------------------------

    async def test_a_lease_that_ran_out_is_broken_for_good_by_who_adopts(self, engine: Engine, second: Engine) -> None:
        await engine.commit(
            runs=[new_run(A, owner=engine.lease.engine)], history=[event(A, 1)], attempts=[attempt(A, "x", 1)]
        )
        late = T + LEASE
        await second.store.renew(second.lease, now=late, lease_us=LEASE)
        assert await second.store.adopt(second.lease, now=late, limit=9) == [A]
        with pytest.raises(EngineFenced):
            await engine.commit(at=late, history=[event(A, 2)], changes=[change(A, "succeeded")])
        with pytest.raises(EngineFenced):
            await engine.store.renew(engine.lease, now=late, lease_us=LEASE)
        run = await _run(second.store, A)
        assert (run.status, run.owner) == ("running", second.lease.engine)
        assert await second.store.history(A) == [event(A, 1)]
        assert await second.store.attempts(A) == [attempt(A, "x", 1, status="lost", finished_at=late)]
        await second.commit(at=late, history=[event(A, 2)])

    async def test_a_lease_that_ran_out_is_broken_even_if_its_engine_had_no_runs(
        self, engine: Engine, second: Engine
    ) -> None:
        assert await second.store.adopt(second.lease, now=T + LEASE, limit=9) == []
        with pytest.raises(EngineFenced):
            await engine.commit(runs=[new_run(A)])
        assert await second.store.get_run(A) is None

    async def test_the_runs_of_an_engine_that_let_go_are_adopted_at_once(self, engine: Engine, second: Engine) -> None:
        await engine.commit(runs=[new_run(A, owner=engine.lease.engine)])
        await engine.store.release(engine.lease)
        assert await second.store.adopt(second.lease, now=T, limit=9) == [A]

    async def test_only_the_dead_are_inherited(self, engine: Engine, second: Engine, third: Engine) -> None:
        await engine.commit(runs=[new_run(A, owner=engine.lease.engine)])
        await second.commit(runs=[new_run(B, owner=second.lease.engine)])
        await second.store.renew(second.lease, now=T + LEASE, lease_us=LEASE)
        assert await third.store.adopt(third.lease, now=T + LEASE, limit=9) == [A]
        assert (await _run(third.store, B)).owner == second.lease.engine
        await second.commit(at=T + LEASE, history=[event(B, 1)])

    async def test_two_who_adopt_at_the_same_time_share_the_runs(
        self, engine: Engine, second: Engine, third: Engine
    ) -> None:
        runs = [run_id(number) for number in range(10, 50)]
        await engine.commit(runs=[new_run(run, owner=engine.lease.engine) for run in runs])
        late = T + LEASE
        for one in (second, third):
            await one.store.renew(one.lease, now=late, lease_us=LEASE)

        async def adopt(one: Engine) -> list[str]:
            got: list[str] = []
            for _ in range(40):
                adopted = await one.store.adopt(one.lease, now=late, limit=3)
                assert len(adopted) <= 3
                got += adopted
                await asyncio.sleep(0)
            return got

        ours, theirs = await asyncio.gather(adopt(second), adopt(third))
        assert sorted(ours + theirs) == runs
        owners = {run: one.lease.engine for one, got in ((second, ours), (third, theirs)) for run in got}
        assert {run: (await _run(second.store, run)).owner for run in runs} == owners

    async def test_an_adopted_run_may_be_adopted_again(self, engine: Engine, second: Engine, third: Engine) -> None:
        await engine.commit(runs=[new_run(A, owner=engine.lease.engine)])
        late = T + LEASE
        await second.store.renew(second.lease, now=late, lease_us=LEASE)
        await third.store.renew(third.lease, now=late + LEASE, lease_us=LEASE)
        assert await second.store.adopt(second.lease, now=late, limit=9) == [A]
        assert await third.store.adopt(third.lease, now=late + LEASE, limit=9) == [A]
        with pytest.raises(EngineFenced):
            await second.commit(history=[event(A, 1)])

    async def test_a_ready_run_of_a_dead_engine_is_claimed_once_it_is_adopted(
        self, engine: Engine, second: Engine
    ) -> None:
        await engine.commit(runs=[new_run(A, owner=engine.lease.engine)])
        await engine.store.send(message("m1", A))
        late = T + LEASE
        await second.store.renew(second.lease, now=late, lease_us=LEASE)
        assert await second.claim_due(now=late) == []
        assert await second.store.adopt(second.lease, now=late, limit=9) == [A]
        assert await second.claim_due(now=late) == [A]

    # --- lines -----------------------------------------------------------------------------------

    async def test_a_line_counts_the_runs_of_all_engines(self, engine: Engine, second: Engine, third: Engine) -> None:
        await engine.commit(runs=[new_run(run, status="queued") for run in (A, B, C)])
        assert await engine.admit(A) is True
        assert await second.admit(B) is False
        assert await third.admit(C) is False
        await engine.commit(changes=[change(A, "succeeded")], leaving=[(A, T + 3)])
        assert await third.claim_due() == [B]
        assert await third.admit(B) is True
        assert await second.admit(C) is False

    async def test_a_place_is_not_given_twice_at_once(self, engine: Engine, second: Engine, third: Engine) -> None:
        await engine.commit(runs=[new_run(run, status="queued") for run in (A, B, C, D)])
        got = await asyncio.gather(
            engine.admit(A, places=2), second.admit(B, places=2), third.admit(C, places=2), engine.admit(D, places=2)
        )
        held = [one.run for one in await engine.store.line("sales") if one.held]
        assert held == sorted(held)
        assert sum(got) == len(held) <= 2
        assert await engine.store.place(D) == place(D, places=2, held=D in held)

    # --- hearing of one another --------------------------------------------------------------------

    async def test_who_watches_is_told_of_what_others_wrote(self, engine: Engine, second: Engine) -> None:
        told = asyncio.Event()
        second.store.watch(told.set)
        await engine.commit(runs=[new_run(A), new_run(B)])
        for write in (
            engine.store.send(message("m1", A)),
            engine.commit(ready=[Ready(B, T)]),
            engine.commit(changes=[change(B, "succeeded")]),
            engine.store.submit(new_run(C, status="queued"), event(C, 1), {}),
            engine.store.release(engine.lease),
        ):
            await _quiet(told)
            await write
            await asyncio.wait_for(told.wait(), _TOLD_WITHIN_S)
        second.store.watch(None)

    async def test_the_time_of_the_store_goes_on(self, engine: Engine, second: Engine) -> None:
        times = [await one.store.time() for one in (engine, second, engine)]
        known = [time for time in times if time is not None]
        assert len(known) in (0, 3)
        assert known == sorted(known)


async def _run(store: Store, run: str) -> Run:
    found = await store.get_run(run)
    assert found is not None
    return found


async def _quiet(told: asyncio.Event) -> None:
    """Wait until nothing has been told for a moment, so that what comes next is told of the next write."""
    told.clear()
    for _ in range(100):
        await asyncio.sleep(0.05)
        if not told.is_set():
            return
        told.clear()
