"""Loading: a run comes with all that it needs to go on, however large."""

from __future__ import annotations

from ripresa.ports.reading import RunFilter
from ripresa.ports.store import Store
from ripresa.testing.store_contract.base import Promises
from ripresa.testing.store_contract.rows import (
    LARGE,
    A,
    B,
    C,
    Engine,
    T,
    attempt,
    change,
    event,
    message,
    new_run,
    run_id,
)


class Loading(Promises):
    """What holds of a run that is brought into memory."""

    async def test_runs_are_loaded_in_the_order_asked_for(self, engine: Engine) -> None:
        await engine.commit(runs=[new_run(A), new_run(B), new_run(C)], history=[event(B, 1), event(A, 1), event(B, 2)])
        loaded = await engine.store.load([C, "unknown", B, A])
        assert [run.run.id for run in loaded] == [C, B, A]
        assert [run.history for run in loaded] == [[], [event(B, 1), event(B, 2)], [event(A, 1)]]
        assert [run.last_seq for run in loaded] == [0, 2, 1]
        assert await engine.store.load([]) == []

    async def test_a_run_is_loaded_with_what_it_needs_to_go_on(self, engine: Engine) -> None:
        await engine.commit(
            runs=[new_run(A)],
            history=[event(A, 1, operation="done")],
            attempts=[
                attempt(A, "done", 1, status="failed"),
                attempt(A, "open", 2),
                attempt(A, "open", 1, status="failed"),
            ],
            messages=[message("m1", A), message("m2", A)],
            taken=["m1"],
        )
        (loaded,) = await engine.store.load([A])
        assert loaded.run == await engine.store.get_run(A)
        assert loaded.attempts == [attempt(A, "open", 1, status="failed"), attempt(A, "open", 2)]
        assert loaded.messages == [message("m2", A)]

    async def test_replay_begins_after_the_base(self, engine: Engine) -> None:
        await engine.commit(runs=[new_run(A)], history=[event(A, seq) for seq in (1, 2, 3)])
        await engine.commit(changes=[change(A, "running", base_seq=3)])
        (loaded,) = await engine.store.load([A])
        assert (loaded.history, loaded.last_seq) == ([], 3)
        await engine.commit(history=[event(A, 4)])
        (loaded,) = await engine.store.load([A])
        assert (loaded.history, loaded.last_seq) == ([event(A, 4)], 4)

    async def test_attempts_before_the_base_are_not_those_of_an_operation_of_the_same_name(
        self, engine: Engine
    ) -> None:
        """Even if no time passed between them, as under a virtual clock."""
        before = [attempt(A, name, 1, status="failed", started_at=T) for name in ("x", "y")]
        after = attempt(A, "x", 1, started_at=T, generation=2)
        await engine.commit(
            runs=[new_run(A)], attempts=before, history=[event(A, seq, operation=None) for seq in (1, 2)]
        )
        await engine.commit(changes=[change(A, "running", base_seq=2)])
        (loaded,) = await engine.store.load([A])
        assert loaded.attempts == []
        await engine.commit(attempts=[after])
        (loaded,) = await engine.store.load([A])
        assert loaded.attempts == [after]
        assert await engine.store.attempts(A) == [*before, after]

    async def test_an_operation_that_was_done_before_the_base_may_be_open_after_it(self, engine: Engine) -> None:
        tried = attempt(A, "x", 1, generation=1)
        await engine.commit(runs=[new_run(A)], history=[event(A, 1, operation="x")])
        await engine.commit(changes=[change(A, "running", base_seq=1)], attempts=[tried])
        (loaded,) = await engine.store.load([A])
        assert loaded.attempts == [tried]

    async def test_long_and_many_runs_are_loaded_whole(self, engine: Engine) -> None:
        many = [run_id(number) for number in range(1, 31)]
        await engine.commit(runs=[new_run(run) for run in many])
        await engine.commit(history=[event(A, seq) for seq in range(1, 3_001)])
        (loaded,) = await engine.store.load([A])
        assert loaded.history == [event(A, seq) for seq in range(1, 3_001)]
        assert [run.run.id for run in await engine.store.load(many[::-1])] == many[::-1]

    async def test_a_large_payload_is_read_back_whole(self, engine: Engine) -> None:
        store = engine.store
        events = [event(A, 1, data=LARGE), event(A, 2, error=LARGE)]
        await engine.commit(
            runs=[new_run(A, input=LARGE)],
            history=events,
            messages=[message("m1", A, data=LARGE)],
            changes=[change(A, "failed", output=LARGE, error=LARGE)],
        )
        run = await store.get_run(A)
        assert run is not None
        assert (run.input, run.output, run.error) == (LARGE, LARGE, LARGE)
        assert (await store.list_runs(RunFilter(), limit=1)).runs == [run]
        assert await store.history(A) == events
        assert [waiting.data for waiting in await store.messages(A)] == [LARGE]
        (loaded,) = await store.load([A])
        assert (loaded.run, loaded.history) == (run, events)
        assert [waiting.data for waiting in loaded.messages] == [LARGE]

    async def test_a_large_payload_may_come_from_outside(self, engine: Engine, other: Store) -> None:
        assert await other.submit(new_run(A, input=LARGE), event(A, 1, data=LARGE), {})
        (loaded,) = await engine.store.load([A])
        assert (loaded.run.input, loaded.history[0].data) == (LARGE, LARGE)
        larger = LARGE[:-1] + '!"'
        await other.send(message("m1", A, data=larger))
        assert [waiting.data for waiting in await engine.store.messages(A)] == [larger]
