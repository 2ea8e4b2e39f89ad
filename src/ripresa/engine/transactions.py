"""Transactions: the runtime of steps that are done in the store's own transaction.

    connection, begin ─> effect `tx:KEY` there? ── yes ─> its output
                                └─ no ─> the step ─> effect with its output ─> commit

The journal is written afterwards, as that of any step; a crash between the two makes another attempt, which finds the
effect.  A store that is out of reach is asked again: nothing was done, or it will say so.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from typing import TYPE_CHECKING, Any

from ripresa.contracts.errors import StoreUnavailable
from ripresa.contracts.step_context import STEP_CONTEXT
from ripresa.ports.effects import Effect

if TYPE_CHECKING:
    from collections.abc import Callable

    from ripresa.ports.runtime import Work
    from ripresa.ports.store import Store

logger = logging.getLogger("ripresa.engine")

_ASK_AGAIN_S = 0.05
_ASK_AGAIN_S_MAX = 1.0


class Transactions:
    """A runtime that lends the store's connections."""

    attempts_max = None

    def __init__(self, store: Store, now: Callable[[], int]) -> None:
        self._store = store
        self._now = now

    async def run(self, work: Work) -> str:
        """Do the step once, and return its output as JSON text; what it raises passes through."""
        context = work.context() if callable(work.context) else work.context
        key = context.idempotency_key
        effect = Effect(f"tx:{key}", context.run_uuid, key, 0, self._now())
        wait_s = _ASK_AGAIN_S
        while True:
            try:
                return await self._store.transact(effect, _with_connection(work, context))
            except StoreUnavailable as error:
                logger.warning("step %s of run %s waits for the store: %s", context.operation, context.run_id, error)
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, _ASK_AGAIN_S_MAX)

    async def close(self) -> None:
        """Nothing is held."""


def _with_connection(work: Work, context: Any) -> Callable[[Any], Any]:
    """The step as a function of the connection; its output as JSON text, or an awaitable of it."""

    async def wait(connection: Any) -> str:
        token = STEP_CONTEXT.set(context)
        try:
            return work.dump(await work.function(connection, *work.args, **work.kwargs))
        finally:
            STEP_CONTEXT.reset(token)

    def call(connection: Any) -> str:
        token = STEP_CONTEXT.set(context)
        try:
            return work.dump(work.function(connection, *work.args, **work.kwargs))
        finally:
            STEP_CONTEXT.reset(token)

    return wait if inspect.iscoroutinefunction(work.function) else call
