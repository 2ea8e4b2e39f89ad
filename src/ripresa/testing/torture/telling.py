"""What steps of the tortured program tell the effect ledger: that an attempt begins, and how it ends."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from ripresa import Retry, Retryable, context
from ripresa.testing.torture import ledger

AGAIN = Retry(max_attempts=6, delay="10ms")
QUICK_S, SLOW_S = 0.02, 0.1


def begin(*payload: object, **more: object) -> dict[str, Any]:
    """Tell the ledger that an attempt begins; what it is told of it."""
    here = context()
    told = {"key": here.idempotency_key, "run": here.run_uuid, "step": here.step, "attempt": here.attempt}
    told["hash"] = ledger.payload_hash(here.step, *payload)
    told.update(more)
    ledger.note("begin", **told)
    return told


def end(told: dict[str, Any]) -> None:
    """Tell the ledger that it was done."""
    ledger.note("end", **told)


async def effect(number: int, index: int, fails: int = 0, *, within_s: float = QUICK_S) -> dict[str, Any]:
    """Take a while, and fail so many times."""
    told = begin(number, index, fails)
    await asyncio.sleep(random.Random(number * 31 + index).random() * within_s)
    if told["attempt"] <= fails:
        ledger.note("fail", **told)
        raise Retryable(f"attempt {told['attempt']} of {fails} that fail")
    return told
