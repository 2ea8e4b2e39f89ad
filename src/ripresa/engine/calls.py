"""Calls: which verbs of the store are under way, for a clock that jumps.

A server takes real time to answer.  Whoever asks it – a task of the engine's, or a caller in the middle of a verb – is
at work, and does not wait for time to pass: virtual time stands still until there is an answer, and what follows from
it is under way.  Who only looks, again and again, does not hold it up for ever.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from ripresa.engine.engine import Engine
    from ripresa.ports.store import Store


_HOLDS = 30
"""How often in a row a call may hold time up while nothing else happens: more than a verb has calls."""


class Calls:
    """What is asked of a store and has not been answered."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._under_way = 0
        self._holds = 0

    def counted(self, store: Store) -> Store:
        """The store, with what is asked of it counted here if the clock wants to know."""
        return cast("Store", _Counted(store, self)) if hasattr(self._engine.clock, "attach") else store

    async def answer(self, asked: Awaitable[Any]) -> Any:
        """Wait for an answer."""
        self._under_way += 1
        try:
            return await asked
        finally:
            self._under_way -= 1
            if not self._engine.stopping:
                self._engine.watching.ask_idle()

    def hold(self) -> bool:
        """Whether time is to stand still; asked when nothing else is under way."""
        self._holds += 1
        return self._holds <= _HOLDS * self._under_way

    def go_on(self) -> None:
        """Something happens, or time moves on."""
        self._holds = 0


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
