"""Messages: left for a run by others, and handed in to its journal once it is held.

Invariant: a message leaves the store in the transaction that puts it into the journal, so that it is taken once.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ripresa.contracts.errors import RunError
from ripresa.contracts.payload import load
from ripresa.kernel import history as h
from ripresa.ports.rows import Message, Ready

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ripresa.engine.engine import Engine
    from ripresa.engine.held import Held

logger = logging.getLogger("ripresa.engine")

_CONTROLS = ("cancel", "pause", "resume", "retry", "release")


class Messages:
    """Hands messages in, and leaves them for others."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def post(self, run: str, kind: str, name: str | None, data: str | None, *, id: str | None = None) -> None:
        """Leave a message for a run and look after it; one with an `id` that was left before is not left again."""
        engine = self._engine
        now = engine.now()
        engine.committer.batch.messages.append(Message(id or engine.sources.new_id(), run, kind, name, data, now))
        engine.committer.batch.ready.append(Ready(run, now))
        engine.committer.then(lambda _: engine.loading.look())

    async def take(self, held: Held) -> bool:
        """Hand in the messages that wait for a held run; False: it was let go of meanwhile."""
        messages = await self._engine.store.messages(held.id)
        if self._engine.held.get(held.id) is not held:
            return False
        self.hand_in(held, messages)
        return True

    def hand_in(self, held: Held, messages: Iterable[Message]) -> None:
        """Write messages into the run's journal; those that a stopped run cannot take stay where they are."""
        engine = self._engine
        for message in messages:
            if message.id in held.taken:
                continue
            if message.kind in _CONTROLS:
                held.taken.add(message.id)
                engine.committer.batch.taken.append(message.id)
                self._control(held, message)
            elif engine.may_run(held):
                held.taken.add(message.id)
                engine.committer.batch.taken.append(message.id)
                self._write(held, message)

    def _control(self, held: Held, message: Message) -> None:
        data = load(message.data) if message.data else {}
        try:
            self._engine.control.by_message(held, message.kind, data or {})
        except RunError as error:
            logger.warning("%s", error)

    def _write(self, held: Held, message: Message) -> None:
        engine = self._engine
        if message.kind == "child":
            outcome = load(message.data or "{}")
            generation, _, operation = (message.name or "").partition(":")
            if int(generation or 0) == held.base_seq:
                engine.append_and_tell(
                    held, h.CHILD_FINISHED, operation=operation, data=outcome.get("output"), error=outcome.get("error")
                )
        elif message.kind == "signal":
            engine.append_and_tell(held, h.SIGNAL_RECEIVED, name=message.name, data=message.data)
        elif message.kind == "update":
            engine.append_and_tell(held, h.UPDATE_RECEIVED, operation=message.id, name=message.name, data=message.data)
