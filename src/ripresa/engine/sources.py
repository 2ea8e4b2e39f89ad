"""Sources of what is not determined: new ids and jitter.  A simulation gives its own."""

from __future__ import annotations

import os
import random
import time
from typing import Protocol


class Sources(Protocol):
    """Ids and dice for one engine."""

    def new_id(self) -> str:
        """A version 7 UUID, later than those before."""

    def jitter(self) -> float:
        """A number in [0, 1)."""


class SystemSources:
    """Version 7 UUIDs (RFC 9562 §5.7, method 3: the clock's microseconds extend the timestamp) and random jitter."""

    def __init__(self) -> None:
        self._last = 0
        self._random = random.Random(os.urandom(16))  # noqa: S311 - ids are unique, not secret

    def new_id(self) -> str:
        tick = time.time_ns() * 4096 // 1_000_000  # 4096 ticks a millisecond, as `rand_a` has 12 bits
        self._last = tick = max(tick, self._last + 1)
        return uuid7_text(tick, self._random.getrandbits(62))

    def jitter(self) -> float:
        return self._random.random()


def uuid7_text(tick: int, bits: int) -> str:
    """A version 7 UUID from a count of 1/4096 ms ticks since 1970 and 62 random bits."""
    milliseconds = tick >> 12
    text = f"{milliseconds & (2**48 - 1):012x}{0x7000 | (tick & 0xFFF):04x}{0x8000_0000_0000_0000 | bits:016x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
