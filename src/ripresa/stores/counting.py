"""Counting: rows of a name, a version, a status and a number, gathered."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any


def by_version(rows: Iterable[Sequence[Any]]) -> dict[tuple[str, str], dict[str, int]]:
    """By name and version: how many there are of each status."""
    found: dict[tuple[str, str], dict[str, int]] = {}
    for name, version, status, count in rows:
        counts = found.setdefault((name, version), {})
        counts[status] = counts.get(status, 0) + count
    return found
