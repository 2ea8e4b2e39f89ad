"""A connection that is there when it is wanted: made late, replaced when it broke, used by one at a time.

Every statement has a deadline, on both sides: the server ends it (`statement_timeout`), and if that cannot be heard of,
we drop the connection.  We never have the server cancel one: a commit that waits for a synchronous standby would be
done without that.  After a failure to connect the next try waits a little, so that a server that comes
back is not met by a crowd.  Invariant: a `Lane` never has more than one connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

from ripresa.contracts.errors import StoreUnavailable
from ripresa.stores.postgres.address import Address
from ripresa.stores.postgres.faults import ERRORS, broke_connection, is_read_only, store_error

Result = TypeVar("Result")
Work = Callable[[Any], Awaitable[Result]]

STATEMENT_S = 60.0
_GRACE_S = 5.0  # what the server has more time than we
_LIMIT_S = STATEMENT_S + _GRACE_S
LONG_S = 1800.0
"""For what goes through all that there is, statement by statement."""
_REST_S = 0.2  # between two attempts to connect

# Every statement goes along an index.  A plan that was made while the tables were empty, and is kept, would scan.
_SETTINGS = {
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_bitmapscan": "off",
    "jit": "off",
    "timezone": "UTC",
    "client_min_messages": "warning",
    # What an administrator sets for a role or a database is meant for people's sessions.
    "default_transaction_isolation": "read committed",
    "idle_in_transaction_session_timeout": "60s",
    "idle_session_timeout": "0",
}


class Lane:
    """One connection, and those who wait for it."""

    def __init__(self, address: Address, role: str, *, lock_timeout_s: float) -> None:
        self.busy = 0
        """Who uses it or waits for it."""
        self._address = address
        self._settings = {
            **_SETTINGS,
            "application_name": f"ripresa {role}",
            "search_path": f'"{address.schema}"',
            "lock_timeout": f"{int(lock_timeout_s * 1000)}ms",
            "statement_timeout": f"{int(STATEMENT_S * 1000)}ms",
        }
        self._turn = asyncio.Lock()
        self._connection: Any = None
        self._failed_at = float("-inf")
        self._closed = True

    async def do(self, work: Work[Result], *, limit_s: float = _LIMIT_S) -> Result:
        """Do work that may be done twice.  Raises a StoreError in place of the driver's; what else it raises passes.

        If a connection breaks that was made for earlier work, the work is done on a new one.  After `limit_s` it is
        given up, with its connection.
        """
        self.busy += 1
        try:
            async with self._turn:
                if self._connection is not None and not self._connection.is_closed():
                    try:
                        return await self._within(self._connection, work, limit_s)
                    except ERRORS as error:
                        self._note(error)
                        if not broke_connection(error) or isinstance(error, TimeoutError):
                            raise store_error(error, self._address.shown) from error
                connection = await self._connect()
                try:
                    return await self._within(connection, work, limit_s)
                except ERRORS as error:
                    self._note(error)
                    raise store_error(error, self._address.shown) from error
        finally:
            self.busy -= 1

    async def raw(self, work: Work[Result]) -> Result:
        """Do work once.  The driver's errors pass; a failure to connect is told as StoreUnavailable."""
        self.busy += 1
        try:
            async with self._turn:
                connection = self._connection
                if connection is None or connection.is_closed():
                    connection = await self._connect()
                try:
                    return await self._within(connection, work, _LIMIT_S)
                except ERRORS as error:
                    self._note(error)
                    raise
        finally:
            self.busy -= 1

    async def _within(self, connection: Any, work: Work[Result], limit_s: float) -> Result:
        """Do it; drop the connection if that takes too long."""
        late = False

        def give_up() -> None:
            nonlocal late
            late = True
            connection.terminate()

        deadline = asyncio.get_running_loop().call_later(limit_s, give_up)
        try:
            return await work(connection)
        except ERRORS as error:
            if late:
                raise TimeoutError(f"no answer within {limit_s:g} s") from error
            raise
        finally:
            deadline.cancel()

    def _note(self, error: BaseException) -> None:
        if broke_connection(error) or is_read_only(error):  # another server may take writes
            self.drop()

    async def _connect(self) -> Any:
        loop = asyncio.get_running_loop()
        if self._closed:
            raise StoreUnavailable(f"{self._address.shown} is not open: call open() first")
        if loop.time() < self._failed_at + _REST_S:
            await asyncio.sleep(self._failed_at + _REST_S - loop.time())
        try:
            self._connection = await connect(self._address, self._settings)
        except ERRORS as error:
            self._failed_at = loop.time()
            raise store_error(error, self._address.shown) from error
        return self._connection

    def reopen(self) -> None:
        """Connections may be made, again if they were closed before."""
        self._closed = False
        self._turn = asyncio.Lock()

    def drop(self) -> None:
        """Let go of the connection from one moment to the next; the next who wants it makes another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def close(self) -> None:
        """Let who uses it end, then let go."""
        async with self._turn:
            self._closed = True
            connection, self._connection = self._connection, None
        if connection is not None and not connection.is_closed():
            with suppress(*ERRORS):
                await connection.close(timeout=_GRACE_S)


async def connect(address: Address, settings: dict[str, str]) -> Any:
    """A connection.  Raises the driver's errors."""
    return await address.servers.connect(
        server_settings=settings,
        statement_cache_size=256,
        max_cached_statement_lifetime=0,
        max_cacheable_statement_size=0,
    )
