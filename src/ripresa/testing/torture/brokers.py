"""Brokers that carry steps to workers: a Redis and a RabbitMQ of our own, which lose everything now and then, or yours.

Ours are made in temporary folders, on free ports, and keep what they are told until they are wiped; should this
process be killed, a guard ends them.  Of a broker of yours only a queue of ours is touched.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

from ripresa.contracts.errors import RipresaError
from ripresa.runtimes.guard import Guard
from ripresa.testing.torture.postgres_server import free_port

REDIS, RABBITMQ = "redis", "rabbitmq"
NONE = "none"
_KINDS = {"redis": REDIS, "rediss": REDIS, "amqp": RABBITMQ, "amqps": RABBITMQ}
_PATH = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin:/usr/lib/rabbitmq/bin"
_RABBITMQ = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")  # the one on the path changes its user first
_UP_WITHIN_S = 120.0
_ANSWER_S = 5.0
_LOOK_S = 0.05


class Broker:
    """One that is there; all verbs wait."""

    kind: str
    ours = False
    ways: tuple[str, ...] = ("purge",)
    """How it can be wiped."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.kind = _KINDS.get(urlsplit(url).scheme, "")
        if not self.kind:
            raise RipresaError(f"--broker {url.partition(':')[0]}: it is neither redis nor rabbitmq, nor an address")

    def start(self) -> None:
        """Have it answer.  Raises RipresaError."""
        self.version()

    def version(self) -> str:
        """What it is.  Raises RipresaError if it does not answer."""
        try:
            return str(self._ask(_version))
        except Exception as error:  # drivers raise of every kind
            raise RipresaError(f"the broker {self.kind} does not answer: {error}") from error

    def waiting(self, queue: str) -> int:
        """How many messages wait in the queue."""
        return int(self._ask(lambda channel, _: _waiting(channel, queue)))

    def wipe(self, queue: str, how: str) -> int:
        """Lose them all; how many waited."""
        assert how == "purge"
        return int(self._ask(lambda channel, _: channel.queue_purge(queue)) or 0)

    def close(self, queue: str) -> None:
        """Leave nothing behind."""
        self._ask(lambda channel, _: channel.queue_delete(queue))

    def end(self) -> None:
        """It is not ours to end."""

    def _ask(self, what: Callable[[Any, Any], Any]) -> Any:
        from kombu.connection import Connection  # noqa: PLC0415 - only if it is wanted

        made: Any = Connection
        with closing(made(self.url, connect_timeout=_ANSWER_S)) as connection:
            connection.ensure_connection(max_retries=1, timeout=_ANSWER_S)
            return what(connection.channel(), connection)


def _version(channel: Any, connection: Any) -> str:
    if connection.transport.driver_type == REDIS:
        return f"Redis {channel.client.info('server')['redis_version']}"
    return f"RabbitMQ {connection.connection.server_properties['version']}"


def _waiting(channel: Any, queue: str) -> int:
    try:
        return int(channel.queue_declare(queue=queue, passive=True).message_count)
    except channel.connection.client.channel_errors:  # there is no such queue
        return 0


