"""Reading: runs, journals, attempts, lines and tags, one by one."""

from __future__ import annotations

from ripresa.ports.rows import LogLine
from ripresa.testing.store_contract.base import Promises
from ripresa.testing.store_contract.rows import (
    A,
    B,
    C,
    D,
    Engine,
    T,
    attempt,
    change,
    event,
    ids,
    new_run,
)


class Reading(Promises):
    """What holds of what is asked for one by one."""

    async def test_a_run_is_found_by_id_or_by_key(self, engine: Engine) -> None:
        await engine.commit(runs=[new_run(A, key="order-1"), new_run(B, key=A)])
        for ref, found in (("order-1", A), (A, A), (B, B)):
            run = await engine.store.get_run(ref)
            assert run is not None
            assert run.id == found
        assert await engine.store.get_run("order") is None

    async def test_the_journal_is_read_in_parts(self, engine: Engine) -> None:
        await engine.commit(history=[event(A, seq) for seq in range(1, 6)] + [event(B, 1)])
        assert [step.seq for step in await engine.store.history(A)] == [1, 2, 3, 4, 5]
        assert [step.seq for step in await engine.store.history(A, after=3)] == [4, 5]
        assert [step.seq for step in await engine.store.history(A, after=1, limit=2)] == [2, 3]
        assert await engine.store.history("unknown") == []

    async def test_attempts_are_told_by_start(self, engine: Engine) -> None:
        tried = [attempt(A, "y", 1, started_at=T), attempt(A, "x", 1, started_at=T + 1), attempt(A, "x", 2)]
        await engine.commit(attempts=tried[::-1])
        assert await engine.store.attempts(A) == tried

    async def test_lines_are_numbered_in_order_of_writing(self, engine: Engine) -> None:
        lines = [LogLine(A, operation, 1, T, "stdout", None, f"{n}") for n, operation in enumerate("xyx")]
        await engine.commit(logs=[lines[0], lines[1]._replace(run=B)])
        await engine.commit(logs=lines[1:])
        logged = await engine.store.logs(A)
        numbers = [number for number, _ in logged]
        assert [line for _, line in logged] == lines
        assert numbers == sorted(set(numbers))
        assert await engine.store.logs(A, after=numbers[0]) == logged[1:]
        assert await engine.store.logs(A, operation="x", after=numbers[0]) == logged[2:]

    async def test_a_tag_has_its_last_value(self, engine: Engine) -> None:
        await engine.commit(runs=[new_run(A)], tags=[(A, "b", "1"), (A, "a", "1"), (A, "b", "2")])
        await engine.commit(tags=[(A, "a", "3")])
        assert await engine.store.tags(A) == {"a": "3", "b": "2"}
        assert await ids(engine.store, tags=(("a", "1"),)) == []

    async def test_children_are_told_oldest_first(self, engine: Engine) -> None:
        await engine.commit(runs=[new_run(C, parent=A), new_run(B, parent=A), new_run(A), new_run(D, parent=C)])
        assert [run.id for run in await engine.store.children(A)] == [B, C]

    async def test_runs_are_counted_by_status(self, engine: Engine) -> None:
        await engine.commit(runs=[new_run(A), new_run(B), new_run(C)])
        await engine.commit(changes=[change(A, "succeeded")])
        assert await engine.store.count_runs() == {"running": 2, "succeeded": 1}

    async def test_statuses_of_many_runs_at_once(self, engine: Engine) -> None:
        await engine.commit(runs=[new_run(A, status="waiting"), new_run(B)])
        assert await engine.store.statuses([A, B, C]) == {A: "waiting", B: "running"}
        assert await engine.store.statuses([]) == {}

    async def test_runs_are_counted_by_version_of_their_definition(self, engine: Engine) -> None:
        await engine.commit(runs=[new_run(A), new_run(B), new_run(C, definition="bills"), new_run(D, version="v2")])
        await engine.commit(changes=[change(A, "succeeded")])
        orders = {("orders", "v1"): {"running": 1, "succeeded": 1}, ("orders", "v2"): {"running": 1}}
        assert await engine.store.count_by_version("orders") == orders
        assert await engine.store.count_by_version() == {**orders, ("bills", "v1"): {"running": 1}}
        assert await engine.store.count_by_version("nobody") == {}
