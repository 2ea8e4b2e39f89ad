"""Lending: transactions in which a step does something of its own beside what is ours.

A step's transaction has a connection of its own, with the settings that the database gives its user; the schema of the
store is not on its search path.  Its row in `effect` is put in first, so that a second one that is to do the same waits
for it, and then finds it.  Invariant: such a row is seen by others only with its output.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from ripresa.contracts.errors import NoTransactions, StoreError
from ripresa.ports.effects import Effect
from ripresa.stores.postgres.address import Address
from ripresa.stores.postgres.connection import STATEMENT_S
from ripresa.stores.postgres.faults import ERRORS, broke_connection, is_transient, store_error
from ripresa.stores.postgres.texts import storable_value

_KEPT = 4
_TRIES = 8
_SETTINGS = {"application_name": "ripresa step", "idle_in_transaction_session_timeout": "60s"}


class Lending:
    """Connections for the transactions of steps: made when they are wanted, and a few of them kept."""

    def __init__(self, address: Address, *, lock_timeout_s: float, rest: Callable[[int], Awaitable[None]]) -> None:
        self._address = address
        self._settings = {**_SETTINGS, "lock_timeout": f"{int(lock_timeout_s * 1000)}ms"}
        self._rest = rest
        self._kept: list[Any] = []

    async def close(self) -> None:
        """Let go of the connections that nobody uses."""
        kept, self._kept = self._kept, []
        for connection in kept:
            connection.terminate()

    async def transact(self, effect: Effect, work: Callable[[Any], Any]) -> str:
        """As the port has it."""
        if not inspect.iscoroutinefunction(work):
            raise NoTransactions("PostgreSQL's connection is for an async def function: write `async def` for `def`")
        once = _Once(effect, work, f'"{self._address.schema}".effect')
        doing = asyncio.ensure_future(self._again(once))
        doing.add_done_callback(_seen)  # who is cancelled does not ask what became of it
        while True:
            try:
                return await asyncio.shield(doing)
            except asyncio.CancelledError:
                if doing.done():
                    raise
                if not once.committing:
                    doing.cancel()
                    await asyncio.wait([doing])
                    raise

    async def _again(self, once: _Once) -> str:
        """Do what was taken back for the sake of another transaction once more."""
        tries = 0
        while True:
            try:
                async with self._connection() as connection:
                    return await self._told(once, connection)
            except asyncpg.PostgresError as error:
                tries += 1
                if not is_transient(error) or tries == _TRIES:
                    raise
            await self._rest(tries)

    async def _told(self, once: _Once, connection: Any) -> str:
        try:
            return await once.do(connection)
        except ERRORS as error:
            if broke_connection(error) and (connection.is_closed() or once.committing):
                raise store_error(error, self._address.shown, committing=once.committing) from error
            raise

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        while self._kept and self._kept[-1].is_closed():
            self._kept.pop()
        connection = self._kept.pop() if self._kept else await self._connect()
        try:
            yield connection
        except BaseException:
            connection.terminate()
            raise
        as_new = len(self._kept) < _KEPT and await _is_as_new(connection)
        if as_new and len(self._kept) < _KEPT:  # others may have come back meanwhile
            self._kept.append(connection)
        else:
            connection.terminate()

    async def _connect(self) -> Any:
        try:
            return await self._address.servers.connect(command_timeout=STATEMENT_S, server_settings=self._settings)
        except ERRORS as error:
            raise store_error(error, self._address.shown) from error


def _seen(done: asyncio.Future[str]) -> None:
    if not done.cancelled():
        done.exception()


async def _is_as_new(connection: Any) -> bool:
    """Whether nothing is left on it of what was done; if it breaks now, what was done is done all the same."""
    try:
        await connection.reset()
    except ERRORS:
        return False
    return not connection.is_closed()


class _Once:
    """What is done at most once, whoever is first."""

    def __init__(self, effect: Effect, work: Callable[[Any], Awaitable[str]], table: str) -> None:
        self.committing = False
        self._effect = effect
        self._work = work
        self._table = table

    async def do(self, connection: Any) -> str:
        """The output, of this or of who was first.  What the work raises passes."""
        self.committing = False
        transaction = connection.transaction()
        await transaction.start()
        try:
            known = await self._begin(connection)
            if known is not None:
                return known
            begun = await connection.fetchval("SELECT pg_current_xact_id()::text")
            output = await self._work(connection)
            await _require_same(connection, begun)
            await connection.execute(
                f"UPDATE {self._table} SET output = $2 WHERE id = $1",  # noqa: S608 - a name that was checked
                self._effect.id,
                storable_value(output),
            )
        except BaseException:
            if connection.is_in_transaction():
                await transaction.rollback()
            raise
        self.committing = True
        await transaction.commit()
        return output

    async def _begin(self, connection: Any) -> str | None:
        """Put the effect in; the output, if it has happened."""
        new = await connection.fetchval(
            f"INSERT INTO {self._table} (id, run, holder, fingerprint, at) VALUES ($1, $2, $3, $4, $5) "  # noqa: S608 - as above
            "ON CONFLICT (id) DO NOTHING RETURNING true",
            *storable_value(tuple(self._effect[:5])),
        )
        if new:
            return None
        output: str | None = await connection.fetchval(
            f"SELECT output FROM {self._table} WHERE id = $1",  # noqa: S608 - as above
            self._effect.id,
        )
        if output is None:
            raise StoreError(f"effect {self._effect.id} has no output: its step ended the transaction it was given")
        return output


async def _require_same(connection: Any, begun: str) -> None:
    """Raise StoreError unless the transaction that has begun is still open."""
    now = await connection.fetchval("SELECT pg_current_xact_id()::text") if connection.is_in_transaction() else None
    if now != begun:
        raise StoreError("the step has ended the transaction that it was given: it must not")
