"""Events over RabbitMQ: published with the broker's confirmation, taken with acknowledgement.

The driver blocks, so each end has a thread of its own; a connection that breaks is made again at the next call.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar
from urllib.parse import unquote, urlsplit

from ripresa.contracts.events import MEDIA_TYPE, CloudEvent
from ripresa.ports.bus import Delivered, Received

Result = TypeVar("Result")

_ANSWER_S: Final = 5.0
_CLOSE_S: Final = 2.0
_WAIT_S: Final = 1.0
_AT_ONCE: Final = 100


class _End(ABC):
    """A connection, and the thread that uses it."""

    def __init__(self, url: str, what: str) -> None:
        self._at = urlsplit(url)
        self.name = f"{self._at.scheme}://{self._at.hostname}:{self._at.port or 5672}{self._at.path}#{what}"
        self._thread = ThreadPoolExecutor(1, "ripresa-rabbitmq")
        self._connection: Any = None
        self._channel: Any = None

    async def _do(self, work: Callable[[Any], Result]) -> Result:
        """Work on the channel, in the thread.  Raises OSError for whatever keeps it from being done."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._there, work)

    def _there(self, work: Callable[[Any], Result]) -> Result:
        from amqp.exceptions import AMQPError

        try:
            if self._channel is None:
                self._connect()
            return work(self._channel)
        except (AMQPError, OSError) as error:
            self._drop()
            raise OSError(f"{self.name}: {error}") from error

    def _connect(self) -> None:
        import amqp

        at = self._at
        self._connection = amqp.Connection(
            host=f"{at.hostname}:{at.port or (5671 if at.scheme == 'amqps' else 5672)}",
            userid=unquote(at.username or "guest"),
            password=unquote(at.password or "guest"),
            virtual_host=unquote(at.path[1:]) or "/",
            ssl=ssl.create_default_context() if at.scheme == "amqps" else None,
            connect_timeout=_ANSWER_S,
            read_timeout=6 * _ANSWER_S,
            write_timeout=_ANSWER_S,
            confirm_publish=True,
        )
        self._connection.connect()
        self._channel = self._connection.channel()
        self._set_up(self._channel)

    @abstractmethod
    def _set_up(self, channel: Any) -> None:
        """Declare what this end needs."""

    def _drop(self) -> None:
        connection = self._connection
        if connection is not None:
            with contextlib.suppress(Exception):
                connection.close()
            with contextlib.suppress(Exception):
                connection.collect()  # it may have broken before it was said goodbye
        self._connection = self._channel = None

    async def close(self) -> None:
        """Let go of the connection, once the call under way has ended; one that hangs is cut off."""
        with contextlib.suppress(RuntimeError):  # it was closed before
            dropped = asyncio.get_running_loop().run_in_executor(self._thread, self._drop)
            while not (await asyncio.wait([dropped], timeout=_CLOSE_S))[0]:
                self._cut()
        self._thread.shutdown(wait=False)

    def _cut(self) -> None:
        """Whoever waits for the server's answer waits no more."""
        with contextlib.suppress(Exception):
            self._connection.transport.sock.shutdown(socket.SHUT_RDWR)


class RabbitMqSink(_End):
    """Publishes to a topic exchange, which it declares; the routing key is the event's type."""

    def __init__(self, url: str, *, exchange: str) -> None:
        super().__init__(url, exchange)
        self._exchange = exchange

    def _set_up(self, channel: Any) -> None:
        channel.exchange_declare(self._exchange, "topic", durable=True, auto_delete=False)

    async def send(self, events: Sequence[CloudEvent]) -> Delivered:
        """Each is certain to be there when the broker has confirmed it."""
        taken: set[str] = set()
        refused: dict[str, str] = {}
        at = [""]

        def publish(channel: Any) -> None:
            import amqp

            for event in events:
                at[0] = event.id
                message = amqp.Message(
                    event.to_json().encode(), content_type=MEDIA_TYPE, message_id=event.id[:255], delivery_mode=2
                )
                channel.basic_publish(message, self._exchange, event.type[:255], confirm_timeout=_ANSWER_S)
                taken.add(event.id)

        try:
            await self._do(publish)
        except OSError as error:
            if isinstance(error.__cause__, _too_large()):
                refused[at[0]] = str(error)
            return Delivered(frozenset(taken), str(error), refused)
        return Delivered(frozenset(taken))


def _too_large() -> type[Exception]:
    """What the broker raises for a message that it will never take; anything else may pass."""
    from amqp.exceptions import PreconditionFailed

    found: type[Exception] = PreconditionFailed
    return found


class RabbitMqSource(_End):
    """Takes from a durable queue, which it declares."""

    def __init__(self, url: str, *, queue: str) -> None:
        super().__init__(url, queue)
        self._queue = queue
        self._came: list[Received] = []

    def _set_up(self, channel: Any) -> None:
        self._came = []
        channel.basic_qos(0, _AT_ONCE, False)  # noqa: FBT003 - the driver's own signature
        with contextlib.suppress(Exception):
            channel.queue_declare(self._queue, passive=True)
            channel.basic_consume(self._queue, callback=self._on_message)
            return
        self._channel = channel = self._connection.channel()  # that there is no such queue has closed the other
        channel.basic_qos(0, _AT_ONCE, False)  # noqa: FBT003
        channel.queue_declare(self._queue, durable=True, auto_delete=False)
        channel.basic_consume(self._queue, callback=self._on_message)

    def _on_message(self, message: Any) -> None:
        body = message.body
        self._came.append(Received(body.encode() if isinstance(body, str) else bytes(body), message.delivery_tag))

    async def receive(self) -> list[Received]:
        """Those that wait."""

        def drain(_: Any) -> list[Received]:
            with contextlib.suppress(socket.timeout, TimeoutError):
                self._connection.drain_events(timeout=_WAIT_S)
            while self._came and len(self._came) < _AT_ONCE:
                try:
                    self._connection.drain_events(timeout=0.001)
                except TimeoutError:
                    break
            came, self._came = self._came, []
            return came

        return await self._do(drain)

    async def again(self) -> None:
        """Without its connection, what was not acknowledged goes back to the queue."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._drop)

    async def done(self, received: list[Received]) -> None:
        """Acknowledge."""

        def acknowledge(channel: Any) -> None:
            for one in received:
                channel.basic_ack(one.mark)

        await self._do(acknowledge)
