"""Adopting: a new owner finds what the last one left open."""

from __future__ import annotations

from ripresa.ports.reading import RunFilter
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
    attempt,
    change,
    message,
    new_run,
)


class Adopting(Promises):
    """What holds of runs whose owner is gone."""

    async def test_a_new_owner_adopts_the_open_runs_of_the_one_before(self, engine: Engine, other: Store) -> None:
        held, evicted, ended = (
            {"owner": engine.lease.engine},
            {"status": "waiting"},
            {"status": "succeeded", "owner": engine.lease.engine},
        )
        await engine.commit(
            runs=[new_run(B, **held), new_run(A, **held, status="paused"), new_run(C, **evicted), new_run(D, **ended)]
        )
        second = await Engine.start(other, at=T + LEASE)
        assert await other.adopt(second.lease, now=T + LEASE + 7) == [A, B]
        assert [run.owner for run in (await other.list_runs(RunFilter(), limit=9)).runs] == [
            engine.lease.engine,
            None,
            second.lease.engine,
            second.lease.engine,
        ]

    async def test_attempts_of_adopted_runs_are_lost_if_they_have_no_outcome(
        self, engine: Engine, other: Store
    ) -> None:
        failed, elsewhere = attempt(A, "x", 1, status="failed"), attempt(B, "x", 1)
        await engine.commit(
            runs=[new_run(A, owner=engine.lease.engine), new_run(B, status="waiting")],
            attempts=[failed, attempt(A, "x", 2), elsewhere],
        )
        second = await Engine.start(other, at=T + LEASE)
        await other.adopt(second.lease, now=T + LEASE + 7)
        assert await other.attempts(A) == [failed, attempt(A, "x", 2, status="lost", finished_at=T + LEASE + 7)]
        assert await other.attempts(B) == [elsewhere]

    async def test_a_queued_run_that_nothing_would_wake_is_adopted(self, engine: Engine) -> None:
        await engine.commit(runs=[new_run(A, status="queued"), new_run(B, status="queued")], ready=[Ready(A, T)])
        assert await engine.store.adopt(engine.lease, now=T) == [B]

    async def test_a_retry_that_was_claimed_but_not_taken_is_adopted(self, engine: Engine, other: Store) -> None:
        await engine.commit(runs=[new_run(A, status="failed"), new_run(B, status="failed")])
        await other.send(message("m1", A, kind="retry"))
        assert await engine.claim_due() == [A]
        second = await Engine.start(other, at=T + LEASE)
        assert await other.adopt(second.lease, now=T + LEASE) == [A]

    async def test_a_run_that_was_let_go_of_after_it_was_claimed_for_a_message_is_adopted(
        self, engine: Engine, other: Store
    ) -> None:
        await engine.commit(runs=[new_run(A), new_run(B)])
        await other.send(message("m1", A))
        await other.send(message("m2", B))
        assert await engine.claim_due() == [A, B]
        await engine.commit(changes=[change(A, "waiting"), change(B, "paused")], ready=[Ready(B, T + 9)])
        second = await Engine.start(other, at=T + LEASE)
        assert await other.adopt(second.lease, now=T + LEASE) == [A]

    async def test_an_ended_run_that_was_only_told_something_is_not_adopted(self, engine: Engine, other: Store) -> None:
        await engine.commit(runs=[new_run(A)])
        await other.send(message("m1", A))
        await engine.commit(changes=[change(A, "succeeded")])
        assert await engine.claim_due() == [A]
        second = await Engine.start(other, at=T + LEASE)
        assert await other.adopt(second.lease, now=T + LEASE) == []

    async def test_adopting_twice_finds_the_same_runs(self, engine: Engine) -> None:
        await engine.commit(runs=[new_run(A, owner=engine.lease.engine)])
        assert await engine.store.adopt(engine.lease, now=T) == [A]
        assert await engine.store.adopt(engine.lease, now=T) == [A]

    async def test_adopting_with_a_limit_takes_what_is_not_ours_yet(self, engine: Engine, other: Store) -> None:
        await engine.commit(runs=[new_run(run, owner=engine.lease.engine) for run in (A, B, C)])
        second = await Engine.start(other, at=T + LEASE)
        now = T + LEASE
        assert await other.adopt(second.lease, now=now, limit=2) == [A, B]
        assert await other.adopt(second.lease, now=now, limit=2) == [C]
        assert await other.adopt(second.lease, now=now, limit=2) == []
        assert await other.adopt(second.lease, now=now) == [A, B, C]

    async def test_who_asks_again_is_not_given_runs_that_stopped_and_have_mail_for_later(self, engine: Engine) -> None:
        await engine.commit(
            runs=[new_run(A, status="paused"), new_run(B, status="quarantined"), new_run(C, status="blocked")],
            messages=[message("m1", A), message("m2", B), message("m3", C, kind="child")],
        )
        assert await engine.store.adopt(engine.lease, now=T, limit=9) == []
        await engine.commit(messages=[message("m4", A, kind="resume"), message("m5", C, kind="cancel")])
        assert await engine.store.adopt(engine.lease, now=T, limit=9) == [A, C]

    async def test_who_asks_again_is_not_given_runs_that_wait_in_a_full_line(self, engine: Engine) -> None:
        await engine.commit(runs=[new_run(run, status="queued") for run in (A, B, C)])
        assert await engine.admit(A) is True
        assert await engine.admit(B) is False
        await engine.commit(changes=[change(A, "running", owner=engine.lease.engine)], messages=[message("m1", B)])
        assert await engine.store.adopt(engine.lease, now=T, limit=9) == [C]  # nobody has asked for a place for it
        await engine.commit(messages=[message("m2", B, kind="cancel")])
        assert await engine.store.adopt(engine.lease, now=T, limit=9) == [B]

    async def test_who_asks_again_is_given_a_run_whose_line_has_a_free_place(self, engine: Engine) -> None:
        await engine.commit(runs=[new_run(run, status="queued") for run in (A, B)])
        assert await engine.admit(A) is True
        assert await engine.admit(B) is False
        await engine.commit(changes=[change(A, "succeeded")], leaving=[(A, T)])
        assert await engine.claim_due() == [B]
        await engine.commit(changes=[change(B, "queued")])  # let go of, as it had no place, when its turn came
        assert await engine.store.adopt(engine.lease, now=T, limit=9) == [B]
