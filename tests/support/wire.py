"""A wire that breaks: a proxy before PostgreSQL that cuts connections at the moment at which it hurts most.

It reads PostgreSQL's protocol as far as it must to see a commit of a store go by (connections that call themselves
`ripresa commit`), and asks `cut` what to do with it:

    None      let it pass
    "before"  cut the line before the server has it: it is not committed
    "after"   cut the line when the server has answered: it is committed, and the client is not told
    "late"    cut the line, and hand it to the server only after a while
"""

from __future__ import annotations

import asyncio
import struct
from collections import Counter
from contextlib import suppress

_SSL, _GSS = 80877103, 80877104
_LATE_S = 0.05
_SHORT = 200  # bytes: a call of the driver's own, not a commit's with its many parameters


class Wire:
    """The proxy; `cut` is called with each commit's number, counted from 1."""

    def __init__(self, host, port, cut=lambda number: None):
        self.cut = cut
        self.commits = 0
        self.fired = Counter()
        self.port = None
        self.hold = None
        """An event that late commits wait for; None: a moment."""
        self.late = asyncio.Event()
        """The server has answered one that came late."""
        self.said = []
        """What clients have asked that commit nothing: kind and text of each message."""
        self.open = 0
        """Connections that are open now."""
        self._target = host, port
        self._server = None
        self._tasks = set()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader, writer):
        task = asyncio.ensure_future(self._connect(reader, writer))  # asyncio minds if its own task is cancelled
        self._tasks.add(task)
        self.open += 1
        await asyncio.wait([task])
        self.open -= 1
        self._tasks.discard(task)

    async def _connect(self, reader, writer):
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                server_reader, server_writer = await asyncio.open_connection(*self._target)
                await _Line(self, reader, writer, server_reader, server_writer).run()
        finally:
            writer.transport.abort()


class _Line:
    """One connection."""

    def __init__(self, wire, reader, writer, server_reader, server_writer):
        self._wire = wire
        self._reader, self._writer = reader, writer
        self._server_reader, self._server_writer = server_reader, server_writer
        self._deaf = False
        """The next that the server says is not for the client any more."""
        self._answered = asyncio.Event()

    async def run(self):
        try:
            commits = await self._greet()
            up = asyncio.ensure_future(self._up_commits() if commits else self._up())
            down = asyncio.ensure_future(self._down())
            try:
                await asyncio.wait([up, down], return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (up, down):
                    task.cancel()
                await asyncio.gather(up, down, return_exceptions=True)
        finally:
            self._writer.transport.abort()
            self._server_writer.transport.abort()

    async def _greet(self):
        """Hand on how the client introduces itself; whether it is one that commits."""
        while True:
            (size,) = struct.unpack("!I", head := await self._reader.readexactly(4))
            body = await self._reader.readexactly(size - 4)
            self._server_writer.write(head + body)
            if struct.unpack("!I", body[:4])[0] not in {_SSL, _GSS}:
                return b"ripresa commit\0" in body
            self._writer.write(await self._server_reader.readexactly(1))

    async def _up(self):
        while True:
            head = await self._reader.readexactly(5)
            body = await self._reader.readexactly(struct.unpack("!I", head[1:])[0] - 4)
            self._wire.said.append(head[:1] + body)
            self._server_writer.write(head + body)
            await self._server_writer.drain()

    async def _up_commits(self):
        while True:
            head = await self._reader.readexactly(5)
            body = await self._reader.readexactly(struct.unpack("!I", head[1:])[0] - 4)
            what = self._about(head, body)
            if what in {"before", "late"}:
                sent = head + body + await self._rest() if what == "late" else b""
                self._writer.transport.abort()
                if sent:
                    await (asyncio.sleep(_LATE_S) if self._wire.hold is None else self._wire.hold.wait())
                    self._deaf = True
                    self._server_writer.write(sent)
                    await self._server_writer.drain()
                    await self._answered.wait()
                    self._wire.late.set()
                return
            self._deaf |= what == "after"
            self._server_writer.write(head + body)
            await self._server_writer.drain()

    def _about(self, head, body):
        """What to do with a message of the client."""
        if head[:1] != b"B" or len(body) < _SHORT:
            return None
        self._wire.commits += 1
        what = self._wire.cut(self._wire.commits)
        if what:
            self._wire.fired[what] += 1
        return what

    async def _rest(self):
        """What belongs to the same call: Execute and Sync."""
        sent = b""
        while sent[-5:-4] != b"S":
            head = await self._reader.readexactly(5)
            sent += head + await self._reader.readexactly(struct.unpack("!I", head[1:])[0] - 4)
        return sent

    async def _down(self):
        while chunk := await self._server_reader.read(1 << 16):
            if self._deaf:
                self._answered.set()
                return
            self._writer.write(chunk)
            await self._writer.drain()
