"""Forgetting: runs that have ended go wholly, and no others do."""

from __future__ import annotations

from typing import Any

import pytest

from ripresa.ports.effects import Effect
from ripresa.ports.rows import LogLine, Outgoing, Ready
from ripresa.ports.store import Store
from ripresa.ports.tasks import Task
from ripresa.stores.ages import first_id_at
from ripresa.testing.store_contract.base import Promises
from ripresa.testing.store_contract.rows import (
    LARGE,
    A,
    B,
    C,
    D,
    Engine,
    T,
    attempt,
    change,
    event,
    measured,
    message,
    new_run,
    run_id,
)

_ENDED = ("succeeded", "failed", "cancelled")
_LATER = 4_102_444_800_000_000  # 2100: the ids of the rows here are of another time than T


async def _may_go(
    store: Store, *, before: int = _LATER, statuses: tuple[str, ...] = _ENDED, limit: int = 9
) -> list[str]:
    return await store.ended(before=before, statuses=statuses, limit=limit)


class Retention(Promises):
    """What holds of runs that are forgotten."""

    async def test_runs_that_have_ended_may_go_oldest_first(self, engine: Engine) -> None:
        await engine.commit(runs=[new_run(run) for run in (A, B, C, D)])
        await engine.commit(
            changes=[
                change(C, "succeeded", finished_at=T),
                change(A, "failed", finished_at=T + 1),
                change(B, "waiting"),
                change(D, "cancelled", finished_at=T + 2),
            ]
        )
        assert await _may_go(engine.store) == [A, C, D]
        assert await _may_go(engine.store, limit=2) == [A, C]
        assert await _may_go(engine.store, statuses=("succeeded", "cancelled")) == [C, D]
        assert await engine.store.ended(before=_LATER, statuses=_ENDED, limit=9, after=A) == [C, D]

    async def test_only_those_that_ended_before_a_time(self, engine: Engine) -> None:
        old, young = first_id_at(T), first_id_at(T + 50_000)
        await engine.commit(runs=[new_run(old), new_run(young)])
        await engine.commit(
            changes=[
                change(old, "succeeded", finished_at=T + 90_000),
                change(young, "succeeded", finished_at=T + 60_000),
            ]
        )
        assert await _may_go(engine.store, before=T + 60_000) == []
        assert await _may_go(engine.store, before=T + 70_000) == [young]
        assert await _may_go(engine.store, before=T + 100_000) == [old, young]

    async def test_all_that_is_theirs_goes_and_nothing_else(self, engine: Engine) -> None:
        rows: dict[str, dict[str, Any]] = {}
        for run in (A, B):
            rows[run] = {
                "runs": [new_run(run, key=f"key-{run}", input=LARGE)],
                "history": [event(run, 1), event(run, 2, data=LARGE)],
                "attempts": [attempt(run, "x", 1, status="failed")],
                "messages": [message(f"m1-{run}", run), message(f"m2-{run}", run)],
                "outgoing": [Outgoing(f"o-{run}", run, "t", "{}", T)],
                "logs": [LogLine(run, "x", 1, T, "stdout", None, "said")],
                "tags": [(run, "region", "eu")],
                "quality": [measured(run, 2)],
                "tasks": [Task(f"t-{run}", run, "x", 1, "x", "celery", "slow", "{}", T)],
                "effects": [Effect(f"key:{run}", run, f"{run}:x", 1, T, "1")],
            }
            await engine.commit(**rows[run])
            await engine.commit(taken=[f"m1-{run}"], changes=[change(run, "succeeded", finished_at=T)])
        store = engine.store
        assert await store.remove([A, C]) == [A]
        assert await store.get_run(A) is None
        assert await store.get_run(f"key-{A}") is None
        assert await store.history(A) == []
        assert await store.attempts(A) == []
        assert await store.messages(A) == []
        assert await store.logs(A) == []
        assert await store.tags(A) == {}
        assert await store.effect(f"key:{A}") is None
        assert [row.run for row in await store.quality(measured(A, 2).definition, limit=9)] == [B]
        assert [row.run for row in await store.tasks()] == [B]
        assert [row.run for row in await store.outgoing(limit=9)] == [A, B]
        kept = await store.get_run(f"key-{B}")
        assert kept is not None
        assert kept.input == LARGE
        assert [one.data for one in await store.history(B)] == [event(B, 1).data, LARGE]
        assert [one.id for one in await store.messages(B)] == [f"m2-{B}"]
        assert await store.tags(B) == {"region": "eu"}
        assert await store.check() == []
        assert await engine.commit(runs=[new_run(C, key=f"key-{A}")]) == frozenset()

    @pytest.mark.parametrize("status", ["queued", "running", "waiting", "paused", "quarantined", "blocked"])
    async def test_open_runs_stay(self, engine: Engine, status: str) -> None:
        await engine.commit(runs=[new_run(A, status=status)])
        assert await _may_go(engine.store) == []
        assert await engine.store.remove([A]) == []
        assert await engine.store.get_run(A) is not None

    async def test_runs_that_are_asked_to_be_tried_again_stay(self, engine: Engine, other: Store) -> None:
        await engine.commit(runs=[new_run(A), new_run(B)])
        await engine.commit(changes=[change(run, "failed", finished_at=T) for run in (A, B)])
        await other.send(message("m", A, kind="retry"))
        assert await _may_go(engine.store) == [B]
        assert await engine.claim_due() == [A]
        await engine.commit(taken=["m"])
        assert await engine.store.remove([A, B]) == [B]

    async def test_descendants_of_open_runs_stay(self, engine: Engine) -> None:
        await engine.commit(
            runs=[new_run(A), new_run(B, parent=A), new_run(C, parent=B), new_run(D, parent=run_id(99))]
        )
        ended = [change(run, "succeeded", finished_at=T) for run in (B, C, D)]
        await engine.commit(changes=ended, ready=[Ready(A, T)])
        assert await _may_go(engine.store) == [D]
        assert await engine.store.remove([B, C]) == []
        await engine.commit(changes=[change(A, "succeeded", finished_at=T)])
        assert await _may_go(engine.store) == [A, B, C, D]
        assert await engine.store.remove([A, B, C, D]) == [A, B, C, D]
