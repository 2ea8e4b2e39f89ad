"""A PostgreSQL of our own: made in a temporary folder, on a free port, killed and restarted as one likes.

It keeps the server's defaults but for what it is told, so that what is acknowledged is on disk, and runs as the user
`postgres` if we are root.  Should this process be killed, a guard ends it.
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
from pathlib import Path
from typing import Any

from ripresa.contracts.errors import RipresaError
from ripresa.runtimes.guard import Guard

USER = "postgres"
_DEBIAN = Path("/usr/lib/postgresql")
_UP_WITHIN_S = 60.0
_LOOK_S = 0.02


def programs() -> Path | None:
    """The folder of the newest server's programs; None: there is none."""
    found = sorted(_DEBIAN.glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]), reverse=True)
    if found:
        return found[0].parent
    on_path = shutil.which("postgres")
    return None if on_path is None or shutil.which("initdb") is None else Path(on_path).resolve().parent


class OwnPostgres:
    """One server; `start` before use, and again after `stop`; `close` when all is done.  All verbs wait.

    `settings` are the server's own, by name.
    """

    def __init__(self, **settings: object) -> None:
        found = programs()
        if found is None:
            raise RipresaError("PostgreSQL is not installed here: install it, or name a database with --dsn")
        self.settings: dict[str, object] = {"max_connections": 300, **settings}
        self._programs = found
        self._process: subprocess.Popen[bytes] | None = None
        self._guard = Guard()
        self._as: dict[str, Any] = {}
        self.environment: dict[str, str] = {}
        """Further variables of its environment."""
        self.folder = Path(tempfile.mkdtemp(prefix="ripresa-postgres-"))
        self.data = self.folder / "data"
        self.port = free_port()
        if os.geteuid() == 0:
            user = pwd.getpwnam(USER)
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            self._as = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        try:
            self._make()
        except RipresaError:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise

    def _make(self) -> None:
        """Its data."""
        self.run("initdb", "-D", self.data, "-U", USER, "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")

    @property
    def url(self) -> str:
        """Its address."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/postgres"

    def run(self, program: str, *arguments: object) -> str:
        """What one of the server's programs prints.  Raises RipresaError if it fails."""
        command = [str(part) for part in (self._programs / program, *arguments)]
        done = subprocess.run(command, capture_output=True, text=True, cwd="/", check=False, **self._as)  # noqa: S603
        if done.returncode:
            raise RipresaError(f"{program}: {done.stderr[-2000:]}")
        return str(done.stdout)

    def start(self) -> None:
        """Start it, and wait until it answers.  Raises RipresaError."""
        deadline = time.monotonic() + _UP_WITHIN_S
        self._guard.start()
        self._launch()
        while not self._answers():
            if time.monotonic() > deadline:
                raise RipresaError(f"PostgreSQL does not start: {self._said()}")
            if self._process is not None and self._process.poll() is not None:
                self._guard.forget(self._process.pid)
                # What its predecessor's processes hold goes when the last of them has seen that they are alone.
                time.sleep(_LOOK_S)
                self._launch()
            time.sleep(_LOOK_S)

    def stop(self, how: signal.Signals) -> None:
        """End it: SIGINT cuts clients off and writes all; SIGQUIT leaves it to recovery; SIGKILL does not ask."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait()
            self._guard.forget(self._process.pid)
            self._process = None

    def close(self) -> None:
        """End it and all that it kept."""
        self.stop(signal.SIGQUIT)
        self._guard.close_now()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _launch(self) -> None:
        options = {"port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": self.folder}
        command: list[Any] = [self._programs / "postgres", "-D", self.data]
        for name, value in {**options, **self.settings}.items():
            command += ["-c", f"{name}={value}"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603
                command,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
                env={**os.environ, **self.environment},
                **self._as,
            )
        self._guard.watch(self._process.pid)

    def _answers(self) -> bool:
        ready = [str(self._programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(ready, check=False).returncode == 0  # noqa: S603

    def _said(self) -> str:
        return (self.folder / "log").read_text("utf-8", "replace")[-2000:]


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
