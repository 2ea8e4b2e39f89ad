"""Steps in turn: what really happens at once is put into an order that a seed decides.

Steps that are under way together end in an order that nobody can foretell, and their run's history says which.
Two executions are comparable only if that order is the same.  Here each step waits until nothing else is left to
do, and they go one at a time:

    a ─┐                          a, then c, then b: by time, then by a hash of seed and step
    b ─┼─ all at rest ─> one goes ─> its outcome, and what comes of it ─> all at rest ─> …
    c ─┘

Owns when a step's function is called; how is the wrapped runtime's matter.
"""

from __future__ import annotations

from collections import Counter
from hashlib import blake2b
from typing import TYPE_CHECKING

from ripresa.contracts.durations import Duration, micros

if TYPE_CHECKING:
    from ripresa.ports.runtime import Runtime, Work
    from ripresa.testing.clock import VirtualClock


class StepsInTurn:
    """A runtime around another: steps take up to `longest` of virtual time each, and end one at a time."""

    attempts_max = None
    """All wait in here; the wrapped runtime gets one at a time."""

    def __init__(self, runtime: Runtime, clock: VirtualClock, *, seed: int, longest: Duration = 0) -> None:
        self._runtime = runtime
        self._clock = clock
        self._seed = seed
        self._tries: Counter[str] = Counter()
        self._longest_us = micros(longest, where="StepsInTurn(longest)")

    async def run(self, work: Work) -> str:
        """Wait for the turn of this attempt, then do as the wrapped runtime does."""
        context = work.context() if callable(work.context) else work.context
        self._tries[context.idempotency_key] += 1  # the attempt's number depends on real time after a person's retry
        text = f"{self._seed}/{context.idempotency_key}/{self._tries[context.idempotency_key]}"
        order = blake2b(text.encode(), digest_size=8).hexdigest()
        takes_us = self._longest_us * int(order, 16) >> 64
        await self._clock.turn(self._clock.now() + takes_us, order)
        return await self._runtime.run(work)

    async def close(self) -> None:
        """Close the wrapped runtime."""
        await self._runtime.close()
