"""A real PostgreSQL as the simulated world's disk.

    SimLoop, virtual time ── verb ──> hold ──┐ stands still meanwhile
                                             └──> asyncio loop, real time ── PostgresStore ──> server

Each process of the simulation has a `PostgresStore` of its own.  A verb is awaited on a loop of its own, from its
beginning to its end, before the simulation goes on: so it takes no virtual time, nothing happens beside it, and a seed
means the same each time.  What verbs do to one another when they are under way together is for other tests.  Since a
process that dies has nothing under way, the next one is given its connections, with all that the server has learnt on
them: else a seed would take three times as long.

All is done in a schema made for the purpose, which goes with `close`; nothing else of the database is touched.
"""

from __future__ import annotations

import asyncio
import secrets
from asyncio import _get_running_loop, _set_running_loop  # one loop stands still while another runs
from asyncio.tasks import _enter_task, _leave_task
from collections import defaultdict
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from asyncpg.exceptions import ConnectionDoesNotExistError

from ripresa.contracts.errors import StoreError
from ripresa.stores.postgres import PostgresStore
from ripresa.stores.postgres.address import address_of
from ripresa.stores.postgres.connection import Lane, Work, connect
from ripresa.stores.postgres.faults import ERRORS, store_error
from ripresa.stores.postgres.schema import prepare
from ripresa.testing.sim_inspector import Inspector

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import TracebackType

    from ripresa.ports.store import Store
    from ripresa.stores.postgres.address import Address
    from ripresa.testing.sim_disk import Disk

Result = TypeVar("Result")

Kept = defaultdict[str, list[Any]]
"""Connections that nobody uses, by what they are for."""

_LOSABLE = frozenset({"adopt", "claim", "claim_due", "claim_fitting", "tickets", "admit", "renew"})
"""Verbs that give what the server answers."""

_UNSYNCED = "options=-csynchronous_commit%3Doff"
"""Nothing is lost by it: the server does not crash."""


