"""Calls: which verbs of the store are under way, for a clock that jumps.

A server takes real time to answer.  Whoever asks it – a task of the engine's, or a caller in the middle of a verb – is
at work, and does not wait for time to pass: virtual time stands still until there is an answer, and what follows from
it is under way.  Who only looks, again and again, does not hold it up for ever.
"""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from ripresa.engine.engine import Engine
    from ripresa.ports.store import Store


_LOOKS = 30
"""So often in a row a task may ask while nothing else happens, and hold time up: more than a verb has calls."""


class Calls:
    """What is asked of a store and has not been answered."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._holding = 0
        self._looks: dict[asyncio.Task[Any] | None, int] = {}
        """How often each task has asked since anything happened."""

    def counted(self, store: Store) -> Store:
        """The store, with what is asked of it counted here if the clock wants to know."""
        return cast("Store", _Counted(store, self)) if hasattr(self._engine.clock, "attach") else store

    async def answer(self, asked: Awaitable[Any]) -> Any:
        """Wait for an answer, however long it takes and whatever others ask meanwhile."""
        asks = asyncio.current_task()
        self._looks[asks] = looks = self._looks.get(asks, 0) + 1
        holds = looks <= _LOOKS
        self._holding += holds
        try:
            return await asked
        finally:
            self._holding -= holds
            if not self._engine.stopping:
                self._engine.watching.ask_idle()

    def hold(self) -> bool:
        """Whether time is to stand still; asked when nothing else is under way."""
        return self._holding > 0

    def go_on(self) -> None:
        """Something happens, or time moves on."""
        self._looks.clear()


class _Counted:
    def __init__(self, store: Store, calls: Calls) -> None:
        self._store = store
        self._calls = calls

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self._store, name)
        if not callable(verb):
            return verb

        def ask(*args: Any, **kwargs: Any) -> Any:
            asked = verb(*args, **kwargs)
            return self._calls.answer(asked) if inspect.isawaitable(asked) else asked

        return ask
