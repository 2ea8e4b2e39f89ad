"""Events over Redis Streams: added to a stream, and taken from one by a consumer group."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from ripresa.contracts.events import CloudEvent
from ripresa.ports.bus import Delivered, Received

_ANSWER_S: Final = 5.0
_WAIT_MS: Final = 1_000
_AT_ONCE: Final = 100
_ABANDONED_MS: Final = 10_000
"""What somebody took and has not dealt with for so long is taken by another."""


class _End:
    """A client, made when it is first used."""

    def __init__(self, url: str, what: str) -> None:
        at = urlsplit(url)
        self.name = f"{at.scheme}://{at.hostname}:{at.port or 6379}{at.path}#{what}"
        self._url = url
        self._made: Any = None

    @property
    def _client(self) -> Any:
        if self._made is None:
            from redis.asyncio import Redis

            self._made = Redis.from_url(
                self._url, socket_connect_timeout=_ANSWER_S, socket_timeout=_ANSWER_S + _WAIT_MS / 1000
            )
        return self._made

    async def _do(self, work: Any) -> Any:
        """Raises OSError for whatever keeps it from being done."""
        from redis.exceptions import RedisError

        try:
            return await work
        except (RedisError, OSError) as error:
            raise OSError(f"{self.name}: {error}") from error

    async def close(self) -> None:
        """Let go of the connection."""
        if self._made is not None:
            made, self._made = self._made, None
            await made.aclose()


class RedisSink(_End):
    """Adds to a stream, whose oldest entries go when it gets too long; entries have `id`, `type` and `event`."""

    def __init__(self, url: str, *, stream: str, length_max: int) -> None:
        super().__init__(url, stream)
        self._stream = stream
        self._length_max = length_max

    async def send(self, events: Sequence[CloudEvent]) -> Delivered:
        """All at once, or none that is certain."""
        pipeline = self._client.pipeline(transaction=True)
        for event in events:
            fields = {"id": event.id, "type": event.type, "event": event.to_json()}
            pipeline.xadd(self._stream, fields, maxlen=self._length_max, approximate=True)
        try:
            await self._do(pipeline.execute())
        except OSError as error:
            return Delivered(frozenset(), str(error))
        return Delivered(frozenset(event.id for event in events))


class RedisSource(_End):
    """Takes from a stream as one of a group, which it makes."""

    def __init__(self, url: str, *, stream: str, group: str) -> None:
        super().__init__(url, f"{stream}/{group}")
        self._stream = stream
        self._group = group
        self._who = f"{socket.gethostname()}-{os.getpid()}-{id(self):x}"
        self._own = True
        """What we took before a connection broke is asked for first."""

    async def receive(self) -> list[Received]:
        """Those that wait, or that another has left lying."""
        try:
            received: list[Received] = await self._do(self._receive())
        except OSError as error:
            if "NOGROUP" not in str(error):
                self._own = True
                raise
            await self._do(self._make_group())
            return []
        return received

    async def _receive(self) -> list[Received]:
        client = self._client
        if self._own:
            found = await client.xreadgroup(self._group, self._who, {self._stream: "0"}, count=_AT_ONCE)
            entries = found[0][1] if found else []
            self._own = bool(entries)
            if entries:
                return _received(entries)
        left = await client.xautoclaim(
            self._stream, self._group, self._who, _ABANDONED_MS, start_id="0-0", count=_AT_ONCE
        )
        if left[1]:
            return _received(left[1])
        found = await client.xreadgroup(self._group, self._who, {self._stream: ">"}, count=_AT_ONCE, block=_WAIT_MS)
        return _received(found[0][1]) if found else []

    async def again(self) -> None:
        """What we have and did not acknowledge comes first."""
        self._own = True

    async def _make_group(self) -> None:
        from redis.exceptions import ResponseError

        try:
            await self._client.xgroup_create(self._stream, self._group, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    async def done(self, received: list[Received]) -> None:
        """Acknowledge."""
        if received:
            await self._do(self._client.xack(self._stream, self._group, *(one.mark for one in received)))


def _received(entries: list[Any]) -> list[Received]:
    return [Received((fields or {}).get(b"event", b""), mark) for mark, fields in entries]
