"""Real brokers for tests: a RabbitMQ and a Redis of our own, on free ports, in temporary folders.

They end with the tests; should those be killed, a guard ends them.  `tools/install_engines` installs them.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from ripresa.runtimes.guard import Guard

UP_WITHIN_S = 240
_PATH = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin:/usr/lib/rabbitmq/bin"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def program(name):
    """Where it is; None: not here."""
    return shutil.which(name, path=_PATH)


class Broker:
    """A server in a folder of its own; `start` before use, and again after `kill`; `close` when all is done."""

    name: str
    needs: tuple[str, ...]

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix=f"ripresa-{self.name}-"))
        self.port = free_port()
        self._processes = []
        self._guard = Guard()

    @classmethod
    def missing(cls):
        """Why it cannot be started here; None: it can."""
        lacks = [one for one in cls.needs if program(one) is None]
        return f"{', '.join(lacks)} not installed: tools/install_engines" if lacks else None

    def _spawn(self, command, **env):
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [str(part) for part in command],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={**os.environ, "PATH": _PATH, **env},
                start_new_session=True,
            )
        self._guard.start()
        self._guard.watch(process.pid)
        self._processes.append(process)

    def _wait_until(self, answers):
        deadline = time.monotonic() + UP_WITHIN_S
        while not answers():
            if self._processes[-1].poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} did not start: {(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.05)

    def kill(self):
        """`kill -9`, with all that it started."""
        for process in self._processes:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            self._guard.forget(process.pid)
        self._processes = []

    def close(self):
        """End it and all that it kept."""
        self.kill()
        self._guard.close_now()
        shutil.rmtree(self.folder, ignore_errors=True)


class Redis(Broker):
    name = "redis"
    needs = ("redis-server",)

    def url(self, port=None):
        return f"redis://127.0.0.1:{port or self.port}/0"

    def start(self):
        self._spawn([program("redis-server"), "--port", self.port, "--bind", "127.0.0.1", "--save", "", "--dir", "."])
        self._wait_until(lambda: self._ask("PING").startswith("+PONG"))

    def wipe(self):
        """All that it holds is gone."""
        assert self._ask("FLUSHALL").startswith("+OK")

    def waiting(self, queue):
        """How many messages wait."""
        return int(self._ask(f"LLEN {queue}").strip(":\r\n") or 0)

    def _ask(self, command):
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as line:
                line.sendall(f"{command}\r\n".encode())
                return line.recv(1000).decode()
        except OSError:
            return ""


class RabbitMq(Broker):
    name = "rabbitmq"
    needs = ("rabbitmq-server", "epmd")

    def __init__(self):
        super().__init__()
        self._epmd, self._inner = free_port(), free_port()

    def url(self, port=None):
        return f"amqp://guest:guest@127.0.0.1:{port or self.port}//"

    def start(self):
        self._spawn([program("epmd"), "-port", self._epmd, "-address", "127.0.0.1"])
        (self.folder / "plugins").write_text("[].")
        (self.folder / "rabbit.conf").write_text(f"listeners.tcp.1 = 127.0.0.1:{self.port}\n")
        server = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")  # the one on the path changes its user first
        self._spawn([server if server.exists() else program("rabbitmq-server")], **self._env())
        self._wait_until(self._answers)

    def wipe(self):
        """It dies, and comes back with nothing: no queue, no message."""
        self.kill()
        shutil.rmtree(self.folder / "data")
        self.start()

    def waiting(self, queue):
        """How many messages wait; 0: there is no such queue."""
        import amqp

        with amqp.Connection(f"127.0.0.1:{self.port}") as connection:
            try:
                return connection.channel().queue_declare(queue, passive=True).message_count
            except amqp.NotFound:
                return 0

    def control(self, *command):
        """`rabbitmqctl`."""
        done = subprocess.run(
            ["/usr/lib/rabbitmq/bin/rabbitmqctl", *command],
            env={**os.environ, "PATH": _PATH, **self._env()},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _env(self):
        return {
            "HOME": str(self.folder),
            "RABBITMQ_NODENAME": f"ripresa{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(self._inner),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder / "logs"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbit.conf"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "ERL_EPMD_PORT": str(self._epmd),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }

    def _answers(self):
        """It speaks, not only listens."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as line:
                line.sendall(b"AMQP\x00\x00\x09\x01")
                return bool(line.recv(8))
        except OSError:
            return False


def _session(kind):
    why = kind.missing()
    if why is not None:
        assert not os.environ.get("CI"), why
        pytest.skip(why)
    broker = kind()
    try:
        broker.start()
        yield broker
    finally:
        broker.close()


@pytest.fixture(scope="session")
def redis_server():
    """A Redis for the session."""
    yield from _session(Redis)


@pytest.fixture(scope="session")
def rabbitmq_server():
    """A RabbitMQ for the session."""
    yield from _session(RabbitMq)
