"""What comes from outside an engine, on PostgreSQL: the port's verbs, alone or in a transaction of the caller's."""

from __future__ import annotations

from typing import Any

from ripresa.contracts.errors import RunFinished, RunNotFound
from ripresa.ports.rows import Definition, HistoryEvent, Message, NewRun
from ripresa.stores.payloads import check_in
from ripresa.stores.postgres.batch import NO_PAIRS, columns, packed
from ripresa.stores.postgres.hold import Hold, call
from ripresa.stores.postgres.joining import WHICH, table_of, within
from ripresa.stores.postgres.texts import storable_value

_SUBMIT = call("submit_1", 2 + 14 + 11 + 2 + 2)
_SEND = call("send_1", 8)


class OutsideVerbs(Hold):
    """The verbs of `ports.outside.OutsideStore`, for the PostgreSQL store."""

    _which: str | None = None
    """The database that the store is in, as it was when last asked: a server that starts anew is another."""

    async def send(self, message: Message, *, connection: Any = None) -> None:
        message = storable_value(message)
        outcome = await self._joined(connection, _SEND, *self._signature(), *message)
        match outcome:
            case "missing":
                raise RunNotFound(message.run, f"no run has the id {message.run!r}")
            case "kept":
                if connection is None:
                    self._tell_all()
            case "known":
                pass
            case status:
                raise RunFinished(message.run, f"run {message.run!r} has {status} and takes no more messages")

    async def submit(
        self,
        run: NewRun,
        first: HistoryEvent,
        tags: dict[str, str],
        definition: Definition | None = None,
        *,
        connection: Any = None,
    ) -> bool:
        run, first, tags, definition = storable_value((run, first, tags, definition))
        blobs: dict[str, str] = {}
        params = (
            *columns(check_in([run], blobs)),
            *columns(check_in([first], blobs)),
            *(columns(list(blobs.items())) if blobs else NO_PAIRS),
            packed([(run.id, name, value) for name, value in tags.items()]),
            packed([] if definition is None else [definition]),
        )
        created: bool = await self._joined(connection, _SUBMIT, *self._signature(), *params)
        if created and connection is None:
            self._tell_all()
        return created

    async def _joined(self, connection: Any, query: str, *params: Any) -> Any:
        """The query's value; within the caller's own transaction, if it has one: then engines hear of it at its end."""
        if connection is not None:
            return await within(connection, self.address, self._is_ours, query, *params)
        return await self._again(self._idlest(), lambda one: one.fetchval(query, *params))

    async def _is_ours(self, found: str) -> bool:
        if found != self._which:
            self._which = await self._look(lambda one: one.fetchval(WHICH, table_of(self.address)))
        return found == self._which
