"""The client: a process of its own that sends to runs through the store, whoever owns it just now, or nobody.

It is not killed.  What it sends has an id made from the run, and goes twice: a message is taken once all the same.
When the store is out of reach it tries again.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time
from contextlib import suppress
from pathlib import Path

from ripresa.contracts.errors import RunFinished, StoreError, StoreUnavailable
from ripresa.engine.sources import SystemSources
from ripresa.kernel import history as h
from ripresa.ports.reading import RunFilter
from ripresa.ports.rows import HistoryEvent, Message, NewRun, Run
from ripresa.ports.store import Store
from ripresa.stores import open_store
from ripresa.testing.torture import afar, ledger, program

OPEN = ("queued", "running", "waiting", "paused", "quarantined", "blocked")
STOPPED = {"stopped", *afar.STOPPED}
SUBMITTED_FROM = 1_000_000_000
_LOOK_S = 0.03
_AGAIN_S = 0.1


class Client:
    """Looks after open runs, and submits new ones."""

    def __init__(self, store: Store, stop: Path, active: int, having: list[str]) -> None:
        self._store = store
        self._stop = stop
        self._active = active
        self._having = having
        self._sent: set[tuple[str, str]] = set()
        self._submitted = SUBMITTED_FROM
        self._ids = SystemSources()

    async def serve(self) -> None:
        """For ever."""
        parent = os.getppid()
        while os.getppid() == parent:
            try:
                await self._look()
            except StoreUnavailable:
                await asyncio.sleep(_AGAIN_S)
            await asyncio.sleep(_LOOK_S)

    async def _look(self) -> None:
        page = await self._store.list_runs(RunFilter(status=OPEN), limit=500)
        for run in page.runs:
            await self._look_after(run)
        if not self._stop.exists() and len(page.runs) < self._active:
            await self._submit()

    async def _look_after(self, run: Run) -> None:
        dice = random.Random(run.id)
        age_s = time.time() - run.created_at / 1e6
        if run.status == "quarantined":  # five losses in a row: a person looks at it and lets it go on
            await self._send(run, "release", f"release-{run.updated_at}")
        if run.definition == "signalled":
            for index in range(3):
                await self._send(run, "signal", f"go-{index}", name="go", data=str(index))
        elif run.definition in STOPPED and age_s > dice.random() * 0.5:
            await self._send(run, "cancel", "cancel")
        elif run.definition == "halting":
            if age_s > dice.random() * 0.3:
                await self._send(run, "pause", "pause")
            if age_s > 0.5:
                await self._send(run, "resume", "resume")

    async def _send(self, run: Run, kind: str, ref: str, *, name: str | None = None, data: str | None = None) -> None:
        if (run.id, ref) in self._sent:
            return
        message = Message(f"{run.id}-{ref}", run.id, kind, name, data, time.time_ns() // 1000)
        with suppress(RunFinished):  # between our look and our letter
            await self._store.send(message)
            await self._store.send(message)
        self._sent.add((run.id, ref))
        ledger.note("sent", run=run.id, ref=ref)

    async def _submit(self) -> None:
        """The next run; one whose fate is not known is submitted again, under the same id."""
        number = self._submitted
        workflow = program.workflow_from_outside(number, self._having)
        now = time.time_ns() // 1000
        run_id = self._ids.new_id()
        text = workflow.encode((number,), {})
        key = f"submitted-{number}"
        new = NewRun(run_id, key, workflow.name, workflow.version, "queued", 0, text, None, None, run_id, None, now)
        first = HistoryEvent(run_id, 1, h.RUN_STARTED, now, None, workflow.name, None, None, None, None, None)
        if not await self._store.submit(new, first, {}):
            known = await self._store.get_run(key)
            assert known is not None
            run_id = known.id
        ledger.note("ack", run=run_id, id=key, number=number)
        self._submitted += 1


async def main(url: str, stop: Path, active: int, having: list[str]) -> None:
    """Serve until killed."""
    store = open_store(url)
    while True:
        try:
            await store.open()
        except StoreError:
            await asyncio.sleep(_AGAIN_S)
        else:
            break
    await Client(store, stop, active, having).serve()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]))
