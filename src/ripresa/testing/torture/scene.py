"""The scene: what all parts of a run of the harness share – where it is done, what was done so far, and what broke."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

from ripresa.testing.torture.plan import Options

LOOK_S = 0.05
WITHIN_S = 60.0
"""What has to happen, happens within this time, or is reported."""


class Scene:
    """One store, a folder for what is written about it, and the dice."""

    def __init__(self, options: Options, place: Any, directory: Path, server: Any = None) -> None:
        self.options = options
        self.place = place
        self.directory = directory
        self.server = server
        """PostgreSQL, if it is ours."""
        self.dice = random.Random(options.seed)
        self.fired: Counter[str] = Counter()
        """Faults, by name."""
        self.broken: list[str] = []
        """Promises."""
        self.stopping = asyncio.Event()
        """No more faults: let it end."""
        self._tasks: set[asyncio.Task[None]] = set()

    async def pause(self, low: float, high: float) -> None:
        """Let some time pass, unless it is to end."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.stopping.wait(), self.dice.uniform(low, high))

    def background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Have it done beside the rest; what it raises is reported."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._settled)
        return task

    async def close(self) -> None:
        """End what is done beside the rest."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _settled(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.broken.append(f"the harness itself: {task.exception()!r}")


async def until(is_so: Callable[[], bool], within_s: float = WITHIN_S) -> bool:
    """Wait until it is so; false: it is not, for so long."""
    deadline = time.monotonic() + within_s
    while not (so := is_so()) and time.monotonic() < deadline:  # noqa: ASYNC110 - what it looks at, other processes do
        await asyncio.sleep(LOOK_S)
    return so
