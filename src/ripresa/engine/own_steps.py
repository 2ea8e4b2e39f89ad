"""Own steps: those that the engine itself carries out, because they read what only it may read.

A program is determined by its journal alone.  What it must know of the store – the quality of earlier runs –
it asks for as a step with the runtime `engine`, and what the engine answers is recorded like any output.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from ripresa.contracts.payload import load
from ripresa.contracts.status import StepStatus

if TYPE_CHECKING:
    from ripresa.ports.runtime import Runtime, Work
    from ripresa.ports.store import Store


async def _quality_trend(store: Store, workflow: str, step: str, run: str, limit: int) -> list[dict[str, Any]]:
    rows = await store.quality(workflow, step, limit=limit, not_of=run)
    return [load(row.metrics) for row in rows if row.status == StepStatus.SUCCEEDED]


_CARRIED_OUT: dict[str, Callable[..., Awaitable[Any]]] = {"quality_trend": _quality_trend}


class OwnSteps:
    """A runtime: the step's name says what is read, its arguments of what; the rest is the inline runtime's."""

    attempts_max = None

    def __init__(self, store: Store, inline: Runtime) -> None:
        self._store = store
        self._inline = inline

    async def run(self, work: Work) -> str:
        """Read, and return it as JSON text.  Raises StoreError."""
        carried_out = partial(_CARRIED_OUT[work.function.__name__], self._store)
        return await self._inline.run(replace(work, function=carried_out))

    async def close(self) -> None:
        """The inline runtime is closed by who opened it."""
