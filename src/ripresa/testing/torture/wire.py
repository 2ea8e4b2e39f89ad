"""The wire: a proxy between engines and PostgreSQL that knows when a commit goes by, and cuts, delays or holds.

    engine ── own port ──> wire ──────────────────> PostgreSQL
                            │ Bind of write_batch, COMMIT: cut before it is passed on (nothing is written),
                            │   while it is under way (nobody knows), or when the answer comes (written, and not told)
                            └ hold: nothing passes for a while, then all of it, late

It speaks the protocol's version 3 as far as it must: the lengths of messages, the names of prepared statements, and the
number of the server's process (by which a connection of ours is told from those of others).  A client that asks for
encryption is told no.
"""

from __future__ import annotations

import asyncio
import random
import struct
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress

BEFORE, UNDER_WAY, AFTER = "before", "under_way", "after"
CUTS = (BEFORE, UNDER_WAY, AFTER)

_SSL, _GSS = 80877103, 80877104
_COMMITS = (b"write_batch", b"submit_", b"send_")
_CHUNK = 65536
_CONNECT_S = 10.0


class Link:
    """One client's connection through the wire."""

    def __init__(self, wire: Wire, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.client = client
        self.server = server
        self.backend: int | None = None
        """The server's process for it."""
        self._wire = wire
        self._statements: dict[bytes, bytes] = {}
        self._cut_at_answer = False
        self._left = False
        """The client is gone, and its last statement under way."""
        self._answered = asyncio.Event()

    def cut(self) -> None:
        """Break it, both ways, without a word."""
        for end in (self.client, self.server):
            end.transport.abort()

    async def up(self, reader: asyncio.StreamReader) -> None:
        """From the client to the server."""
        text = await self._first(reader)
        self.server.write(text)
        while True:
            head = await reader.readexactly(5)
            body = await reader.readexactly(struct.unpack("!I", head[1:])[0] - 4)
            self._wire.heard(head[:1] + body)
            await self._wire.passage()
            how = self._wire.decide() if self._is_commit(head[:1], body) else None
            if how == BEFORE:
                self._wire.fired(how)
                self.cut()
                return
            if how == UNDER_WAY:
                await self._send_on(head + body, reader)
                return
            self._cut_at_answer |= how == AFTER
            self.server.write(head + body)
            await self.server.drain()

    async def down(self, reader: asyncio.StreamReader) -> None:
        """From the server to the client."""
        while True:
            head = await reader.readexactly(5)
            body = await reader.readexactly(struct.unpack("!I", head[1:])[0] - 4)
            await self._wire.passage()
            if head[:1] == b"K":
                self.backend = struct.unpack("!I", body[:4])[0]
            if self._left:
                if head[:1] == b"Z":
                    self._answered.set()
                continue
            if self._cut_at_answer:
                if head[:1] == b"E":  # it was not written after all
                    self._cut_at_answer = False
                elif head[:1] == b"Z":
                    self._wire.fired(AFTER)
                    self.cut()
                    return
                else:
                    continue
            self.client.write(head + body)
            await self.client.drain()

    async def _send_on(self, sent: bytes, reader: asyncio.StreamReader) -> None:
        """Break off, and only then pass on the statement: a simple query is one message, others go up to the Sync."""
        kind = sent[:1]
        while kind not in {b"Q", b"S"}:
            head = await reader.readexactly(5)
            sent += head + await reader.readexactly(struct.unpack("!I", head[1:])[0] - 4)
            kind = head[:1]
        self._left = True
        self._wire.fired(UNDER_WAY)
        self.client.transport.abort()
        await self._wire.linger()
        self.server.write(sent)
        await self.server.drain()
        await self._answered.wait()
        self._wire.arrived.set()

    async def _first(self, reader: asyncio.StreamReader) -> bytes:
        """The startup message."""
        while True:
            head = await reader.readexactly(8)
            length, code = struct.unpack("!II", head)
            if code not in {_SSL, _GSS}:
                return head + await reader.readexactly(length - 8)
            self.client.write(b"N")

    def _is_commit(self, kind: bytes, body: bytes) -> bool:
        if kind == b"P":
            name, text = body.split(b"\0")[:2]
            self._statements[name] = text
        elif kind == b"B":
            text = self._statements.get(body.split(b"\0")[1], b"")
            return any(word in text for word in _COMMITS)
        return kind == b"Q" and body.upper().startswith(b"COMMIT")


class Wire:
    """All links of one engine, on a port of its own."""

    def __init__(self, host: str, port: int, *, decide: Callable[[], str | None], fired: Callable[[str], None]) -> None:
        self.port = 0
        self.links: set[Link] = set()
        self.decide = decide
        """How to cut at the commit that goes by; None: not at all."""
        self.fired = fired
        self.heard: Callable[[bytes], object] = lambda _: None
        """Told what clients ask: kind and text of each message."""
        self.delay_s = 0.0
        """Each message is held up to so long."""
        self.linger: Callable[[], Awaitable[object]] = _at_once
        """What a commit that is under way waits for before it reaches the server."""
        self.arrived = asyncio.Event()
        """The server has answered one of those."""
        self._host, self._port = host, port
        self._open = asyncio.Event()
        self._open.set()
        self._dice = random.Random(port)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Break all links, and listen no more."""
        if self._server is not None:
            self._server.close()
        for link in list(self.links):
            link.cut()
        self._open.set()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def hold(self) -> None:
        """Let nothing pass until `release`."""
        self._open.clear()

    def release(self) -> None:
        """Let pass what was held, and all that follows."""
        self._open.set()

    async def passage(self) -> None:
        """Wait as long as a message has to."""
        if self.delay_s:
            await asyncio.sleep(self._dice.uniform(0, self.delay_s))
        if not self._open.is_set():
            await self._open.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._link(reader, writer)
        except asyncio.CancelledError:
            pass  # the wire is closed
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, server = await asyncio.wait_for(asyncio.open_connection(self._host, self._port), _CONNECT_S)
        except OSError:
            return
        link = Link(self, writer, server)
        self.links.add(link)
        ways = [asyncio.create_task(link.up(reader)), asyncio.create_task(link.down(there))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.links.discard(link)
            for way in ways:
                way.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.gather(*ways, return_exceptions=True)
            for end in (writer, server):
                end.close()


async def _at_once() -> None:
    """Wait for nothing."""


class Cuts:
    """So many cuts in all, spread over the commits of all wires."""

    def __init__(self, number: int, dice: random.Random, *, share: float) -> None:
        self.left = number
        self.done: Counter[str] = Counter()
        self.open = True
        """Whether cuts are made just now."""
        self._dice = dice
        self._share = share

    def decide(self) -> str | None:
        """For the commit that goes by."""
        if not self.open or self.left <= 0 or self._dice.random() >= self._share:
            return None
        return self._dice.choice(CUTS)

    def fired(self, how: str) -> None:
        self.done[how] += 1
        self.left -= 1
