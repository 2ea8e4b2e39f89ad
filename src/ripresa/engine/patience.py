"""Patience: what an engine does by itself waits for a store that is out of reach, as its commits do.

A database that restarts must not end the engines that work on it.  So whatever the engine's own tasks ask of the store
is asked again until the store answers; what people ask is told at once that the store is away.  Invariant: a verb that
is asked again answers as if it had been asked once – that is a promise of the stores.  Those that give out runs or
slots do not, and are not among them: who was not told asks for all that is its own (`Loading.unsure`, `Pools.serve`).
"""

from __future__ import annotations

import asyncio
import logging
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, cast

from ripresa.contracts.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from ripresa.ports.store import Store

logger = logging.getLogger("ripresa.engine")

patient: ContextVar[bool] = ContextVar("patient", default=False)
"""Set in the engine's own tasks."""

_ASKED_AGAIN = frozenset(
    [
        "admit",
        "attempts",
        "changed",
        "children",
        "claim",
        "get_run",
        "history",
        "line",
        "list_runs",
        "load",
        "logs",
        "messages",
        "next_due",
        "place",
        "pools",
        "put_pool",
        "send",
        "statuses",
    ]
)
_WAIT_S = 0.02
_WAIT_S_MAX = 1.0


def patiently(store: Store) -> Store:
    """The store, asked again and again by whoever is patient."""
    return cast("Store", _Patient(store))


class _Patient:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._away = False

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self._store, name)
        if name not in _ASKED_AGAIN:
            return verb

        async def ask(*args: Any, **kwargs: Any) -> Any:
            if not patient.get():
                return await verb(*args, **kwargs)
            return await self._ask(verb, *args, **kwargs)

        return ask

    async def _ask(self, verb: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        wait_s = _WAIT_S
        while True:
            try:
                answer = await verb(*args, **kwargs)
            except StoreUnavailable as error:
                if not self._away:
                    logger.warning("the store cannot be asked for now, trying again: %s", error)
                self._away = True
            else:
                if self._away:
                    logger.warning("the store answers again")
                self._away = False
                return answer
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, _WAIT_S_MAX)
