"""The journal seen from outside: a process that has no part in a run reads what the store holds of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ripresa.ports.rows import HistoryEvent
from ripresa.ports.store import Store
from ripresa.stores import open_store


class Journal:
    """The events of one run, as far as they have been read."""

    def __init__(self, store: Store, run_id: str) -> None:
        self._store = store
        self._run_id = run_id
        self.events: list[HistoryEvent] = []

    @classmethod
    @asynccontextmanager
    async def of(cls, url: str, run_id: str) -> AsyncIterator[Journal]:
        """The journal of this run, which need not exist yet, in the store at this address."""
        store = open_store(url)
        await store.open()
        try:
            yield cls(store, run_id)
        finally:
            await store.close()

    async def read(self) -> None:
        """Read on, to the end as it is now."""
        run = await self._store.get_run(self._run_id)
        if run is not None:
            self.events += await self._store.history(run.id, after=self.events[-1].seq if self.events else 0)

    def done(self, step: str) -> list[HistoryEvent]:
        """The times that a step of this name was recorded as done."""
        return [event for event in self.events if event.kind == "step_completed" and event.name == step]

    def operations(self) -> frozenset[str]:
        """All steps recorded as done, by their identity within the run."""
        return frozenset(event.operation or "" for event in self.events if event.kind == "step_completed")

    def has(self, kind: str) -> bool:
        """Whether something of this kind has happened."""
        return any(event.kind == kind for event in self.events)