class SimPostgres:
    """A PostgreSQL database on which simulations keep their runs: `Simulation(seed, on=database)`.

    `url` is the address of any database in which a schema may be created; nothing is connected to before the first
    simulation.  One simulation at a time; the schema is dropped by `close`, or at the end of `with`.  Raises ValueError
    if `url` is no address of a PostgreSQL database, and the first simulation StoreUnavailable if it is out of reach.
    """

    def __init__(self, url: str) -> None:
        if not url.lower().startswith(("postgresql://", "postgres://")):
            raise ValueError(f"{url.partition('://')[0]!r}: a simulation's database is postgresql://user@host/database")
        self.shown = address_of(url).shown
        """The address for people; no password is in it."""
        self.schema = f"ripresa_sim_{secrets.token_hex(4)}"
        more = [f"schema={self.schema}", *([] if "options=" in url else [_UNSYNCED])]
        self.url = f"{url}{'&' if '?' in url else '?'}{'&'.join(more)}"
        self._loop = asyncio.new_event_loop()
        self._kept: Kept = defaultdict(list)
        self._inspector: Inspector | None = None
        self._disk: PostgresDisk | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Drop the schema and let go of all connections; closing twice is fine."""
        if self._loop.is_closed():
            return
        self._let_go()
        for connection in chain.from_iterable(self._kept.values()):
            connection.terminate()
        if self._inspector is not None:
            self._inspector.sql(f'DROP SCHEMA "{self.schema}" CASCADE')
            self._inspector.close()
        self.do(asyncio.sleep(0))  # what is cut is told so
        self._loop.close()

    def disk(self, monotonic: Callable[[], float]) -> Disk:
        """An empty one, in place of the one before, whose stores see time pass by this clock."""
        self._let_go()
        if self._inspector is None:
            self._inspector = self._make()
        self._inspector.empty()
        self._disk = PostgresDisk(self, self._inspector, self._kept, monotonic)
        return self._disk

    def sql(self, statement: str) -> list[Any]:
        """Do something to the schema, as nobody's process."""
        if self._inspector is None:
            self._inspector = self._make()
        return self._inspector.sql(statement)

    def do(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Await the work while everything else stands still."""
        outer = _get_running_loop()
        if outer is None:
            return self._loop.run_until_complete(work)
        task = asyncio.current_task(outer)
        if task is not None:
            _leave_task(outer, task)
        _set_running_loop(None)
        try:
            return self._loop.run_until_complete(work)
        finally:
            _set_running_loop(outer)
            if task is not None:
                _enter_task(outer, task)

    def _make(self) -> Inspector:
        address = address_of(self.url)
        try:
            connection = self.do(connect(address, {"search_path": f'"{self.schema}"'}))
            self.do(prepare(connection, address))
        except ERRORS as error:
            raise store_error(error, self.shown) from error
        return Inspector(self.do, connection)

    def _let_go(self) -> None:
        if self._disk is not None:
            self._disk.cut_all()
            self._disk = None


class PostgresDisk:
    """The schema, as one world's disk."""

    shared = True
    repeats = True

    def __init__(self, server: SimPostgres, inspector: Inspector, kept: Kept, monotonic: Callable[[], float]) -> None:
        self._server = server
        self._kept = kept
        self._monotonic = monotonic
        self._holds: list[_Hold] = []
        self.listeners: dict[object, Callable[[], None]] = {}
        self.living = inspector.living
        self.held = inspector.held
        self.run = inspector.run
        self.journal = inspector.journal
        self.inbox = inspector.inbox
        self.open_keys = inspector.open_keys
        self.granted = inspector.granted
        self.needs = inspector.needs
        self.pools = inspector.pools
        self.found = inspector.found

    def hold(self) -> Store:
        hold = _Hold(self._server.do)
        hold.store = _Store(self._server.url, self._kept, self._monotonic, partial(self._tell, hold), self._tell)
        self._holds.append(hold)
        return cast("Store", hold)

    def cut(self, hold: _Hold) -> None:
        hold.store.cut()

    def lose_answer(self, hold: _Hold) -> None:
        hold.losing = True

    def cut_all(self) -> None:
        """All processes are dead."""
        for hold in self._holds:
            hold.store.cut()

    def _tell(self, but: object = None) -> None:
        for hold, tell in list(self.listeners.items()):
            if hold is not but:
                tell()


class _Hold:
    """A process's hold: each verb of its store in one stroke."""

    shared = True
    store: _Store
    losing = False
    """Whether the next answer does not reach the store, but only who notes what was done."""

    def __init__(self, do: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        self._do = do

    def __getattr__(self, verb: str) -> Any:
        real = getattr(self.store, verb)

        async def in_one_stroke(*args: Any, **kwargs: Any) -> Any:
            losing, self.losing = self.losing, False
            work = real(*args, **kwargs)
            return self._do(self._unheard(work) if losing and verb in _LOSABLE else work)

        return in_one_stroke

    async def _unheard(self, work: Coroutine[Any, Any, Any]) -> Any:
        ear = self.store.ear
        ear.deaf, ear.missed = True, None
        try:
            return await work
        except StoreError:
            if ear.missed is None:
                raise
            return ear.missed
        finally:
            ear.deaf = False


class _Ear:
    """Whether a store hears what the server answers."""

    deaf = False
    missed: Any = None


class _Store(PostgresStore):
    """A store that has no heartbeat of its own, and tells others by the world's words."""

    def __init__(
        self,
        url: str,
        kept: Kept,
        monotonic: Callable[[], float],
        tell_others: Callable[[], None],
        tell_all: Callable[[], None],
    ) -> None:
        self._kept = kept
        self.ear = _Ear()
        super().__init__(url, heartbeat_thread=False, monotonic=monotonic)
        self._tells = tell_others, tell_all

    def cut(self) -> None:
        """The process is dead."""
        for lane in (self._commits, self._work, *self._others):
            cast("_Lane", lane).give_back()

    def _lane(self, role: str) -> Lane:
        return _Lane(self.address, role, self._kept[role], self.ear, lock_timeout_s=self._lock_timeout)

    def _tell_others(self) -> None:
        self._tells[0]()

    def _tell_all(self) -> None:
        self._tells[1]()


class _Lane(Lane):
    """A lane whose connection goes to another process when its own has ended."""

    def __init__(self, address: Address, role: str, kept: list[Any], ear: _Ear, *, lock_timeout_s: float) -> None:
        super().__init__(address, role, lock_timeout_s=lock_timeout_s)
        self._kept = kept
        self._ear = ear

    async def raw(self, work: Work[Result]) -> Result:
        return await super().raw(partial(self._answered, work))

    async def _answered(self, work: Work[Result], connection: Any) -> Result:
        answer = await work(connection)
        if self._ear.deaf and answer is not None:
            self._ear.deaf, self._ear.missed = False, answer
            raise ConnectionDoesNotExistError("connection was closed in the middle of operation (simulated)")
        return answer

    def give_back(self) -> None:
        """Nobody uses it any more."""
        self._closed = True
        connection, self._connection = self._connection, None
        if connection is not None and not connection.is_closed():
            self._kept.append(connection)

    async def close(self) -> None:
        self.give_back()

    async def _connect(self) -> Any:
        if self._closed or not self._kept:
            return await super()._connect()
        self._connection = self._kept.pop()
        return self._connection
