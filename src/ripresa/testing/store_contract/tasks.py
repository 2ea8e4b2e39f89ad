"""Tasks: attempts that workers elsewhere carry out, and those workers."""

from __future__ import annotations

import asyncio

import pytest

from ripresa.contracts.errors import EngineFenced
from ripresa.ports.rows import LogLine
from ripresa.ports.store import Store
from ripresa.ports.tasks import FORGOTTEN_US, Task, TaskState, WorkerState
from ripresa.testing.store_contract.base import Promises
from ripresa.testing.store_contract.rows import (
    LEASE,
    A,
    B,
    Engine,
    T,
    new_run,
)

LEASE_US = 1_000_000


def task(run: str = A, *, id: str = "t1", at: int = T, work: str = '{"input": "[]"}') -> Task:
    """An attempt of this run's step `charge`, for a worker."""
    return Task(id, run, "charge#2", 1, "charge", "celery", "slow", work, at)


def line(run: str, text: str) -> LogLine:
    """A line that the attempt wrote."""
    return LogLine(run, "charge#2", 1, T, "stdout", None, text)


async def claimed(store: Store, id: str = "t1", *, proof: str = "one", now: int = T) -> Task | None:
    """What worker w1 is given."""
    return await store.claim_task(id, worker="w1", token=proof, now=now, lease_us=LEASE_US)


async def the_only(store: Store) -> TaskState:
    """The one task that there is."""
    (state,) = await store.tasks()
    return state


