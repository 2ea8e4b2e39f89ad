"""What the engine's tests share: a world with a store, a clock and a ledger, in which Apps come and go."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from ripresa import App
from ripresa.stores.memory import MemoryDatabase, MemoryStore
from ripresa.testing import VirtualClock
from ripresa.testing.clock import EPOCH_US


class World:
    """A disk and a clock.  `open` opens an App on the disk, whatever became of the one before."""

    def __init__(self, kind, evict_after, tmp_path, postgres_url=None):
        self.kind = kind
        self.evict_after = evict_after
        self.clock = VirtualClock()
        self.apps = []
        self.ledger = []
        self._database = MemoryDatabase()
        self._addresses = {"sqlite": f"sqlite:///{tmp_path / 'runs.db'}", "postgres": postgres_url}

    def store(self):
        return MemoryStore(self._database) if self.kind == "memory" else self._addresses[self.kind]

    def app(self, *workflows, **options):
        """An App that is not open yet."""
        options = {"clock": self.clock, "evict_after": self.evict_after, **options}
        app = App(self.store(), workflows=workflows, **options)
        self.apps.append(app)
        return app

    async def open(self, *workflows, **options):
        return await self.app(*workflows, **options).open()

    async def crash(self, app, *workflows, **options):
        """The App is gone from one moment to the next; another goes on."""
        await app.crash()
        return await self.open(*(workflows or app.workflows), **options)

    async def run(self, workflow, *args, with_=()):
        """The output of one run."""
        app = await self.open(workflow, *with_)
        run = await app.start(workflow, *args)
        return await run.result("30s")

    def did(self, what):
        """Note an effect."""
        self.ledger.append(what)

    def count(self, what):
        return Counter(self.ledger)[what]

    async def clock_to(self, app, seconds):
        """Time moves on although a step is under way; a clock that jumps would wait for the step."""
        await _quiet(app)
        self.clock._now = EPOCH_US + int(seconds * 1e6)
        self.clock._ring()

    def clock_that_stands(self):
        """A clock that only `advance` moves."""
        return VirtualClock(autojump=False)

    async def close(self):
        for app in self.apps:
            await app.close()


async def _quiet(app):
    """Wait until the engine waits for steps and time alone."""
    engine = app.engine
    for _ in range(3):
        while engine.turns.asked or engine.committer.busy or engine.loading.has_work:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.001)


WORLDS = {
    "world": ["memory", "sqlite-evicted", "postgres"],
    "every_world": ["memory", "memory-evicted", "sqlite", "sqlite-evicted", "postgres", "postgres-evicted"],
}


def pytest_generate_tests(metafunc):
    store = metafunc.config.getoption("--on")
    for name, kinds in WORLDS.items():
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, [store, f"{store}-evicted"] if store else kinds, indirect=True)


def _world(request, tmp_path):
    kind, _, evicted = request.param.partition("-")
    url = request.getfixturevalue("postgres_url") if kind == "postgres" else None
    return World(kind, 0 if evicted else "30s", tmp_path, url)


@pytest.fixture
async def world(request, tmp_path):
    """Code stays in memory on one, and leaves it at every await on the other."""
    world = _world(request, tmp_path)
    yield world
    await world.close()


@pytest.fixture
async def every_world(request, tmp_path):
    """All stores, with the code kept and evicted."""
    world = _world(request, tmp_path)
    yield world
    await world.close()


@pytest.fixture
async def memory(tmp_path):
    """For promises that no store and no eviction has a part in."""
    world = World("memory", "30s", tmp_path)
    yield world
    await world.close()