class OwnBroker(Broker):
    """A server in a folder of its own: `start` before use, and again after `kill`."""

    ours = True
    needs: ClassVar[tuple[str, ...]]

    def __init__(self, kind: str, scheme: str) -> None:
        self.port = free_port()
        super().__init__(f"{scheme}://{'guest:guest@' if kind == RABBITMQ else ''}127.0.0.1:{self.port}/")
        self.folder = Path(tempfile.mkdtemp(prefix=f"ripresa-torture-{kind}-"))
        self._processes: list[subprocess.Popen[bytes]] = []
        self._guard = Guard()

    @classmethod
    def lacks(cls) -> list[str]:
        """Programs that are not installed here."""
        return [one for one in cls.needs if shutil.which(one, path=_PATH) is None]

    def kill(self) -> None:
        """`kill -9`, with all that it started."""
        for process in self._processes:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            self._guard.forget(process.pid)
        self._processes = []

    def close(self, queue: str) -> None:
        """The next place has another queue, and this one goes with the server."""

    def end(self) -> None:
        """End it and all that it kept."""
        self.kill()
        self._guard.close_now()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _spawn(self, command: list[Any], **variables: str) -> None:
        self._guard.start()
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(  # noqa: S603
                [str(word) for word in command],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={**os.environ, "PATH": _PATH, **variables},
                start_new_session=True,
            )
        self._guard.watch(process.pid)
        self._processes.append(process)

    def _wait(self) -> None:
        deadline = time.monotonic() + _UP_WITHIN_S
        while not self._answers():
            if self._processes[-1].poll() is not None or time.monotonic() > deadline:
                said = (self.folder / "log").read_text("utf-8", "replace")[-2000:]
                raise RipresaError(f"{self.kind} does not start: {said}")
            time.sleep(_LOOK_S)

    def _answers(self) -> bool:
        """Whether it speaks, not only listens."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=_ANSWER_S) as line:
                line.sendall(b"AMQP\x00\x00\x09\x01" if self.kind == RABBITMQ else b"PING\r\n")
                return bool(line.recv(8))
        except OSError:
            return False


class OwnRedis(OwnBroker):
    """A Redis that keeps nothing on disk."""

    needs = ("redis-server",)
    ways = ("flush", "kill")

    def __init__(self) -> None:
        super().__init__(REDIS, "redis")

    def start(self) -> None:
        """Start it, and wait until it answers.  Raises RipresaError."""
        settings = {"port": self.port, "bind": "127.0.0.1", "save": "", "dir": self.folder}
        words = [word for name, value in settings.items() for word in (f"--{name}", value)]
        self._spawn([shutil.which("redis-server", path=_PATH), *words])
        self._wait()

    def wipe(self, queue: str, how: str) -> int:
        """FLUSHALL, or `kill -9` and a new beginning; how many messages waited."""
        if how == "flush":
            return int(self._ask(lambda channel, _: _flush(channel.client, queue)))
        lost = self.waiting(queue)
        self.kill()
        self.start()
        return lost


def _flush(client: Any, queue: str) -> int:
    with client.pipeline(transaction=True) as asked:
        waiting, _ = asked.llen(queue).flushall().execute()
    return int(waiting)


class OwnRabbitMq(OwnBroker):
    """A RabbitMQ; a wipe ends it and takes its folder away."""

    needs = ("rabbitmq-server", "epmd")
    ways = ("kill",)

    def __init__(self) -> None:
        super().__init__(RABBITMQ, "amqp")
        self._epmd, self._inner = free_port(), free_port()

    def start(self) -> None:
        """Start it, and wait until it answers.  Raises RipresaError."""
        self._spawn([shutil.which("epmd", path=_PATH), "-port", self._epmd, "-address", "127.0.0.1"])
        (self.folder / "plugins").write_text("[].")
        (self.folder / "rabbit.conf").write_text(f"listeners.tcp.1 = 127.0.0.1:{self.port}\n")
        server = _RABBITMQ if _RABBITMQ.exists() else shutil.which("rabbitmq-server", path=_PATH)
        self._spawn([server], **self._variables())
        self._wait()

    def wipe(self, queue: str, how: str) -> int:
        """It dies, and comes back with nothing, not even the queue; how many messages waited."""
        lost = self.waiting(queue)
        self.kill()
        shutil.rmtree(self.folder / "data")
        self.start()
        return lost

    def _variables(self) -> dict[str, str]:
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
            # Its schedulers do not spin while they have nothing to do: the machine is the engines'.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none +sbwtdcpu none +sbwtdio none",
            "ERL_EPMD_PORT": str(self._epmd),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }


_OWN: dict[str, type[OwnRedis | OwnRabbitMq]] = {REDIS: OwnRedis, RABBITMQ: OwnRabbitMq}


def usual() -> list[str]:
    """What is installed here of those that can be started."""
    if find_spec("celery") is None:
        return []
    return [kind for kind, server in _OWN.items() if not server.lacks()]


def broker_of(wanted: str) -> Broker:
    """The one that is named by its kind, of our own, or by its address.  Raises RipresaError."""
    if find_spec("celery") is None:
        raise RipresaError("brokers need Celery: pip install 'ripresa[celery]'")
    server = _OWN.get(wanted)
    if server is None:
        return Broker(wanted)
    if lacks := server.lacks():
        raise RipresaError(f"{', '.join(lacks)}: not installed here: install it, or name a broker by its address")
    return server()
