"""What every store promises, as tests.

    class TestMyStore(StoreContract):
        def make_store(self) -> Store:
            return MyStore(...)

All stores that one test makes must lie on one database, empty when the test begins: a second store
stands for another process.  Time is what the tests say it is; a store that renews leases by itself
must be told not to.  Needs pytest and pytest-asyncio in its auto mode.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from ripresa.contracts.errors import EngineFenced, RunFinished, RunNotFound, StoreError, StoreInUse
from ripresa.ports.store import (
    Attempt,
    Batch,
    Definition,
    HistoryEvent,
    Lease,
    LogLine,
    Message,
    NewRun,
    Outgoing,
    Quality,
    Ready,
    RunChange,
    RunFilter,
    Store,
)

T = 1_700_000_000_000_000
"""The moment at which each test begins."""

LEASE = 3_000_000

LARGE = '"' + "é" * 200_000 + '"'
"""A payload that no row should hold: 400,002 bytes."""


def run_id(number: int) -> str:
    """An id; a higher number is a later one."""
    return f"{number:08x}-0000-7000-8000-000000000000"


A, B, C, D = (run_id(number) for number in range(1, 5))


def new_run(id: str, **fields: Any) -> NewRun:
    """A run in memory of no engine, unless the fields say otherwise."""
    given = NewRun(id, None, "orders", "v1", "running", 0, "[[], {}]", None, None, id, None, T)
    return given._replace(**fields)


def event(run: str, seq: int, **fields: Any) -> HistoryEvent:
    """An event of a step."""
    given = HistoryEvent(run, seq, "step_completed", T + seq, f"step#{seq}", "step", -seq, 1, T, "{}", None)
    return given._replace(**fields)


def attempt(run: str, operation: str, number: int, **fields: Any) -> Attempt:
    """An attempt that runs."""
    return Attempt(run, operation, number, "step", 1, T + number, "running")._replace(**fields)


def change(id: str, status: str, **fields: Any) -> RunChange:
    """A change that lets go of the run."""
    return RunChange(id, status, T + 9, None)._replace(**fields)


def message(id: str, run: str, **fields: Any) -> Message:
    """A signal."""
    return Message(id, run, "signal", "go", '{"by": "hand"}', T + 5)._replace(**fields)


def measured(run: str, seq: int, **fields: Any) -> Quality:
    """What a step of a run measured, later with each event."""
    given = Quality(run, seq, "orders", "load", f"load#{seq}", T + seq, "succeeded", '{"record_count": 1}')
    return given._replace(**fields)


class Engine:
    """A store with a lease on it, which numbers its batches."""

    def __init__(self, store: Store, lease: Lease) -> None:
        self.store = store
        self.lease = lease
        self.last = 0

    @classmethod
    async def start(cls, store: Store, *, at: int = T) -> Engine:
        return cls(store, await store.acquire(now=at, lease_us=LEASE, who="contract"))

    async def commit(self, *, at: int = T, **rows: Any) -> frozenset[str]:
        self.last += 1
        return await self.store.commit(self.lease, Batch(self.last, at, **rows), lease_us=LEASE)

    async def claim_due(self, *, now: int = T + 10, limit: int = 100) -> list[str]:
        return await self.store.claim_due(self.lease, now=now, limit=limit)


async def ids(store: Store, **where: Any) -> list[str]:
    """Ids of the first hundred runs that fit."""
    return [run.id for run in (await store.list_runs(RunFilter(**where), limit=100)).runs]


class StoreContract:
    """The promises; a subclass says how a store is made."""

    def make_store(self) -> Store:
        """Make a store on this test's database."""
        raise NotImplementedError

    @pytest_asyncio.fixture
    async def store(self) -> AsyncIterator[Store]:
        """A store, open."""
        store = self.make_store()
        await store.open()
        yield store
        await store.close()

    @pytest_asyncio.fixture
    async def other(self, store: Store) -> AsyncIterator[Store]:
        """Another process's store on the same database, open."""
        other = self.make_store()
        await other.open()
        yield other
        await other.close()

    @pytest_asyncio.fixture
    async def engine(self, store: Store) -> Engine:
        """The owner."""
        return await Engine.start(store)

    # -- opening and closing ------------------------------------------------------------------------------------------

    def test_a_store_says_how_often_to_ask_whether_others_wrote(self) -> None:
        poll_s = self.make_store().poll_s
        assert poll_s is None or poll_s > 0

    async def test_opening_or_closing_twice_is_fine(self) -> None:
        store = self.make_store()
        await store.close()
        await store.open()
        await store.open()
        await store.close()
        await store.close()

    async def test_another_process_reads_what_was_written(self, engine: Engine, other: Store) -> None:
        await engine.commit(runs=[new_run(A)], history=[event(A, 1)])
        assert await other.history(A) == [event(A, 1)]

    async def test_a_sound_store_has_nothing_to_report(self, engine: Engine) -> None:
        await engine.commit(runs=[new_run(A, input=LARGE)], history=[event(A, 1)], attempts=[attempt(A, "x", 1)])
        assert await engine.store.check() == []

    # -- batches ------------------------------------------------------------------------------------------------------

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

    # -- runs that are refused ----------------------------------------------------------------------------------------

    async def test_a_run_whose_key_exists_is_refused_with_all_that_is_its_own(self, engine: Engine) -> None:
        await engine.commit(runs=[new_run(A, key="order-1")])
        refused = await engine.commit(
            runs=[new_run(B, key="order-1"), new_run(C, key="order-2")],
            changes=[change(B, "failed"), change(C, "waiting")],
            history=[event(B, 1), event(C, 1)],
            attempts=[attempt(B, "x", 1)],
            ready=[Ready(B, T), Ready(C, T)],
            messages=[message("m1", B)],
            outgoing=[Outgoing("o1", B, "x", "{}", T)],
            logs=[LogLine(B, None, None, T, "stdout", None, "line")],
            tags=[(B, "name", "value"), (C, "name", "value")],
            quality=[measured(B, 1), measured(C, 1)],
        )
        store = engine.store
        assert refused == {B}
        assert await store.get_run(B) is None
        assert not await store.history(B)
        assert not await store.attempts(B)
        assert not await store.messages(B)
        assert not await store.outgoing(limit=9)
        assert not await store.logs(B)
        assert not await store.tags(B)
        assert [row.run for row in await store.quality("orders", limit=9)] == [C]
        assert await engine.claim_due() == [C]
        assert await store.history(C) == [event(C, 1)]
        assert await store.last_batch(engine.lease) == 2

    async def test_of_two_new_runs_with_one_key_the_first_stays(self, engine: Engine) -> None:
        refused = await engine.commit(runs=[new_run(A, key="k"), new_run(B, key="k"), new_run(C)])
        assert refused == {B}
        assert await ids(engine.store) == [C, A]

    async def test_a_run_whose_id_exists_is_refused(self, engine: Engine) -> None:
        await engine.commit(runs=[new_run(A)], history=[event(A, 1)])
        assert await engine.commit(runs=[new_run(A, definition="x")], history=[event(A, 1)]) == {A}
        run = await engine.store.get_run(A)
        assert run is not None
        assert run.definition == "orders"

    # -- messages -----------------------------------------------------------------------------------------------------

    async def test_messages_wait_in_order_of_arrival(self, engine: Engine) -> None:
        await engine.commit(runs=[new_run(A)], messages=[message("m3", A, at=T + 9), message("m1", A)])
        await engine.store.send(message("m2", A, at=T))
        assert [waiting.id for waiting in await engine.store.messages(A)] == ["m3", "m1", "m2"]

    async def test_a_message_sent_twice_is_kept_once(self, engine: Engine) -> None:
        await engine.commit(runs=[new_run(A)], messages=[message("m1", A), message("m1", A, data="2")])
        await engine.commit(messages=[message("m1", A, data="3")])
        await engine.store.send(message("m1", A, data="4"))
        assert await engine.store.messages(A) == [message("m1", A)]

    async def test_a_message_sent_again_after_it_was_taken_is_still_known(self, engine: Engine) -> None:
        await engine.commit(runs=[new_run(A)], messages=[message("m1", A), message("m2", A)])
        await engine.commit(taken=["m1"], history=[event(A, 1)])
        await engine.commit(messages=[message("m1", A)])
        await engine.store.send(message("m1", A))
        assert await engine.store.messages(A) == [message("m2", A)]
        assert await engine.store.next_due() is None  # nothing new: nobody is woken

    async def test_a_message_that_nobody_sent_may_be_taken(self, engine: Engine) -> None:
        await engine.commit(runs=[new_run(A)], taken=["m1"])
        await engine.commit(messages=[message("m1", A)])
        assert await engine.store.messages(A) == [message("m1", A)]

    async def test_a_message_may_be_taken_by_the_batch_that_brings_it(self, engine: Engine) -> None:
        await engine.commit(runs=[new_run(A)], messages=[message("m1", A)], taken=["m1"])
        assert not await engine.store.messages(A)

    async def test_a_message_in_a_batch_makes_nothing_ready(self, engine: Engine) -> None:
        await engine.commit(runs=[new_run(A)], messages=[message("m1", A)])
        assert await engine.store.next_due() is None

    async def test_an_event_to_publish_is_kept_until_it_is_published(self, engine: Engine) -> None:
        first, second, third = (Outgoing(f"o{3 - n}", A, "x", "{}", T) for n in range(3))
        await engine.commit(outgoing=[first, second])
        await engine.commit(outgoing=[first, third])
        assert await engine.store.outgoing(limit=2) == [first, second]
        await engine.store.published([first.id, "unknown"])
        await engine.store.published([])
        assert await engine.store.outgoing(limit=9) == [second, third]

    # -- owning -------------------------------------------------------------------------------------------------------

    async def test_each_owner_has_a_higher_epoch(self, store: Store) -> None:
        leases = []
        for _ in range(3):
            leases.append(await store.acquire(now=T, lease_us=LEASE, who="contract"))
            await store.release(leases[-1])
        assert leases[0].epoch < leases[1].epoch < leases[2].epoch
        assert len({lease.engine for lease in leases}) == 3

    async def test_a_store_has_one_owner(self, engine: Engine, other: Store) -> None:
        with pytest.raises(StoreInUse, match="contract"):
            await other.acquire(now=T + LEASE - 1, lease_us=LEASE, who="second")
        with pytest.raises(StoreInUse):
            await engine.store.acquire(now=T, lease_us=LEASE, who="the same again")

    async def test_a_lease_ends_by_itself(self, engine: Engine, other: Store) -> None:
        taken = await other.acquire(now=T + LEASE, lease_us=LEASE, who="second")
        assert taken.epoch > engine.lease.epoch

    async def test_a_commit_prolongs_the_lease(self, engine: Engine, other: Store) -> None:
        await engine.commit(at=T + LEASE - 1)
        with pytest.raises(StoreInUse):
            await other.acquire(now=T + LEASE, lease_us=LEASE, who="second")

    async def test_renewing_prolongs_the_lease(self, engine: Engine, other: Store) -> None:
        await engine.store.renew(engine.lease, now=T + LEASE - 1, lease_us=LEASE)
        with pytest.raises(StoreInUse):
            await other.acquire(now=T + LEASE, lease_us=LEASE, who="second")

    async def test_a_lease_that_ran_out_may_be_prolonged_while_nobody_took_over(
        self, engine: Engine, other: Store
    ) -> None:
        await engine.store.renew(engine.lease, now=T + 9 * LEASE, lease_us=LEASE)
        with pytest.raises(StoreInUse):
            await other.acquire(now=T + 10 * LEASE - 1, lease_us=LEASE, who="second")

    async def test_closing_a_store_does_not_give_up_the_lease(self, other: Store) -> None:
        store = self.make_store()
        await store.open()
        await Engine.start(store)
        await store.close()
        with pytest.raises(StoreInUse):
            await other.acquire(now=T + 1, lease_us=LEASE, who="second")

    async def test_an_owner_that_was_taken_over_writes_nothing(self, engine: Engine, other: Store) -> None:
        await engine.commit(runs=[new_run(A)], ready=[Ready(A, T)])
        second = await Engine.start(other, at=T + LEASE)
        store, lease = engine.store, engine.lease
        with pytest.raises(EngineFenced):
            await engine.commit(history=[event(A, 1)], runs=[new_run(B)])
        for verb in (
            store.renew(lease, now=T + LEASE, lease_us=LEASE),
            store.last_batch(lease),
            store.adopt(lease, now=T),
            store.claim_due(lease, now=T + 9, limit=1),
            store.claim(lease, A),
        ):
            with pytest.raises(EngineFenced):
                await verb
        await store.release(lease)  # not his to end
        await second.commit(history=[event(A, 1, data="2")])
        assert await other.history(A) == [event(A, 1, data="2")]
        assert await other.get_run(B) is None
        assert await second.claim_due() == [A]

    async def test_an_owner_that_let_go_writes_nothing(self, engine: Engine) -> None:
        await engine.store.release(engine.lease)
        with pytest.raises(EngineFenced):
            await engine.commit(runs=[new_run(A)])
        with pytest.raises(EngineFenced):
            await engine.store.renew(engine.lease, now=T, lease_us=LEASE)
        assert await engine.store.get_run(A) is None

    async def test_a_store_that_was_let_go_of_is_free_at_once(self, engine: Engine, other: Store) -> None:
        await engine.store.release(engine.lease)
        await other.acquire(now=T, lease_us=LEASE, who="second")

    async def test_the_last_batch_tells_whether_a_broken_commit_took_effect(self, engine: Engine, other: Store) -> None:
        assert await engine.store.last_batch(engine.lease) == 0
        await engine.commit()
        await engine.commit()
        assert await engine.store.last_batch(engine.lease) == 2
        second = await other.acquire(now=T + LEASE, lease_us=LEASE, who="second")
        assert await other.last_batch(second) == 0

    async def test_the_owner_is_told(self, store: Store) -> None:
        assert await store.engine() is None
        engine = await Engine.start(store)
        told = await store.engine()
        assert told is not None
        assert {"engine", "epoch", "who", "lease_until", "host", "pid", "alive"} <= told.keys()
        assert (told["epoch"], told["who"], told["lease_until"]) == (engine.lease.epoch, "contract", T + LEASE)
        await store.release(engine.lease)
        told = await store.engine()
        assert told is not None
        assert told["alive"] is False

    # -- claiming -----------------------------------------------------------------------------------------------------

    async def test_the_highest_priority_is_claimed_first_then_the_oldest(self, engine: Engine) -> None:
        rows = [Ready(A, T + 3, 0), Ready(B, T + 2, 0), Ready(C, T + 4, 7), Ready(D, T + 1, -7)]
        await engine.commit(runs=[new_run(row.run) for row in rows], ready=rows)
        assert await engine.claim_due(limit=3) == [C, B, A]
        assert await engine.claim_due(limit=3) == [D]

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
        assert await other.adopt(second.lease, now=T) == [A, B]
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

    async def test_the_next_due_time_is_the_earliest_of_all_priorities(self, engine: Engine) -> None:
        assert await engine.store.next_due() is None
        await engine.commit(ready=[Ready(A, T + 5, 9), Ready(B, T + 3, -9), Ready(C, T + 4, 0)])
        assert await engine.store.next_due() == T + 3
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

    # -- adopting -----------------------------------------------------------------------------------------------------

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
        assert await other.adopt(second.lease, now=T + 7) == [A, B]
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
        await other.adopt(second.lease, now=T + 7)
        assert await other.attempts(A) == [failed, attempt(A, "x", 2, status="lost", finished_at=T + 7)]
        assert await other.attempts(B) == [elsewhere]

    async def test_a_queued_run_that_nothing_would_wake_is_adopted(self, engine: Engine) -> None:
        await engine.commit(runs=[new_run(A, status="queued"), new_run(B, status="queued")], ready=[Ready(A, T)])
        assert await engine.store.adopt(engine.lease, now=T) == [B]

    async def test_a_retry_that_was_claimed_but_not_taken_is_adopted(self, engine: Engine, other: Store) -> None:
        await engine.commit(runs=[new_run(A, status="failed"), new_run(B, status="failed")])
        await other.send(message("m1", A, kind="retry"))
        assert await engine.claim_due() == [A]
        second = await Engine.start(other, at=T + LEASE)
        assert await other.adopt(second.lease, now=T) == [A]

    async def test_a_run_that_was_let_go_of_after_it_was_claimed_for_a_message_is_adopted(
        self, engine: Engine, other: Store
    ) -> None:
        await engine.commit(runs=[new_run(A), new_run(B)])
        await other.send(message("m1", A))
        await other.send(message("m2", B))
        assert await engine.claim_due() == [A, B]
        await engine.commit(changes=[change(A, "waiting"), change(B, "paused")], ready=[Ready(B, T + 9)])
        second = await Engine.start(other, at=T + LEASE)
        assert await other.adopt(second.lease, now=T) == [A]

    async def test_an_ended_run_that_was_only_told_something_is_not_adopted(self, engine: Engine, other: Store) -> None:
        await engine.commit(runs=[new_run(A)])
        await other.send(message("m1", A))
        await engine.commit(changes=[change(A, "succeeded")])
        assert await engine.claim_due() == [A]
        second = await Engine.start(other, at=T + LEASE)
        assert await other.adopt(second.lease, now=T) == []

    async def test_adopting_twice_finds_the_same_runs(self, engine: Engine) -> None:
        await engine.commit(runs=[new_run(A, owner=engine.lease.engine)])
        assert await engine.store.adopt(engine.lease, now=T) == [A]
        assert await engine.store.adopt(engine.lease, now=T) == [A]

    # -- loading ------------------------------------------------------------------------------------------------------

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

    # -- reading ------------------------------------------------------------------------------------------------------

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

    async def test_runs_are_counted_by_version_of_their_definition(self, engine: Engine) -> None:
        await engine.commit(runs=[new_run(A), new_run(B), new_run(C, definition="bills"), new_run(D, version="v2")])
        await engine.commit(changes=[change(A, "succeeded")])
        orders = {("orders", "v1"): {"running": 1, "succeeded": 1}, ("orders", "v2"): {"running": 1}}
        assert await engine.store.count_by_version("orders") == orders
        assert await engine.store.count_by_version() == {**orders, ("bills", "v1"): {"running": 1}}
        assert await engine.store.count_by_version("nobody") == {}

    # -- lists --------------------------------------------------------------------------------------------------------

    async def test_each_filter_lists_the_runs_that_fit_newest_first(self, engine: Engine) -> None:
        await engine.commit(
            runs=[
                new_run(A, key="order-1"),
                new_run(B, key="order-2", status="failed", parent=A),
                new_run(C, key="bill-1", definition="bills", parent=A),
                new_run(D, status="waiting", definition="bills"),
            ],
            tags=[(A, "region", "eu"), (B, "region", "eu"), (D, "region", "us"), (B, "tier", "1")],
        )
        store = engine.store
        assert await ids(store) == [D, C, B, A]
        assert await ids(store, status=("running",)) == [C, A]
        assert await ids(store, status=("failed", "waiting", "running", "failed")) == [D, C, B, A]
        assert await ids(store, definition="bills") == [D, C]
        assert await ids(store, parent=A) == [C, B]
        assert await ids(store, tags=(("region", "eu"),)) == [B, A]
        assert await ids(store, tags=(("region", "eu"), ("tier", "1"))) == [B]
        assert await ids(store, key_prefix="order-") == [A, B]  # this one in order of keys
        assert await ids(store, status=("nonsense",)) == []

    async def test_every_filter_that_is_given_must_fit(self, engine: Engine) -> None:
        fits = {"key": "order-1", "status": "failed", "parent": D, "definition": "orders"}
        misses = [{"key": "x"}, {"status": "waiting"}, {"parent": C}, {"definition": "bills"}]
        runs = [new_run(A, **fits)]
        for number, miss in enumerate(misses, start=5):
            # Keys are unique: only one run can fit in all but another thing than the key.
            runs.append(new_run(run_id(number), **{**fits, "key": f"order-1-{number}", **miss}))
        runs.append(new_run(run_id(99), **{**fits, "key": "order-99"}))  # all but the tag
        tags = [(run.id, "region", "us" if run.id == run_id(99) else "eu") for run in runs]
        await engine.commit(runs=runs, tags=tags)
        where: dict[str, Any] = {
            "status": ("failed",),
            "definition": "orders",
            "parent": D,
            "tags": (("region", "eu"),),
            "key_prefix": "order-",
        }
        assert await ids(engine.store, **where) == [A]
        for left_out in where:
            found = await ids(engine.store, **{name: value for name, value in where.items() if name != left_out})
            assert A in found
            assert len(found) == 2

    @pytest.mark.parametrize(
        "where",
        [
            RunFilter(),
            RunFilter(status=("running", "failed")),
            RunFilter(definition="orders"),
            RunFilter(parent=A),
            RunFilter(tags=(("region", "eu"),)),
            RunFilter(key_prefix="k"),
        ],
    )
    async def test_pages_neither_repeat_nor_leave_out_a_run(self, engine: Engine, where: RunFilter) -> None:
        many = [run_id(number) for number in range(100, 125)]
        fields = [{"key": f"k{run}", "parent": A, "status": "failed" if run > many[12] else "running"} for run in many]
        await engine.commit(
            runs=[new_run(run, **given) for run, given in zip(many, fields, strict=True)],
            tags=[(run, "region", "eu") for run in many],
        )
        seen: list[str] = []
        page = await engine.store.list_runs(where, limit=10)
        newer = run_id(999)
        await engine.commit(runs=[new_run(newer, key="k", parent=A)], tags=[(newer, "region", "eu")])
        for size in (10, 5):
            assert len(page.runs) == 10
            seen += [run.id for run in page.runs]
            assert page.cursor is not None
            page = await engine.store.list_runs(where, limit=size, cursor=page.cursor)
        seen += [run.id for run in page.runs]
        assert page.cursor is None  # a full page, and the last one
        assert seen == (many if where.key_prefix else many[::-1])

    async def test_a_cursor_that_was_altered_or_is_anothers_is_refused(self, engine: Engine) -> None:
        await engine.commit(runs=[new_run(A), new_run(B), new_run(C)])
        cursor = (await engine.store.list_runs(RunFilter(), limit=1)).cursor
        assert cursor is not None
        altered = ("A" if cursor[0] != "A" else "B") + cursor[1:]
        for wrong in (altered, cursor[:-3], cursor + "!", "", "é", "AAAA", run_id(1)):
            with pytest.raises(ValueError, match="first page without a cursor"):
                await engine.store.list_runs(RunFilter(), limit=1, cursor=wrong)
        with pytest.raises(ValueError, match="first page without a cursor"):
            await engine.store.list_runs(RunFilter(definition="orders"), limit=1, cursor=cursor)

    # -- large payloads -----------------------------------------------------------------------------------------------

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

    # -- from outside -------------------------------------------------------------------------------------------------

    async def test_a_message_from_outside_wakes_its_run(self, engine: Engine, other: Store) -> None:
        await engine.commit(
            runs=[new_run(A, priority=1), new_run(B, priority=2)], ready=[Ready(A, T + 999), Ready(B, T + 999)]
        )
        await other.send(message("m1", A, at=T + 5))
        await other.send(message("m2", B, at=T + 6))
        await other.send(message("m3", B, at=T + 7))
        assert await engine.store.next_due() == T + 5
        assert await engine.claim_due(now=T + 6) == [B, A]

    async def test_only_a_run_that_exists_takes_messages(self, store: Store) -> None:
        with pytest.raises(RunNotFound):
            await store.send(message("m1", A))

    @pytest.mark.parametrize("status", ["succeeded", "failed", "cancelled"])
    async def test_a_run_that_has_ended_takes_no_message_but_a_retry(self, engine: Engine, status: str) -> None:
        await engine.commit(runs=[new_run(A, status=status)])
        with pytest.raises(RunFinished, match=status):
            await engine.store.send(message("m1", A))
        assert not await engine.store.messages(A)
        await engine.store.send(message("m1", A, kind="retry"))
        assert await engine.claim_due() == [A]

    async def test_a_run_may_be_submitted_without_an_engine(self, store: Store) -> None:
        run = new_run(A, key="order-1", status="queued", priority=5)
        definition = Definition("orders", "v1", None, "yaml", "{}", "{}", None, T)
        assert await store.submit(run, event(A, 1), {"region": "eu", "tier": "1"}, definition) is True
        assert await store.definitions() == [definition]
        assert await store.submit(new_run(B, key="order-1"), event(B, 1), {"region": "us"}) is False
        assert await store.submit(new_run(A), event(A, 2), {}) is False
        assert await ids(store) == [A]
        assert await store.history(A) == [event(A, 1)]
        assert await store.history(B) == []
        assert await store.tags(A) == {"region": "eu", "tier": "1"}
        assert await store.next_due() == T
        engine = await Engine.start(store)
        assert await engine.claim_due() == [A]

    async def test_what_another_process_writes_is_noticed_once(self, engine: Engine, other: Store) -> None:
        await engine.store.changed()
        await other.changed()
        await engine.commit(runs=[new_run(A)])
        assert await engine.store.changed() is False  # our own
        assert await other.changed() is True
        assert await other.changed() is False
        await other.send(message("m1", A))
        assert await engine.store.changed() is True
        assert await engine.store.changed() is False
