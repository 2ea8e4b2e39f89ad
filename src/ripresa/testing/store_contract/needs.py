"""Needs: runs that were let go of because a step needs an engine with labels, and who may take them."""

from __future__ import annotations

import json

import pytest

from ripresa.contracts.errors import EngineFenced
from ripresa.ports.needs import Need
from ripresa.ports.rows import Ready
from ripresa.ports.store import Store
from ripresa.testing.store_contract.base import Promises
from ripresa.testing.store_contract.rows import A, B, C, D, Engine, T, change, message, new_run, run_id

GPU = frozenset({"gpu", "gpu=a100"})
E = run_id(5)


def need(run: str, *labels: str, operation: str = "train", priority: int = 0, since: int = T) -> Need:
    """What a step of a run needs."""
    return Need(run, operation, operation.partition("#")[0], json.dumps(sorted(labels)), priority, since)


async def _fitting(engine: Engine, labels: frozenset[str] = GPU, *, limit: int = 100) -> list[str]:
    return await engine.store.claim_fitting(engine.lease, labels=labels, limit=limit)


class Needs(Promises):
    """Runs that wait for an engine with labels."""

    async def test_a_run_whose_step_needs_labels_is_given_to_who_has_them(self, engine: Engine) -> None:
        await engine.commit(
            runs=[new_run(run) for run in (A, B, C)],
            needs=[need(A, "gpu"), need(B, "gpu=a100", "gpu"), need(C, "gpu=t4")],
        )
        assert await _fitting(engine, frozenset()) == []
        assert await _fitting(engine, frozenset({"eu"})) == []
        assert sorted(await _fitting(engine)) == [A, B]
        assert await _fitting(engine) == []
        owners = [run.owner for one in (A, B, C) if (run := await engine.store.get_run(one)) is not None]
        assert owners == [engine.lease.engine, engine.lease.engine, None]

    async def test_of_one_kind_higher_priorities_go_first_then_who_has_waited_longest(self, engine: Engine) -> None:
        await engine.commit(
            runs=[new_run(run) for run in (A, B, C, D)],
            needs=[
                need(A, "gpu", since=T + 3),
                need(B, "gpu", since=T + 1),
                need(C, "gpu", since=T + 2, priority=5),
                need(D, "gpu", since=T + 4),
            ],
        )
        assert [await _fitting(engine, limit=1) for _ in range(4)] == [[C], [B], [A], [D]]

    async def test_those_that_are_taken_together_come_in_that_order(self, engine: Engine) -> None:
        """Many, and some with several needs: what has no order comes in any."""
        runs = [run_id(number) for number in range(1, 41)]
        turns = [(7 * number) % 41 for number in range(1, 41)]
        needs = [need(run, "gpu", since=T + turn) for run, turn in zip(runs, turns, strict=True)]
        needs += [
            need(run, "gpu", operation="train#2", since=T + 100 - turn) for run, turn in zip(runs, turns, strict=True)
        ]
        await engine.commit(runs=[new_run(run) for run in runs], needs=needs)
        oldest_first = [run for _, run in sorted(zip(turns, runs, strict=True))]
        assert await _fitting(engine) == oldest_first

    async def test_any_step_that_fits_is_enough_and_the_run_is_taken_once(self, engine: Engine) -> None:
        await engine.commit(
            runs=[new_run(A)],
            needs=[need(A, "windows"), need(A, "gpu", operation="train#2"), need(A, "gpu", operation="train#3")],
        )
        assert await _fitting(engine) == [A]
        assert [one.operation for one in await engine.store.needs([A])] == ["train", "train#2", "train#3"]

    async def test_who_is_owned_or_has_stopped_is_let_be(self, engine: Engine) -> None:
        await engine.commit(
            runs=[
                new_run(A, owner=engine.lease.engine),
                new_run(B, status="paused"),
                new_run(C, status="quarantined"),
                new_run(D, status="blocked"),
                new_run(E, status="waiting"),
            ],
            needs=[need(run, "gpu") for run in (A, B, C, D, E)],
        )
        assert await _fitting(engine) == [E]
        await engine.commit(changes=[change(B, "running")])
        assert await _fitting(engine) == [B]

    async def test_what_would_wake_a_run_goes_when_it_is_taken(self, engine: Engine) -> None:
        await engine.commit(runs=[new_run(A)], needs=[need(A, "gpu")], ready=[Ready(A, T + 50)])
        assert await engine.store.dues([A, B]) == {A: T + 50}
        assert await _fitting(engine) == [A]
        assert await engine.store.dues([A]) == {}
        assert await engine.claim_due(now=T + 100) == []

    async def test_what_is_due_or_was_sent_is_anybodys(self, engine: Engine, other: Store) -> None:
        await engine.commit(runs=[new_run(A), new_run(B)], needs=[need(A, "gpu"), need(B, "gpu")], ready=[Ready(A, T)])
        assert await engine.claim_due() == [A]
        assert await _fitting(engine) == [B]
        await engine.commit(changes=[change(B, "waiting")])
        await other.send(message("m1", B))
        assert await engine.claim_due() == [B]

    async def test_needs_stay_until_they_are_removed_and_keep_their_age(self, engine: Engine) -> None:
        store = engine.store
        await engine.commit(runs=[new_run(A)], needs=[need(A, "gpu"), need(A, "eu", operation="send", since=T + 1)])
        await engine.commit(needs=[need(A, "gpu=t4", since=T + 9, priority=2)])
        assert await store.needs([A, B]) == [
            need(A, "gpu=t4", priority=2),
            need(A, "eu", operation="send", since=T + 1),
        ]
        assert (await store.load([A]))[0].needs == await store.needs([A])
        await engine.commit(needless=[(A, "train"), (A, "none"), (B, "train")])
        assert [one.operation for one in await store.needs([A])] == ["send"]
        await engine.commit(needless=[(A, "send")], needs=[need(A, "gpu")])
        assert [one.operation for one in await store.needs([A])] == ["train"]
        assert await store.needs([]) == []

    async def test_needs_of_a_run_that_is_refused_are_not_kept(self, engine: Engine) -> None:
        await engine.commit(runs=[new_run(A, key="k")])
        assert await engine.commit(runs=[new_run(B, key="k")], needs=[need(B, "gpu")]) == {B}
        assert await engine.store.needs([B]) == []

    async def test_needs_go_with_their_run(self, engine: Engine) -> None:
        await engine.commit(runs=[new_run(A)], needs=[need(A, "gpu")])
        await engine.commit(changes=[change(A, "cancelled", finished_at=T)])
        assert await engine.store.remove([A]) == [A]
        assert await engine.store.needs([A]) == []

    async def test_who_has_no_lease_takes_none(self, engine: Engine) -> None:
        await engine.commit(runs=[new_run(A)], needs=[need(A, "gpu")])
        await engine.store.release(engine.lease)
        with pytest.raises(EngineFenced):
            await _fitting(engine)
        run = await engine.store.get_run(A)
        assert run is not None
        assert run.owner is None
