"""A real PostgreSQL for tests: a server of our own in a temporary folder, and a fresh database for each test.

The server keeps its defaults: what is acknowledged is on disk.  It runs as the user `postgres` if we are root, on a
free port, and ends with the tests; should they be killed, a guard ends it.  `tools/install_engines` installs it.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from itertools import count
from pathlib import Path

import pytest

from ripresa.runtimes.guard import Guard

UP_WITHIN_S = 60
USER = "postgres"
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

_DEBIAN = Path("/usr/lib/postgresql")


def programs():
    """The folder of the newest server's programs; None: there is none."""
    found = sorted(_DEBIAN.glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]), reverse=True)
    if found:
        return found[0].parent
    on_path = shutil.which("postgres")
    return None if on_path is None or shutil.which("initdb") is None else Path(on_path).resolve().parent


def missing():
    """Why no server can be started here; None: one can."""
    if programs() is None:
        return "PostgreSQL is not installed: tools/install_engines"
    try:
        import asyncpg  # noqa: F401
    except ImportError:
        return "asyncpg is not installed: pip install 'ripresa[postgres]'"
    return None


class PostgresServer:
    """One server; `start` before use, and again after `stop` or `kill`; `close` when all is done."""

    def __init__(self, **settings):
        self.folder = Path(tempfile.mkdtemp(prefix="ripresa-postgres-"))
        self.data = self.folder / "data"
        self.port = _free_port()
        self.settings = settings
        self._names = count(1)
        self._clean = []
        self._process = None
        self._guard = Guard()
        self._as = {}
        if os.geteuid() == 0:
            user = pwd.getpwnam(USER)
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            self._as = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        self._run("initdb", "-D", self.data, "-U", USER, "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")

    def start(self):
        """Start it and wait until it answers."""
        options = {"port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": self.folder}
        options |= {"max_connections": 300, **self.settings}
        command = [programs() / "postgres", "-D", self.data]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        deadline = time.monotonic() + UP_WITHIN_S
        self._guard.start()
        self._launch(command)
        while not self._answers():
            if time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start: {(self.folder / 'log').read_text()[-2000:]}")
            if self._process.poll() is not None:  # after `kill`, its children may need a moment to see that it is gone
                self._guard.forget(self._process.pid)
                time.sleep(0.1)
                self._launch(command)
            time.sleep(0.02)

    def _launch(self, command):
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd="/", start_new_session=True, **self._as
            )
        self._guard.watch(self._process.pid)

    def stop(self, how=signal.SIGINT):
        """Stop it; by default its clients are cut off, and their transactions undone."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait()
            self._guard.forget(self._process.pid)
            self._process = None

    def kill(self):
        """`kill -9`: its children see that it is gone, and end at once."""
        self.stop(signal.SIGKILL)

    def restart(self):
        """Stop it, and have it come back on its port."""
        self.stop()
        self.start()

    def close(self):
        """End it and all that it kept."""
        self.stop(signal.SIGQUIT)
        if self._guard._process is not None:
            self._guard._process.stdin.close()
            self._guard._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database="postgres", port=None):
        return f"postgresql://{USER}@127.0.0.1:{port or self.port}/{database}"

    def sql(self, text, database="postgres"):
        """Run statements; the rows as `psql` shows them, bare."""
        done = self._run("psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-c", text, self.url(database))
        return done.stdout.strip()

    def database(self, *, empty=False):
        """A database, empty or with the tables of a store; its address."""
        if self._clean and not empty:
            return self._clean.pop()
        name = f"test_{next(self._names)}"
        if empty:
            self.sql(f"CREATE DATABASE {name}")
            return self.url(name)
        if not self.sql(f"SELECT 1 FROM pg_database WHERE datname = '{TEMPLATE}'"):
            self._make_template()
        self.sql(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
        return self.url(name)

    def drop(self, url):
        """End all connections to a database, and it."""
        self.sql(f"DROP DATABASE IF EXISTS {url.rpartition('/')[2]} WITH (FORCE)")

    def clean(self, url):
        """Cut off whoever is connected, and make the store's tables empty: quicker than another database."""
        name = url.rpartition("/")[2]
        self.sql(_CLEAN, name)
        self._clean.append(self.url(name))

    def _make_template(self):
        import asyncio
        import threading

        from ripresa.stores.postgres import PostgresStore

        async def make():
            store = PostgresStore(self.url(TEMPLATE))
            await store.open()
            await store.close()

        self.sql(f"CREATE DATABASE {TEMPLATE}")
        thread = threading.Thread(target=lambda: asyncio.run(make()))  # a loop may be running in this one
        thread.start()
        thread.join()

    def _answers(self):
        ready = [programs() / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(ready, check=False).returncode == 0

    def _run(self, program, *arguments):
        command = [programs() / program, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd="/", check=False, **self._as)
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stderr[-2000:]}")
        return done


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


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
