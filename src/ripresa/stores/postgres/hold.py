"""A store's hold on a schema: its connections, what it is called there, and whom it tells of what it wrote.

    commits ─────────────> lane 1 ──────────────────────┐
    claims, loads ───────> lane 2 ──────────────────────┤
    lists, sends, looks ─> lanes 3–5, made when needed ─┼─> one schema
    heartbeat ───────────> a thread's own ──────────────┤
    NOTIFY, LISTEN ──────> one each ────────────────────┘

The verbs of each part of the port are built on it.  Where two transactions meet in two orders PostgreSQL ends one of
them, and it is done again, after a wait that is nobody else's.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any, TypeVar

from ripresa.ports.lease import Lease
from ripresa.stores.postgres.address import address_of
from ripresa.stores.postgres.connection import Lane
from ripresa.stores.postgres.faults import ERRORS, fenced, is_conflict, store_error
from ripresa.stores.postgres.listening import Listener, Teller
from ripresa.stores.postgres.loading import Row, rows_of

Result = TypeVar("Result")

TRIES = 8
"""Of what was taken back for the sake of another transaction."""

_LANES = 3
_WAIT_S = 0.02


class Hold:
    """The connections of one store, used by all its verbs."""

    def __init__(self, url: str, *, lock_timeout: float) -> None:
        self.address = address_of(url)
        self.url = self.address.shown
        self._lock_timeout = lock_timeout
        self._instance = secrets.randbits(62)
        self._numbers = count(1)
        self._commits = self._lane("commit")
        self._work = self._lane("engine")
        self._others = [self._lane("look") for _ in range(_LANES)]
        self._teller: Teller | None = None
        self._listener: Listener | None = None
        self._tell: Callable[[], None] | None = None
        self._closing: set[asyncio.Task[None]] = set()

    def watch(self, tell: Callable[[], None] | None) -> None:
        self._tell = tell
        if self._listener is not None:
            task = asyncio.get_running_loop().create_task(self._listener.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
            self._listener = None
        if tell is not None:
            self._listener = Listener(self.address, str(self._instance), tell, lock_timeout_s=self._lock_timeout)

    def _take_hold(self) -> None:
        """Connections may be made from now on."""
        for lane in (self._commits, self._work, *self._others):
            lane.reopen()
        self._teller = Teller(self.address, str(self._instance), lock_timeout_s=self._lock_timeout)

    async def _let_go(self) -> None:
        """Let what is under way end, tell what is left to tell, and close the connections."""
        self.watch(None)
        while self._closing:
            await asyncio.wait(self._closing)
        if self._teller is not None:
            await self._teller.close()
        for lane in (self._commits, self._work, *self._others):
            await lane.close()

    def _lane(self, role: str) -> Lane:
        return Lane(self.address, role, lock_timeout_s=self._lock_timeout)

    def _idlest(self) -> Lane:
        """A connection of those for looks and sends; another one is made only while all others are in use."""
        return min(self._others, key=lambda lane: lane.busy)

    async def _look(self, work: Callable[[Any], Awaitable[Result]]) -> Result:
        return await self._idlest().do(work)

    async def _rows(self, kind: type[Row], query: str, *params: Any) -> list[Row]:
        return await self._look(lambda one: rows_of(one, kind, query, *params))

    async def _again(self, lane: Lane, work: Callable[[Any], Awaitable[Any]]) -> Any:
        """Do what may be taken back for the sake of another transaction, until it is not."""
        tries = 0
        while True:
            try:
                return await lane.raw(work)
            except ERRORS as error:
                tries += 1
                if not is_conflict(error) or tries == TRIES:
                    raise store_error(error, self.url, committing=True) from error
            await rest(tries)

    async def _as_owner(self, lease: Lease, work: Callable[[Any], Awaitable[Any]]) -> Any:
        """What the server answers an engine.  Raises EngineFenced if it answers nothing: the lease is broken."""
        answer = await self._again(self._work, work)
        if answer is None:
            raise fenced(lease)
        return answer

    def _signature(self) -> tuple[int, int]:
        """Who writes what no engine writes, and which of its writes it is."""
        return -self._instance, next(self._numbers)

    def _tell_others(self) -> None:
        if self._teller is not None:
            self._teller.tell()

    def _tell_all(self) -> None:
        """Our own engine too: what was locked while it looked, it has passed over."""
        self._tell_others()
        if self._tell is not None:
            self._tell()


async def rest(tries: int) -> None:
    """Wait a while that is nobody else's."""
    await asyncio.sleep(random.uniform(0, _WAIT_S * tries))  # noqa: S311 - to keep apart, not to keep secret


def call(function: str, params: int) -> str:
    """The query that calls a function of the schema."""
    return f"SELECT {function}({', '.join(f'${number}' for number in range(1, params + 1))})"
