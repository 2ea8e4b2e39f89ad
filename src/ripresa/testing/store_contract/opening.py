"""Opening and closing: two stores on one database, and what a test of them begins with."""

from __future__ import annotations

from ripresa.ports.store import Store
from ripresa.testing.store_contract.base import Promises
from ripresa.testing.store_contract.rows import (
    LARGE,
    A,
    Engine,
    attempt,
    event,
    new_run,
)


class Opening(Promises):
    """What holds of any store before and after its work."""

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
