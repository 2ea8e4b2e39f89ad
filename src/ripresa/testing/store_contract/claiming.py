"""Claiming: runs that are due go to one engine, in order."""

from __future__ import annotations

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
    change,
    message,
    new_run,
)


class Claiming(Promises):
    """What holds of runs that wait for an engine."""

    async def test_the_highest_priority_is_claimed_first_then_the_oldest(self, engine: Engine) -> None:
        rows = [Ready(A, T + 3, 0), Ready(B, T + 2, 0), Ready(C, T + 4, 7), Ready(D, T + 1, -7)]
        await engine.commit(runs=[new_run(row.run) for row in rows], ready=rows)
        assert await engine.claim_due(limit=3) == [C, B, A]
        assert await engine.claim_due(limit=3) == [D]

    async def test_a_run_that_is_made_ready_late_is_found_though_its_time_is_long_past(self, engine: Engine) -> None:
        hour = 3_600_000_000
        await engine.commit(runs=[new_run(A), new_run(B), new_run(C), new_run(D)])
        for _ in range(3):  # however often it has been looked since
            await engine.commit(ready=[Ready(A, T + hour, 3)])
            assert await engine.claim_due(now=T + hour) == [A]
        await engine.commit(ready=[Ready(B, T + 1, 3)])
        assert await engine.claim_due(now=T + hour) == [B]
        await engine.commit(ready=[Ready(C, T + 2, 3), Ready(D, T + 2, -3)])
        assert await engine.claim_due(now=T + hour) == [C, D]

    async def test_a_run_is_not_claimed_before_it_is_due(self, engine: Engine) -> None:
        await engine.commit(runs=[new_run(A), new_run(B)], ready=[Ready(A, T + 5, 1), Ready(B, T + 4, 0)])
        assert await engine.claim_due(now=T + 3) == []
        assert await engine.claim_due(now=T + 4) == [B]
        assert await engine.claim_due(now=T + 5) == [A]

    async def test_a_claimed_run_is_ours_and_no_longer_ready(self, engine: Engine) -> None:
        await engine.commit(runs=[new_run(A)], ready=[Ready(A, T)])
        assert await engine.claim_due() == [A]
        assert await engine.claim_due() == []
        assert await engine.store.next_due() is None
        run = await engine.store.get_run(A)
        assert run is not None
        assert run.owner == engine.lease.engine

    async def test_no_run_goes_to_two_engines(self, engine: Engine, other: Store) -> None:
        await engine.commit(runs=[new_run(A), new_run(B)], ready=[Ready(A, T), Ready(B, T + 1)])
        assert await engine.claim_due(limit=1) == [A]
        second = await Engine.start(other, at=T + LEASE)
        await other.send(message("m1", A))  # ready again, but held by the engine before
        assert await second.claim_due() == [B]
        assert await other.claim(second.lease, A) is False
        assert await other.adopt(second.lease, now=T + LEASE) == [A, B]
        assert await second.claim_due() == [A]

    async def test_a_run_of_ours_may_be_claimed_again(self, engine: Engine) -> None:
        await engine.commit(runs=[new_run(A, owner=engine.lease.engine)])
        await engine.store.send(message("m1", A))
        assert await engine.claim_due() == [A]

    async def test_one_run_may_be_claimed_whatever_is_due(self, engine: Engine) -> None:
        await engine.commit(runs=[new_run(A), new_run(B, status="failed")], ready=[Ready(A, T + 999)])
        assert await engine.store.claim(engine.lease, A) is True
        assert await engine.store.claim(engine.lease, A) is True
        assert await engine.store.claim(engine.lease, B) is False
        assert await engine.store.claim(engine.lease, "unknown") is False
        assert await engine.store.next_due() is None

    async def test_a_run_that_has_ended_may_be_claimed_for_a_retry_that_waits(self, engine: Engine) -> None:
        await engine.commit(runs=[new_run(A, status="failed")])
        await engine.store.send(message("m1", A, kind="retry"))
        assert await engine.claim_due() == [A]
        await engine.commit(changes=[change(A, "failed")])  # let go of by a batch that was on its way
        assert await engine.store.claim(engine.lease, A) is True
        await engine.commit(taken=["m1"], changes=[change(A, "failed")])
        assert await engine.store.claim(engine.lease, A) is False

    async def test_the_next_due_time_is_the_earliest_of_all_priorities(self, engine: Engine) -> None:
        assert await engine.store.next_due() is None
        await engine.commit(ready=[Ready(A, T + 5, 9), Ready(B, T + 3, -9), Ready(C, T + 4, 0)])
        assert await engine.store.next_due() == T + 3
        assert await engine.store.next_due(after=T + 3) == T + 4
        assert await engine.store.next_due(after=T + 4) == T + 5
        assert await engine.store.next_due(after=T + 5) is None
        await engine.commit(unready=[B])
        assert await engine.store.next_due() == T + 4

    async def test_a_run_is_ready_at_the_earlier_of_two_times(self, engine: Engine) -> None:
        await engine.commit(runs=[new_run(A)])
        await engine.store.send(message("m1", A, at=T + 5))
        await engine.commit(ready=[Ready(A, T + 500)])  # put to sleep by an engine that did not see the message
        assert await engine.store.next_due() == T + 5
        await engine.commit(ready=[Ready(A, T + 3)])
        assert await engine.store.next_due() == T + 3

    async def test_a_batch_takes_away_ready_rows_before_it_puts_new_ones(self, engine: Engine) -> None:
        await engine.commit(runs=[new_run(A)], ready=[Ready(A, T)])
        await engine.commit(unready=[A, "unknown"], ready=[Ready(A, T + 5)])
        assert await engine.store.next_due() == T + 5
