"""Batches: written wholly or not at all, in order, and read back as they were."""

from __future__ import annotations

import pytest

from ripresa.contracts.errors import StoreError
from ripresa.ports.reading import RunFilter
from ripresa.ports.rows import Definition, LogLine, Outgoing, Ready
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


class Batches(Promises):
    """What holds of a batch."""

    async def test_what_was_committed_is_read_back_as_it_was(self, engine: Engine) -> None:
        odd = '"quotes \\" and \\u0000, 汉字, 😀"'
        line = LogLine(A, "step#1", 2, T, "stdout", "info", "a line with \x00 and\nanother")
        definition = Definition("orders", "v1", "1.0", "code", "{}", "{}", None, T)
        outgoing = Outgoing("o1", A, "run.started", odd, T)
        events = [event(A, 1, data=odd, fingerprint=-(2**63)), event(A, 2, data=None, error=odd, fingerprint=2**63 - 1)]
        await engine.commit(
            runs=[new_run(A, key="k1", input=odd, priority=-3, parent=B, parent_operation="child#1", memo="{}")],
            history=events,
            attempts=[attempt(A, "step#3", 1, error=odd, due=T + 7)],
            messages=[message("m1", A, data=odd)],
            outgoing=[outgoing],
            logs=[line],
            tags=[(A, "region", "süd")],
            definitions=[definition],
            quality=[measured(A, 1, metrics=odd)],
        )
        store = engine.store
        run = await store.get_run(A)
        assert run is not None
        assert run[:8] == (A, "k1", "orders", "v1", "running", -3, odd, None)
        assert run[8:] == (None, B, "child#1", A, None, 0, T, None, None, T, "{}")
        assert await store.history(A) == events
        assert await store.attempts(A) == [attempt(A, "step#3", 1, error=odd, due=T + 7)]
        assert await store.messages(A) == [message("m1", A, data=odd)]
        assert await store.outgoing(limit=10) == [outgoing]
        assert [logged for _, logged in await store.logs(A)] == [line]
        assert await store.tags(A) == {"region": "süd"}
        assert await store.definitions() == [definition]
        assert await store.quality("orders", limit=9) == [measured(A, 1, metrics=odd)]

    async def test_a_batch_is_written_wholly_or_not_at_all(self, engine: Engine) -> None:
        await engine.commit(runs=[new_run(A)], history=[event(A, 1)])
        with pytest.raises(StoreError):
            await engine.commit(
                runs=[new_run(B, key="k", input=LARGE)],
                changes=[change(A, "failed")],
                history=[event(B, 1), event(A, 2), event(A, 1)],  # the last one is there already
                attempts=[attempt(B, "x", 1)],
                ready=[Ready(B, T)],
                messages=[message("m1", A)],
                outgoing=[Outgoing("o1", A, "x", "{}", T)],
                logs=[LogLine(A, None, None, T, "stdout", None, "line")],
                tags=[(A, "name", "value")],
                definitions=[Definition("d", "v", None, "code", "{}", None, None, T)],
                quality=[measured(A, 2)],
            )
        store = engine.store
        assert [run.status for run in (await store.list_runs(RunFilter(), limit=9)).runs] == ["running"]
        assert await store.history(A) == [event(A, 1)]
        assert not await store.history(B)
        assert not await store.attempts(B)
        assert not await store.messages(A)
        assert not await store.outgoing(limit=9)
        assert not await store.logs(A)
        assert not await store.tags(A)
        assert not await store.definitions()
        assert not await store.quality("orders", limit=9)
        assert await store.next_due() is None
        assert await store.last_batch(engine.lease) == 1

    async def test_a_store_goes_on_after_a_batch_that_failed(self, engine: Engine) -> None:
        await engine.commit(runs=[new_run(A)], history=[event(A, 1)])
        with pytest.raises(StoreError):
            await engine.commit(history=[event(A, 1)])
        await engine.commit(history=[event(A, 2)])
        assert await engine.store.last_batch(engine.lease) == 3
        assert len(await engine.store.history(A)) == 2

    async def test_an_event_number_is_written_once(self, engine: Engine) -> None:
        with pytest.raises(StoreError):
            await engine.commit(history=[event(A, 1), event(A, 1)])
        assert not await engine.store.history(A)

    async def test_an_empty_batch_still_counts(self, engine: Engine) -> None:
        await engine.commit()
        assert await engine.store.last_batch(engine.lease) == 1

    async def test_a_batch_may_be_of_any_size(self, engine: Engine) -> None:
        many = [run_id(number) for number in range(1, 1_335)]  # 1024 + 256 + 32 + 16 + 4 + 2
        await engine.commit(
            runs=[new_run(run, key=run) for run in many],
            history=[event(run, 1) for run in many],
            attempts=[attempt(run, "x", 1) for run in many],
            ready=[Ready(run, T) for run in many],
            messages=[message(run, run) for run in many],
            tags=[(run, "n", run) for run in many],
        )
        await engine.commit(changes=[change(run, "waiting", output=run) for run in many], taken=many, unready=many[1:])
        loaded = await engine.store.load(many)
        assert [run.run.output for run in loaded] == many
        assert [run.history for run in loaded] == [[event(run, 1)] for run in many]
        assert [run.messages for run in loaded] == [[]] * len(many)
        assert await engine.claim_due(limit=2_000) == [A]

    async def test_a_change_leaves_what_it_does_not_name(self, engine: Engine) -> None:
        await engine.commit(runs=[new_run(A, owner=engine.lease.engine)])
        await engine.commit(changes=[change(A, "running", started_at=T + 1, owner=engine.lease.engine)])
        await engine.commit(changes=[change(A, "failed", output="1", error="2", finished_at=T + 2)])
        run = await engine.store.get_run(A)
        assert run is not None
        assert (run.status, run.started_at, run.finished_at, run.updated_at) == ("failed", T + 1, T + 2, T + 9)
        assert (run.input, run.output, run.error, run.version) == ("[[], {}]", "1", "2", "v1")
        assert run.owner is None  # said each time

    async def test_a_run_that_failed_may_be_opened_again(self, engine: Engine) -> None:
        await engine.commit(runs=[new_run(A)])
        await engine.commit(changes=[change(A, "failed", error="{}", finished_at=T + 2)])
        await engine.commit(changes=[change(A, "running", finished_at=-1)])
        run = await engine.store.get_run(A)
        assert run is not None
        assert (run.status, run.finished_at, run.error) == ("running", None, None)

    async def test_a_run_that_continues_as_new_has_a_new_base_input_and_version(self, engine: Engine) -> None:
        await engine.commit(runs=[new_run(A)])
        await engine.commit(changes=[change(A, "running", base_seq=7, input="[[1], {}]", version="v2")])
        run = await engine.store.get_run(A)
        assert run is not None
        assert (run.base_seq, run.input, run.version) == (7, "[[1], {}]", "v2")

    async def test_changes_to_one_run_take_effect_in_order(self, engine: Engine) -> None:
        await engine.commit(runs=[new_run(A), new_run(B)])
        await engine.commit(
            changes=[
                change(A, "waiting", output="1"),
                change(B, "waiting"),
                change(A, "running", error="2"),
                change(A, "succeeded", output="3"),
            ]
        )
        run = await engine.store.get_run(A)
        assert run is not None
        assert (run.status, run.output, run.error) == ("succeeded", "3", "2")

    async def test_a_change_to_a_run_that_does_not_exist_does_nothing(self, engine: Engine) -> None:
        await engine.commit(changes=[change(A, "failed")])
        assert await engine.store.get_run(A) is None

    async def test_a_run_may_be_changed_by_the_batch_that_creates_it(self, engine: Engine) -> None:
        await engine.commit(runs=[new_run(A)], changes=[change(A, "succeeded", output="1")])
        run = await engine.store.get_run(A)
        assert run is not None
        assert (run.status, run.output) == ("succeeded", "1")

    async def test_an_attempt_is_written_at_its_start_and_again_at_its_end(self, engine: Engine) -> None:
        failed = attempt(A, "x", 1, status="failed", finished_at=T + 3, error="{}", due=T + 4)
        await engine.commit(attempts=[attempt(A, "x", 1)])
        await engine.commit(attempts=[failed, attempt(A, "x", 2), attempt(A, "x", 2, status="succeeded")])
        assert await engine.store.attempts(A) == [failed, attempt(A, "x", 2, status="succeeded")]

    async def test_a_definition_is_kept_as_first_used(self, engine: Engine) -> None:
        first = Definition("orders", "v1", None, "code", "first", None, None, T + 5)
        await engine.commit(definitions=[first, first._replace(body="second")])
        await engine.commit(definitions=[first._replace(body="third"), first._replace(version="v0", created_at=T)])
        await engine.commit(definitions=[first._replace(name="bills", created_at=T + 9)])
        found = [(kept.name, kept.version, kept.body) for kept in await engine.store.definitions()]
        assert found == [("bills", "v1", "first"), ("orders", "v0", "first"), ("orders", "v1", "first")]

    async def test_quality_is_listed_newest_first_by_definition_and_step(self, engine: Engine) -> None:
        rows = [measured(run, seq) for run in (A, B) for seq in (1, 2)]
        other = measured(C, 1, step="clean", at=T + 9)
        await engine.commit(quality=[*rows[2:], measured(D, 1, definition="bills"), other])
        await engine.commit(quality=rows[:2])
        store = engine.store
        load = [measured(B, 2), measured(A, 2), measured(B, 1), measured(A, 1)]
        assert await store.quality("orders", "load", limit=9) == load
        assert await store.quality("orders", "load", limit=3) == load[:3]
        assert await store.quality("orders", limit=9) == [other, *load]
        assert await store.quality("orders", "load", limit=9, not_of=B) == [load[1], load[3]]
        assert await store.quality("orders", limit=9, not_of=C) == load
        assert await store.quality("orders", "unknown", limit=9) == []
        assert await store.quality("unknown", limit=9) == []
