"""The client: a process of its own that sends to runs through the store, whoever owns it just now, or nobody.

It is not killed.  What it sends has an id made from the run, and goes twice: a message is taken once all the same.
"""

import asyncio
import random
import sys
import time
from pathlib import Path

from ripresa.contracts.errors import RunFinished
from ripresa.engine.sources import SystemSources
from ripresa.kernel import history as h
from ripresa.ports.store import HistoryEvent, Message, NewRun, Run, RunFilter
from ripresa.stores.sqlite import SqliteStore
from tests.kill import ledger
from tests.kill.program import ACTIVE, KINDS, kind_of

OPEN = ("queued", "running", "waiting", "paused", "quarantined", "blocked")
SUBMITTED_FROM = 1_000_000


class Client:
    def __init__(self, store: SqliteStore, stop: Path) -> None:
        self.store = store
        self.stop = stop
        self.sent: set[tuple[str, str]] = set()
        self.submitted = SUBMITTED_FROM
        self.ids = SystemSources()

    async def serve(self) -> None:
        while True:
            page = await self.store.list_runs(RunFilter(status=OPEN), limit=500)
            for run in page.runs:
                await self.look_after(run)
            if not self.stop.exists() and len(page.runs) < ACTIVE:
                await self.submit()
            await asyncio.sleep(0.02)

    async def look_after(self, run: Run) -> None:
        dice = random.Random(run.id)
        age_s = time.time() - run.created_at / 1e6
        if run.status == "quarantined":  # five losses in a row: a person looks at it and lets it go on
            await self.send(run, "release", f"release-{run.updated_at}")
        if run.definition == "signalled":
            for index in range(3):
                await self.send(run, "signal", f"go-{index}", name="go", data=str(index))
        elif run.definition == "stopped" and age_s > dice.random() * 0.5:
            await self.send(run, "cancel", "cancel")
        elif run.definition == "halting":
            if age_s > dice.random() * 0.3:
                await self.send(run, "pause", "pause")
            if age_s > 0.5:
                await self.send(run, "resume", "resume")

    async def send(self, run: Run, kind: str, ref: str, *, name: str | None = None, data: str | None = None) -> None:
        if (run.id, ref) in self.sent:
            return
        message = Message(f"{run.id}-{ref}", run.id, kind, name, data, time.time_ns() // 1000)
        try:
            await self.store.send(message)
            await self.store.send(message)
        except RunFinished:
            pass  # between our look and our letter
        self.sent.add((run.id, ref))
        ledger.note("sent", run=run.id, ref=ref)

    async def submit(self) -> None:
        number, self.submitted = self.submitted, self.submitted + 1
        workflow = kind_of(number).workflow
        now = time.time_ns() // 1000
        run_id = self.ids.new_id()
        text = workflow.encode((number,), {})
        key = f"submitted-{number}"
        new = NewRun(run_id, key, workflow.name, workflow.version, "queued", 0, text, None, None, run_id, None, now)
        first = HistoryEvent(run_id, 1, h.RUN_STARTED, now, None, workflow.name, None, None, None, None, None)
        assert await self.store.submit(new, first, {})
        ledger.note("ack", run=run_id, id=key, number=number)


async def main(url: str, stop: Path) -> None:
    assert KINDS
    store = SqliteStore(url)
    await store.open()
    await Client(store, stop).serve()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
