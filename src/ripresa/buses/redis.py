"""Events over Redis Streams: added to a stream, and taken from one by a consumer group.

Each source is a consumer of its group under a name of its own, which it takes away when it is closed.  The names of
those that were killed are taken away by whoever is left.  Invariant: a name goes only while nothing is pending under
it, as Redis forgets what is pending with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Sequence
from time import monotonic
from typing import Any, Final
from urllib.parse import urlsplit

from ripresa.contracts.events import CloudEvent
from ripresa.ports.bus import Delivered, Received

_ANSWER_S: Final = 5.0
_WAIT_MS: Final = 1_000
_AT_ONCE: Final = 100
_ABANDONED_MS: Final = 10_000
"""What somebody took and has not dealt with for so long is taken by another."""
_GONE_MS: Final = 600_000
"""Who has not been heard of for so long, and has nothing pending, is gone; should he live after all, he is known again
as soon as he asks."""
_TIDY_S: Final = 60.0
_LEAVE_S: Final = 1.0
_OURS: Final = "ripresa-"

_FORGET: Final = """
local gone = 0
for _, row in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local about = {}
  for place = 1, #row, 2 do about[row[place]] = row[place + 1] end
  local may_go = string.sub(about['name'], 1, #ARGV[2]) == ARGV[2] and about['idle'] >= tonumber(ARGV[3])
  if may_go and about['pending'] == 0 then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], about['name'])
    gone = gone + 1
  end
end
return gone
"""
"""At once, as what comes to be pending in between would be lost.  KEYS: the stream; ARGV: its group, what a name begins
with, and for how many milliseconds nothing was heard of it."""


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
        self._who = f"{_OURS}{socket.gethostname()}-{os.getpid()}-{id(self):x}"
        self._own = True
        """What we took before a connection broke is asked for first."""
        self._reached = False
        """It has answered when it was asked last."""
        self._tidied_at = float("-inf")

    async def receive(self) -> list[Received]:
        """Those that wait, or that another has left lying."""
        try:
            await self._tidy()
            received: list[Received] = await self._do(self._receive())
        except OSError as error:
            self._reached = False
            if "NOGROUP" not in str(error):
                self._own = True
                raise
            await self._do(self._make_group())
            return []
        self._reached = True
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

    async def close(self) -> None:
        """Let go of the connection, and of our name, unless something is pending under it, for others to claim."""
        if self._made is not None and self._reached:
            with contextlib.suppress(Exception):  # who tidies up takes it away
                async with asyncio.timeout(_LEAVE_S):
                    await self._forget(self._who, idle_ms=0)
        await super().close()

    async def _tidy(self) -> None:
        """Take away the names of those that are gone; one who may run no scripts leaves them."""
        from redis.exceptions import ResponseError

        if not self._reached or monotonic() < self._tidied_at + _TIDY_S:
            return
        self._tidied_at = monotonic()
        try:
            await self._do(self._forget(_OURS, idle_ms=_GONE_MS))
        except OSError as error:
            if not isinstance(error.__cause__, ResponseError):
                raise

    async def _forget(self, name: str, *, idle_ms: int) -> None:
        await self._client.eval(_FORGET, 1, self._stream, self._group, name, idle_ms)

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
