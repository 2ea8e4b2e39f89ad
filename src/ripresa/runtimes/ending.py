"""Ending: work that must be brought to its end, whoever has stopped waiting for it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any


async def to_the_end(ending: Coroutine[Any, Any, Any]) -> None:
    """Await it whole; further cancellations change nothing, for the first is already on its way."""
    task = asyncio.ensure_future(ending)
    while not task.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(task)
    task.result()
