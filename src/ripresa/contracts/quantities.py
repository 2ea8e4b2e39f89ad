"""Quantities of CPU and memory, in the grammar of Kubernetes: `500m`, `2`, `0.5`; `512Mi`, `2Gi`, `1.5G`."""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

_CPU = re.compile(r"(?P<number>[0-9]{1,6})(?P<unit>m?)|(?P<decimal>[0-9]{1,4}\.[0-9]{1,3})", re.ASCII)
_MEMORY = re.compile(r"(?P<number>[0-9]{1,18}(?:\.[0-9]{1,6})?)(?P<unit>[kKMGTP]i?|)", re.ASCII)
_POWERS = {"": 0, "k": 1, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5}
_WRONG = re.compile(r"(?P<number>[0-9.]+) ?(?P<prefix>[kKmMgGtT])(?:i?[bB]|i)?")

CPU_MILLIS_MAX = 1_000_000
MEMORY_BYTES_MIN = 6 * 1024**2
MEMORY_BYTES_MAX = 64 * 1024**4


@lru_cache(maxsize=1024)
def cpu_millis(text: str) -> int:
    """Thousandths of a core.  Raises ValueError with a message that says how to write it."""
    found = _CPU.fullmatch(text)
    if not found:
        raise ValueError(f"{text[:40]!r} is no amount of CPU (write 500m for half a core, 2 for two)")
    millis = Fraction(found["decimal"] or found["number"]) * (1 if found["unit"] else 1000)
    if not 1 <= millis <= CPU_MILLIS_MAX:
        raise ValueError(f"{text[:40]!r} is not within 1m to 1000 cores (write 500m for half a core)")
    return int(millis)


@lru_cache(maxsize=1024)
def memory_bytes(text: str) -> int:
    """Bytes of memory.  Raises ValueError with a message that says how to write it."""
    found = _MEMORY.fullmatch(text)
    meant = _meant(text)
    if not found:
        raise ValueError(f"{text[:40]!r} is no amount of memory (write {meant or '512Mi or 2Gi'})")
    unit = found["unit"]
    size = Fraction(found["number"]) * (1024 if unit.endswith("i") else 1000) ** _POWERS[unit.removesuffix("i")]
    if size < MEMORY_BYTES_MIN:
        raise ValueError(f"{text[:40]!r} is less than 6Mi, in which nothing runs (write {meant or '512Mi'})")
    if size > MEMORY_BYTES_MAX:
        raise ValueError(f"{text[:40]!r} is more than 64Ti (write 512Mi or 2Gi)")
    return int(size)


def _meant(text: str) -> str | None:
    if text.isascii() and text.isdigit():
        return f"{text}Mi" if len(text) < 6 else None
    found = _WRONG.fullmatch(text)
    return f"{found['number']}{found['prefix'].upper()}i" if found else None
