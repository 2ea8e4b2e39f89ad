"""Each migration is cut off in its middle, by the end of its process or of the server, and made again."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from ripresa.contracts.errors import StoreUnavailable
from ripresa.ports.batch import Batch
from ripresa.stores.postgres import PostgresStore, schema
from ripresa.testing.store_contract import LEASE, A, T, new_run
from tests.stores.test_postgres_schema import COLUMNS, INDEXES, rows
from tests.support.postgres import PostgresServer

WITHIN_S = 60.0
STEPS = schema.migrations()
HALTS = """
CREATE SEQUENCE public.commands;
CREATE TABLE public.halt (at bigint);
CREATE FUNCTION public.halts() RETURNS event_trigger LANGUAGE plpgsql AS $$
DECLARE
  this bigint := nextval('public.commands');
BEGIN
  WHILE EXISTS (SELECT 1 FROM public.halt WHERE at = this) LOOP
    PERFORM pg_sleep(0.02);
  END LOOP;
END $$;
CREATE EVENT TRIGGER halts ON ddl_command_end EXECUTE FUNCTION public.halts();
"""
HALTED = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
UNDER_WAY = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
OPEN = "import asyncio, sys; from ripresa.stores import open_store; asyncio.run(open_store(sys.argv[1]).open())"


async def opened(url):
    store = PostgresStore(url, heartbeat_thread=False)
    await store.open()
    return store


@pytest.fixture(scope="module")
def server(postgres):
    """One of our own to kill."""
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.close()


class Halting:
    """A database with the schema of the release before a migration, which halts in its middle; an engine is at work."""

    def __init__(self, server, number):
        self.number = number
        self.url = server.database(empty=True)
        self._server = server
        self._name = self.url.rpartition("/")[2]
        self._engine = None
        self._commits = 0

    def sql(self, text):
        return self._server.sql(text, self._name)

    async def prepare(self, monkeypatch):
        """Halt after half of the migration's commands."""
        with monkeypatch.context() as patch:
            patch.setattr(schema, "migrations", lambda: STEPS[: self.number])
            if self.number:
                self._engine = await opened(self.url)
                self._lease = await self._engine.acquire(now=T, lease_us=LEASE, who="the release before")
                await self.work()
        await asyncio.to_thread(self.sql, HALTS)
        await asyncio.to_thread(self.halt)

    def halt(self):
        """The next one that tries halts after half of the migration's commands."""
        half = max(1, (STEPS[self.number].count(";\n\nCREATE ") + 1) // 2)
        seen = "CASE WHEN is_called THEN last_value ELSE 0 END"
        self.sql(f"INSERT INTO public.halt SELECT {half} + {seen} FROM public.commands")

    async def work(self):
        """A commit of the engine of the release before."""
        if self._engine is not None:
            self._commits += 1
            batch = Batch(self._commits, T, runs=[new_run(f"{self._commits}")])
            await self._engine.commit(self._lease, batch, lease_us=LEASE)

    def version(self):
        """How many migrations it has seen."""
        if self.sql("SELECT to_regclass('ripresa.version')") == "":
            return 0
        return int(self.sql("SELECT max(number) FROM ripresa.version"))

    def go_on(self):
        self.sql("DELETE FROM public.halt")

    async def is_well(self, like):
        """It has the schema of this release, and both releases write to it."""
        new = await opened(self.url)
        lease = await new.acquire(now=T, lease_us=LEASE, who="this release")
        await new.commit(lease, Batch(1, T, runs=[new_run(A)]), lease_us=LEASE)
        await self.work()
        assert sum((await new.count_runs()).values()) == 1 + self._commits
        assert await new.check() == []
        assert await rows(self.url, COLUMNS, INDEXES) == like
        assert await rows(self.url, "SELECT number FROM ripresa.version ORDER BY 1") == [
            [(number,) for number in range(1, len(STEPS) + 1)]
        ]
        for store in (new, self._engine):
            if store is not None:
                await store.close()


def started(url):
    """A process that opens the store."""
    return subprocess.Popen([sys.executable, "-c", OPEN, url])


async def until(server, query, count):
    """Wait until there are so many of these."""
    async with asyncio.timeout(WITHIN_S):
        while int(await asyncio.to_thread(server.sql, query)) != count:  # noqa: ASYNC110 - the server does not tell
            await asyncio.sleep(0.05)


async def test_a_migration_that_is_cut_off_in_its_middle_is_made_again(server, postgres_url, monkeypatch):
    """First its process is killed, then the server; the release before is at work meanwhile."""
    cut = [Halting(server, number) for number in range(len(STEPS))]
    for one in cut:
        await one.prepare(monkeypatch)
    processes = [started(one.url) for one in cut]
    await until(server, HALTED, len(cut))
    for process in processes:
        process.kill()
        process.wait()
    for one in cut:
        await one.work()
        await asyncio.to_thread(one.go_on)  # the server finds that nobody wants it any more
    await until(server, UNDER_WAY, 0)

    for one in cut:
        await asyncio.to_thread(one.halt)
    tasks = [asyncio.create_task(opened(one.url)) for one in cut]
    await until(server, HALTED, len(cut))
    await asyncio.to_thread(server.kill)
    for told in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(told, StoreUnavailable)
    await asyncio.to_thread(server.start)
    for one in cut:
        assert one.version() == one.number, "nothing of it is left"
        await asyncio.to_thread(one.go_on)
    like = await rows(postgres_url, COLUMNS, INDEXES)
    for one in cut:
        await one.is_well(like)
        await asyncio.to_thread(server.drop, one.url)
