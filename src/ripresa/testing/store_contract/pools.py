"""Pools: who waits for a slot, who holds one, in which order, and what ends it."""

from __future__ import annotations

from typing import Any

import pytest

from ripresa.contracts.errors import EngineFenced
from ripresa.contracts.pools import Breaker, Pool
from ripresa.kernel.circuit import Circuit, opened
from ripresa.ports.pools import Freed, Granted
from ripresa.ports.rows import Ready
from ripresa.ports.store import Store
from ripresa.testing.store_contract.base import Promises
from ripresa.testing.store_contract.rows import LEASE, A, B, Engine, T, change, new_run, ticket

SECOND = 1_000_000


async def declare(store: Store, name: str = "lake", **limits: Any) -> None:
    """Let there be such a pool."""
    await store.put_pool(name, pool_text(name, **limits))


def pool_text(name: str = "lake", **limits: Any) -> str:
    """A pool's settings."""
    from ripresa.contracts.payload import dump  # noqa: PLC0415 - the only use

    return dump(Pool(name, **limits).to_json())


def given(granted: Granted) -> list[str]:
    """Operations that were given a slot."""
    return [operation for _, operation in granted.tickets]


class Pools(Promises):
    """What a store promises of pools."""

    # -- slots ------------------------------------------------------------------------------------

    async def test_only_so_many_hold_a_slot_and_the_rest_wait_in_order(self, engine: Engine) -> None:
        await declare(engine.store, slots=2)
        assert given(await engine.tickets("a", "b", "c", "d")) == ["a", "b"]
        stand = await engine.store.standing(pool="lake")
        assert [(one.ticket.operation, one.granted_at is not None, one.ahead) for one in stand] == [
            ("a", True, 0),
            ("b", True, 0),
            ("c", False, 0),
            ("d", False, 1),
        ]
        assert stand[0].engine == engine.lease.engine
        assert stand[0].ticket == ticket("a")

    async def test_who_ends_frees_the_slot_with_the_same_batch_for_the_first_in_line(self, engine: Engine) -> None:
        await declare(engine.store, slots=1)
        await engine.tickets("a", "b", "c")
        assert given(await engine.tickets()) == []
        await engine.commit(freed=[Freed(A, "a", T + 5)])
        assert given(await engine.tickets()) == ["b"]
        assert given(await engine.tickets()) == []

    async def test_who_waits_no_more_leaves_the_line(self, engine: Engine) -> None:
        await declare(engine.store, slots=1)
        await engine.tickets("a", "b", "c")
        await engine.commit(freed=[Freed(A, "b", T + 5), Freed(A, "unknown", T + 5)])
        await engine.commit(freed=[Freed(A, "a", T + 5)])
        assert given(await engine.tickets()) == ["c"]

    async def test_a_ticket_that_is_asked_for_again_is_told_of_again_and_holds_one_slot(self, engine: Engine) -> None:
        await declare(engine.store, slots=2)
        assert given(await engine.tickets("a")) == ["a"]
        assert given(await engine.tickets("a")) == ["a"]
        assert given(await engine.tickets("b", "c")) == ["b"]

    async def test_higher_priorities_go_first(self, engine: Engine) -> None:
        await declare(engine.store, slots=1)
        await engine.tickets("a")
        await engine.ask(ticket("low"), ticket("high", priority=5), ticket("higher", priority=9))
        assert [one.ticket.operation for one in await engine.store.standing()][1:] == ["higher", "high", "low"]

    async def test_keys_take_turns(self, engine: Engine) -> None:
        await declare(engine.store, slots=1)
        await engine.ask(*[ticket(f"a{number}", key="a") for number in range(4)])
        await engine.ask(*[ticket(f"b{number}", key="b") for number in range(2)])
        served = await engine.serve_all()
        assert served == ["a0", "b0", "a1", "b1", "a2", "a3"]

    async def test_a_key_that_joins_late_is_not_behind_all_who_wait_and_not_ahead_of_all(self, engine: Engine) -> None:
        await declare(engine.store, slots=1)
        await engine.ask(*[ticket(f"a{number}", key="a") for number in range(4)])
        assert await engine.serve_all(2) == ["a0", "a1"]
        await engine.ask(ticket("b0", key="b"), ticket("b1", key="b"), ticket("b2", key="b"))
        assert await engine.serve_all() == ["a2", "b0", "a3", "b1", "b2"]  # a2 had the slot already

    async def test_a_key_with_one_at_a_time_does_not_go_before_all_others_each_time(self, engine: Engine) -> None:
        await declare(engine.store, slots=1)
        await engine.ask(*[ticket(f"b{number}", key="b") for number in range(3)])
        served = []
        for number in range(3):
            await engine.ask(ticket(f"a{number}", key="a"))
            served += await engine.serve_all(2)
        assert sorted(served[:2]) == ["a0", "b0"]
        assert sorted(served[2:4]) == ["a1", "b1"]

    async def test_each_worker_and_each_workflow_has_a_share(self, engine: Engine) -> None:
        await declare(engine.store, slots=10, slots_per_worker=4, slots_per_workflow=2)
        await engine.ask(*[ticket(f"x{number}", workflow="x") for number in range(4)])
        await engine.ask(*[ticket(f"y{number}", workflow="y") for number in range(4)])
        await engine.ask(ticket("z", workflow="z"))
        (state,) = await engine.store.pools()
        assert state.by_workflow == {"x": 2, "y": 2}
        assert state.by_engine == {engine.lease.engine: 4}
        await engine.commit(freed=[Freed(A, "x0", T)])
        assert given(await engine.tickets()) == ["x2"]

    async def test_pools_do_not_stand_in_each_others_way(self, engine: Engine) -> None:
        await declare(engine.store, slots=1)
        await declare(engine.store, "other", slots=1)
        await engine.tickets("a", "b")
        assert given(await engine.ask(ticket("c", pool="other"))) == ["c"]
        assert given(await engine.ask(ticket("d", pool="nobodys"))) == ["d"]

    # -- rate -------------------------------------------------------------------------------------

    async def test_a_rate_spaces_starts_and_tells_when_the_next_is_due(self, engine: Engine) -> None:
        await declare(engine.store, rate="2/s")
        first = await engine.tickets("a", "b", "c", now=T)
        assert (given(first), first.again_at) == (["a"], T + SECOND // 2)
        assert given(await engine.tickets(now=T + SECOND // 2 - 1)) == []
        second = await engine.tickets(now=T + SECOND // 2)
        assert (given(second), second.again_at) == (["b"], T + SECOND)
        late = await engine.tickets(now=T + 9 * SECOND)
        assert given(late) == ["c"]

    async def test_a_burst_may_start_at_once_and_no_more(self, engine: Engine) -> None:
        await declare(engine.store, rate="1/s", burst=3)
        assert given(await engine.tickets(*"abcde", now=T)) == ["a", "b", "c"]
        assert given(await engine.tickets(now=T + SECOND)) == ["d"]
        assert given(await engine.tickets(now=T + SECOND)) == []

    # -- breakers ---------------------------------------------------------------------------------

    async def test_a_breaker_opens_after_failures_lets_a_probe_in_and_closes(self, engine: Engine) -> None:
        await declare(engine.store, slots=9, breaker=Breaker(failures=2, cooldown="10s"))
        await engine.tickets("a", "b", "c")
        await engine.commit(freed=[Freed(A, "a", T + 1, good=False), Freed(A, "b", T + 2, good=False)])
        shut = await engine.tickets("d", "e", now=T + 3)
        assert (given(shut), shut.again_at) == ([], T + 2 + 10 * SECOND)
        await engine.commit(freed=[Freed(A, "c", T + 4, good=True)])
        probe = await engine.tickets(now=T + 2 + 10 * SECOND)
        assert given(probe) == ["d"]
        assert [one.probe for one in await engine.store.standing()] == [True, False]
        await engine.commit(freed=[Freed(A, "d", T + 11 * SECOND, good=True)])
        assert given(await engine.tickets(now=T + 11 * SECOND)) == ["e"]

    async def test_a_probe_that_fails_opens_it_again_and_one_that_says_nothing_lets_another_in(
        self, engine: Engine
    ) -> None:
        await declare(engine.store, breaker=Breaker(failures=1, cooldown="10s"))
        await engine.tickets("a")
        await engine.commit(freed=[Freed(A, "a", T, good=False)])
        assert given(await engine.tickets("b", "c", now=T + 10 * SECOND)) == ["b"]
        await engine.commit(freed=[Freed(A, "b", T + 10 * SECOND)])
        assert given(await engine.tickets(now=T + 10 * SECOND)) == ["c"]
        await engine.commit(freed=[Freed(A, "c", T + 11 * SECOND, good=False)])
        shut = await engine.tickets("d", now=T + 12 * SECOND)
        assert (given(shut), shut.again_at) == ([], T + 21 * SECOND)

    async def test_each_step_may_have_a_breaker_of_its_own(self, engine: Engine) -> None:
        await declare(engine.store, breaker=Breaker(failures=1, per="step"))
        await engine.ask(ticket("a", step="bad"))
        await engine.commit(freed=[Freed(A, "a", T, good=False)])
        assert given(await engine.ask(ticket("b", step="bad"), ticket("c", step="well"))) == ["c"]

    async def test_who_would_wait_for_a_breaker_that_says_fail_is_refused(self, engine: Engine) -> None:
        await declare(engine.store, breaker=Breaker(failures=1, on_open="fail"))
        await engine.tickets("a")
        await engine.commit(freed=[Freed(A, "a", T, good=False)])
        assert (await engine.tickets("b", now=T)).refused == [(A, "b", "1 failure in 1m")]
        assert await engine.store.standing() == []

    async def test_a_person_trips_and_resets_a_breaker(self, engine: Engine) -> None:
        await declare(engine.store, breaker=Breaker())
        await engine.store.set_breaker("lake", "", opened(T, None, "tripped by hand").dump())
        shut = await engine.tickets("a")
        assert (given(shut), shut.again_at) == ([], None)
        (state,) = await engine.store.pools()
        assert Circuit.load(state.circuits[""]).why == "tripped by hand"
        await engine.store.set_breaker("lake", "", None)
        assert given(await engine.tickets()) == ["a"]

    # -- cooldowns --------------------------------------------------------------------------------

    async def test_a_key_rests_and_the_others_go_on(self, engine: Engine) -> None:
        await declare(engine.store)
        await engine.ask(ticket("a", key="slow.example"))
        await engine.commit(freed=[Freed(A, "a", T, rest_until=T + SECOND, why="429")])
        await engine.commit(freed=[Freed(A, "a", T, rest_until=T + 9 * SECOND, why="it is gone already")])
        granted = await engine.ask(ticket("b", key="slow.example"), ticket("c", key="other.example"))
        assert (given(granted), granted.again_at) == (["c"], T + SECOND)
        assert (await engine.store.pools())[0].cooling == {"slow.example": (T + SECOND, "429")}
        assert given(await engine.tickets(now=T + SECOND)) == ["b"]
        assert (await engine.store.pools())[0].cooling == {}

    async def test_a_person_ends_a_cooldown_or_begins_one(self, engine: Engine) -> None:
        await declare(engine.store)
        await engine.store.set_cooldown("lake", "", T + SECOND, "by hand")
        assert given(await engine.tickets("a")) == []
        await engine.store.set_cooldown("lake", "", None)
        assert given(await engine.tickets()) == ["a"]

    # -- definitions ------------------------------------------------------------------------------

    async def test_limits_may_change_while_steps_wait(self, engine: Engine) -> None:
        await declare(engine.store, slots=1)
        await engine.tickets("a", "b", "c")
        await declare(engine.store, slots=2)
        assert given(await engine.tickets()) == ["b"]
        await engine.store.put_pool("lake", None)
        assert given(await engine.tickets()) == ["c"]

    async def test_what_a_person_has_set_stays_until_a_program_declares_something_else(self, store: Store) -> None:
        async def slots() -> str:
            return (await store.pools())[0].settings

        await store.put_pool("lake", pool_text(slots=1), declared=True)
        assert await slots() == pool_text(slots=1)
        await store.put_pool("lake", pool_text(slots=7))
        await store.put_pool("lake", pool_text(slots=1), declared=True)
        assert await slots() == pool_text(slots=7)
        await store.put_pool("lake", pool_text(slots=2), declared=True)
        assert await slots() == pool_text(slots=2)

    # -- owners -----------------------------------------------------------------------------------

    async def test_slots_of_an_engine_that_is_gone_are_free_and_its_tickets_keep_their_turn(
        self, engine: Engine, other: Store
    ) -> None:
        await declare(other, slots=1)
        await engine.commit(runs=[new_run(A, owner=engine.lease.engine)])
        await engine.tickets("a", "b")
        second = await Engine.start(other, at=T + LEASE)
        await other.adopt(second.lease, now=T + LEASE)
        assert [(one.engine, one.granted_at) for one in await other.standing()] == [(None, None), (None, None)]
        assert given(await second.tickets("c")) == ["c"]
        await second.tickets("b", "a")
        assert await second.serve_all() == ["c", "a", "b"]

    async def test_work_that_outlives_its_engine_goes_on_holding_its_slot(self, engine: Engine, other: Store) -> None:
        await declare(other, slots=1)
        await engine.commit(runs=[new_run(A, owner=engine.lease.engine)])
        assert given(await engine.ask(ticket("a", keeps=True))) == ["a"]
        second = await Engine.start(other, at=T + LEASE)
        await other.adopt(second.lease, now=T + LEASE)
        assert given(await second.tickets("b")) == []
        assert (await other.pools())[0].by_engine == {0: 1}
        assert given(await second.ask(ticket("a", keeps=True))) == ["a"]
        await second.commit(changes=[change(A, "succeeded")], freed=[Freed(A, "a", T)])
        assert given(await second.tickets()) == ["b"]

    async def test_tickets_that_nobody_takes_over_go_with_their_run(self, engine: Engine, other: Store) -> None:
        await declare(other, slots=1)
        await engine.commit(runs=[new_run(A, owner=engine.lease.engine)])
        await engine.ask(ticket("a", keeps=True))
        second = await Engine.start(other, at=T + LEASE)
        await other.adopt(second.lease, now=T + LEASE)
        await second.commit(changes=[change(A, "cancelled")], runs=[new_run(B)])
        assert given(await second.ask(ticket("b", run=B))) == ["b"]

    async def test_an_engine_that_was_fenced_gets_nothing(self, engine: Engine) -> None:
        await declare(engine.store, slots=1)
        await engine.store.release(engine.lease)
        with pytest.raises(EngineFenced):
            await engine.tickets("a")
        assert await engine.store.standing() == []


class SharedPools(Promises):
    """And what it promises where several engines are at work."""

    async def test_what_an_engine_had_asked_for_a_run_that_it_let_go_of_is_not_its_own_any_more(
        self, engine: Engine, second: Engine
    ) -> None:
        """Late, it asks for the same once more, and gives that back: the next engine of the run notices nothing."""
        ours, theirs = engine.lease.engine, second.lease.engine
        await declare(engine.store, slots=1)
        await engine.commit(runs=[new_run(A, owner=ours)])
        assert given(await engine.tickets("a", "b")) == ["a"]
        await engine.commit(changes=[change(A, "running", owner=None)], ready=[Ready(A, T)])
        assert await second.claim_due() == [A]
        assert given(await second.tickets("a", "b")) == ["a"]
        assert given(await engine.tickets("a", "b")) == []
        await engine.commit(freed=[Freed(A, "a", T, engine=ours), Freed(A, "b", T, engine=ours)])
        assert [(one.engine, one.granted_at is not None) for one in await engine.store.standing()] == [
            (theirs, True),
            (theirs, False),
        ]
        await second.commit(freed=[Freed(A, "a", T, engine=theirs)])
        assert given(await second.tickets()) == ["b"]
