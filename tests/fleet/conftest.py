"""What the tests of several engines share: Apps on one shared store, and waiting for what they come to."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from ripresa import App
from ripresa.stores.memory import MemoryDatabase, MemoryStore

WITHIN_S = 60.0
"""For what happens within a moment, on a machine that has much else to do."""


class Fleet:
    """Apps on one store, each an engine of its own."""

    def __init__(self):
        self.database = MemoryDatabase()
        self.apps = []
        self.did = []

    def store(self):
        return MemoryStore(self.database, shared=True)

    async def open(self, *workflows, lease_s=600, **options):
        """An App; its lease does not end however slow the machine, and what it looks for at times it is told to."""
        app = App(self.store(), workflows, config={"lease_s": lease_s, **options.pop("config", {})}, **options)
        self.apps.append(app)
        return await app.open()

    async def crash(self, app):
        """An engine is gone from one moment to the next, and the others look around."""
        await app.crash()
        await self.look_around()

    async def look_around(self):
        """What each engine does every third of a lease."""
        for app in self.apps:
            if app.engine is not None and app.engine.failure is None:
                await app.engine.fleet.look_around()
                await app.engine.fleet.take_over()
                app.engine.loading.look()

    def count(self, what):
        return Counter(self.did)[what]

    async def until(self, is_so):
        """Wait until it is so."""
        async with asyncio.timeout(WITHIN_S):
            while not (found := is_so()):  # noqa: ASYNC110 - what is looked at tells nobody
                await asyncio.sleep(0.005)
        return found

    async def until_status(self, app, run, *statuses):
        async with asyncio.timeout(WITHIN_S):
            while (await app.get(run)).status not in statuses:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.005)

    def owner(self, run):
        """Number of the engine that holds the run; None: nobody does."""
        return self.database.runs[run.uuid].owner

    async def close(self):
        for app in self.apps:
            await app.close()


@pytest.fixture
async def fleet():
    """No App yet."""
    fleet = Fleet()
    yield fleet
    await fleet.close()
