"""A real PostgreSQL for tests: a server of our own in a temporary folder, and a fresh database for each test.

The server keeps its defaults: what is acknowledged is on disk.  It runs as the user `postgres` if we are root, on a
free port, and ends with the tests; should they be killed, a guard ends it.  `tools/install_engines` installs it.
"""

from __future__ import annotations

import os
import signal
from itertools import count

import pytest

from ripresa.testing.torture.postgres_server import OwnPostgres, programs

TEMPLATE = "ripresa_template"

_CLEAN = """
DO $$
DECLARE
  name text;
BEGIN
  PERFORM pg_terminate_backend(pid, 10000) FROM pg_stat_activity
  WHERE datname = current_database() AND pid <> pg_backend_pid();
  SET LOCAL synchronous_commit = off;
  FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'ripresa' AND tablename <> 'version' LOOP
    EXECUTE format('DELETE FROM ripresa.%I', name);  -- of a few rows quicker than TRUNCATE
  END LOOP;
  FOR name IN SELECT sequencename FROM pg_sequences WHERE schemaname = 'ripresa' LOOP
    EXECUTE format('ALTER SEQUENCE ripresa.%I RESTART', name);
  END LOOP;
END $$
"""


def missing():
    """Why no server can be started here; None: one can."""
    if programs() is None:
        return "PostgreSQL is not installed: tools/install_engines"
    try:
        import asyncpg  # noqa: F401
    except ImportError:
        return "asyncpg is not installed: pip install 'ripresa[postgres]'"
    return None


class PostgresServer(OwnPostgres):
    """A server that hands out databases."""

    def __init__(self, **settings):
        super().__init__(**{"log_line_prefix": "%m [%p] %d ", **settings})
        self._names = count(1)
        self._clean = []

    def kill(self):
        """`kill -9`: its children see that it is gone, and end at once."""
        self.stop(signal.SIGKILL)

    def restart(self):
        """Stop it, and have it come back on its port."""
        self.stop(signal.SIGINT)
        self.start()

    def address(self, database):
        return self.url.removesuffix("postgres") + database

    def sql(self, text, database="postgres"):
        """Run statements; the rows as `psql` shows them, bare."""
        return self.run("psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-c", text, self.address(database)).strip()

    def database(self, *, empty=False):
        """A database, empty or with the tables of a store; its address."""
        if self._clean and not empty:
            return self._clean.pop()
        name = f"test_{next(self._names)}"
        if empty:
            self.sql(f"CREATE DATABASE {name}")
            return self.address(name)
        if not self.sql(f"SELECT 1 FROM pg_database WHERE datname = '{TEMPLATE}'"):
            self._make_template()
        self.sql(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
        return self.address(name)

    def drop(self, url):
        """End all connections to a database, and it."""
        self.sql(f"DROP DATABASE IF EXISTS {url.rpartition('/')[2]} WITH (FORCE)")

    def clean(self, url):
        """Cut off whoever is connected, and make the store's tables empty: quicker than another database."""
        name = url.rpartition("/")[2]
        self.sql(_CLEAN, name)
        self._clean.append(self.address(name))

    def _make_template(self):
        import asyncio
        import threading

        from ripresa.stores.postgres import PostgresStore

        async def make():
            store = PostgresStore(self.address(TEMPLATE))
            await store.open()
            await store.close()

        self.sql(f"CREATE DATABASE {TEMPLATE}")
        thread = threading.Thread(target=lambda: asyncio.run(make()))  # a loop may be running in this one
        thread.start()
        thread.join()


class Standby(PostgresServer):
    """A copy of another server that follows it, until it is promoted."""

    def __init__(self, primary, **settings):
        self._primary = primary
        follows = f"host=127.0.0.1 port={primary.port} user=postgres application_name=standby"
        super().__init__(primary_conninfo=follows, **settings)

    def _make(self):
        at = ["-h", "127.0.0.1", "-p", self._primary.port, "-U", "postgres"]
        self.run("pg_basebackup", *at, "-D", self.data, "-R", "-X", "stream", "-c", "fast", "--no-sync")

    def promote(self):
        """It takes writes from now on."""
        self.run("pg_ctl", "promote", "-D", self.data, "-w")


def pytest_addoption(parser):
    stores = ["memory", "sqlite", "postgres"]
    parser.addoption("--on", choices=stores, help="run all scenarios of the engine on this store, and on no other")
    parser.addoption("--faults", type=int, default=20, help="how many commits to leave in doubt on the wire")


@pytest.fixture(scope="session")
def postgres():
    """The server of this session."""
    why = missing()
    if why is not None:
        assert not os.environ.get("CI"), why
        pytest.skip(why)
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture
def postgres_url(postgres):
    """The address of a database that is this test's own for now, with a store's tables, empty."""
    url = postgres.database()
    yield url
    postgres.clean(url)