class Tasks(Promises):
    """What holds of tasks."""

    async def test_a_task_goes_to_one_worker(self, engine: Engine, other: Store) -> None:
        large = task(id="t2", at=T + 1, work='"' + "x" * 400_000 + '"')
        await engine.commit(runs=[new_run(A)], tasks=[task(), large])
        assert [state.id for state in await other.tasks()] == ["t1", "t2"]
        assert await claimed(other) == task()
        assert await claimed(engine.store, proof="two") is None
        assert await claimed(other, "t2") == large
        assert await claimed(other, "unknown") is None
        state = (await other.tasks(["t1"]))[0]
        assert (state.worker, state.claimed_at, state.lease_until, state.outcome) == ("w1", T, T + LEASE_US, None)
        assert (state.run, state.operation, state.attempt, state.queue) == (A, "charge#2", 1, "slow")

    async def test_of_all_that_claim_at_once_one_wins(self, engine: Engine, other: Store) -> None:
        await engine.commit(runs=[new_run(A)], tasks=[task()])
        stores = [engine.store, other] * 4
        given = await asyncio.gather(*(claimed(store, proof=str(place)) for place, store in enumerate(stores)))
        assert [one for one in given if one is not None] == [task()]

    async def test_who_asks_again_with_its_token_is_given_the_task_again(self, engine: Engine) -> None:
        await engine.commit(runs=[new_run(A)], tasks=[task()])
        await claimed(engine.store)
        assert await claimed(engine.store, now=T + 5) == task()
        state = await the_only(engine.store)
        assert (state.claimed_at, state.lease_until) == (T, T + 5 + LEASE_US)

    async def test_a_worker_that_renews_keeps_its_task(self, engine: Engine, other: Store) -> None:
        await engine.commit(runs=[new_run(A)], tasks=[task()])
        assert not await other.renew_task("t1", "one", now=T, lease_us=LEASE_US)
        await claimed(other)
        later = T + 2 * LEASE_US  # its lease has run out, and nobody has noticed
        assert await other.renew_task("t1", "one", now=later, lease_us=LEASE_US, logs=[line(A, "half done")])
        assert not await other.renew_task("t1", "two", now=later, lease_us=LEASE_US, logs=[line(A, "not mine")])
        assert not await engine.store.lapse_task(engine.lease, "t1", now=later)
        assert (await the_only(other)).beat_at == later
        assert [one.text for _, one in await engine.store.logs(A)] == ["half done"]

    async def test_what_a_worker_reports_is_kept_for_its_engine(self, engine: Engine, other: Store) -> None:
        await engine.commit(runs=[new_run(A)], tasks=[task(), task(id="t2")])
        await claimed(other)
        assert await engine.store.task_outcomes(["t1", "t2"]) == {}
        assert await other.report_task("t1", "one", '{"output":"1"}', now=T + 1, logs=[line(A, "done")])
        assert await engine.store.task_outcomes(["t1", "t2", "unknown"]) == {"t1": '{"output":"1"}'}
        assert await engine.store.task_outcomes(["t2"]) == {}
        assert [one.text for _, one in await engine.store.logs(A)] == ["done"]

    async def test_the_first_report_stands(self, engine: Engine) -> None:
        await engine.commit(runs=[new_run(A)], tasks=[task()])
        await claimed(engine.store)
        for outcome in ("1", "2"):
            assert await engine.store.report_task("t1", "one", outcome, now=T, logs=[line(A, outcome)])
        assert await engine.store.task_outcomes(["t1"]) == {"t1": "1"}
        assert [one.text for _, one in await engine.store.logs(A)] == ["1"]
        assert await claimed(engine.store) is None
        assert not await engine.store.renew_task("t1", "one", now=T, lease_us=LEASE_US)
        assert not await engine.store.lapse_task(engine.lease, "t1", now=T + 9 * LEASE_US)

    async def test_a_late_report_is_refused(self, engine: Engine, other: Store) -> None:
        await engine.commit(runs=[new_run(A)], tasks=[task()])
        await claimed(other)
        assert not await engine.store.lapse_task(engine.lease, "t1", now=T + LEASE_US - 1)
        assert await engine.store.lapse_task(engine.lease, "t1", now=T + LEASE_US)
        assert not await engine.store.lapse_task(engine.lease, "t1", now=T + LEASE_US)
        assert not await other.report_task("t1", "one", "1", now=T, logs=[line(A, "too late")])
        assert not await other.renew_task("t1", "one", now=T, lease_us=LEASE_US)
        assert await claimed(other) is None
        assert await engine.store.logs(A) == []

    async def test_what_nobody_has_claimed_does_not_lapse(self, engine: Engine) -> None:
        await engine.commit(runs=[new_run(A)], tasks=[task()])
        assert not await engine.store.lapse_task(engine.lease, "t1", now=T + 9 * LEASE_US)
        assert await claimed(engine.store, now=T + 9 * LEASE_US) == task()

    async def test_a_task_that_is_done_with_is_gone(self, engine: Engine, other: Store) -> None:
        await engine.commit(runs=[new_run(A)], tasks=[task(), task(id="t2")])
        await claimed(other)
        await engine.commit(tasks_done=["t1", "t2", "unknown"])
        assert await other.tasks() == []
        assert not await other.report_task("t1", "one", "1", now=T)
        await engine.commit(tasks=[task(id="t3")], tasks_done=["t3"])
        assert await other.tasks() == []

    async def test_a_task_that_is_put_out_anew_is_nobodys(self, engine: Engine, other: Store) -> None:
        await engine.commit(runs=[new_run(A)], tasks=[task()])
        await claimed(other)
        await engine.commit(tasks=[task(at=T + 7)])
        assert not await other.report_task("t1", "one", "1", now=T)
        assert await claimed(other, proof="two") == task(at=T + 7)

    async def test_tasks_of_refused_runs_are_left_out(self, engine: Engine) -> None:
        await engine.commit(runs=[new_run(A)])
        await engine.commit(runs=[new_run(A), new_run(B)], tasks=[task(A), task(B, id="t2")])
        assert [state.id for state in await engine.store.tasks()] == ["t2"]

    async def test_who_no_longer_owns_lets_nothing_lapse(self, engine: Engine, other: Store) -> None:
        await engine.commit(runs=[new_run(A)], tasks=[task()])
        await claimed(other)
        second = await Engine.start(other, at=T + LEASE)
        await other.adopt(second.lease, now=T + LEASE)
        with pytest.raises(EngineFenced):
            await engine.store.lapse_task(engine.lease, "t1", now=T + 9 * LEASE_US)
        assert await other.lapse_task(second.lease, "t1", now=T + 9 * LEASE_US)

    async def test_workers_tell_of_themselves(self, store: Store, other: Store) -> None:
        one = WorkerState("w1", "celery", '{"pid":1}', T, T)
        two = WorkerState("w2", "celery", "{}", T, T + 1)
        for worker in (two, one, one._replace(beat_at=T + 2)):
            await store.put_worker(worker)
        assert await other.workers() == [one._replace(beat_at=T + 2), two]
        await other.remove_worker("w1")
        await other.remove_worker("unknown")
        assert await store.workers() == [two]
        await store.put_worker(one._replace(beat_at=two.beat_at + FORGOTTEN_US))
        await store.put_worker(one._replace(beat_at=two.beat_at + FORGOTTEN_US + 1))
        assert [worker.name for worker in await store.workers()] == ["w1"]
