"""What the pipeline of `test_four_ways` does, the same functions for every way of writing it."""

from __future__ import annotations

from ripresa import Quarantine, Retryable, Terminal, context

TROUBLE = {"none", "flaky", "exhausted", "terminal", "quarantine"}

begun: list[tuple[str, int]] = []
"""Attempts in the order in which they began: step and number."""

keys: dict[str, set[str]] = {}
"""The idempotency keys that each step was given."""


def _begin(step: str) -> int:
    attempt = context().attempt
    begun.append((step, attempt))
    keys.setdefault(step, set()).add(context().idempotency_key)
    return attempt


def extract(rows: int) -> list[int]:
    _begin("extract")
    return list(range(rows))


def clean(extract: list[int], trouble: str) -> list[int]:
    attempt = _begin("clean")
    if trouble == "flaky" and attempt < 3:
        raise Retryable(f"the service is busy ({attempt})")
    if trouble == "exhausted":
        raise Retryable("the service is busy")
    if trouble == "terminal":
        raise Terminal("the rows are of no use")
    if trouble == "quarantine":
        raise Quarantine("somebody has to look at the rows")
    return [row for row in extract if row % 2]


def report(clean: list[int]) -> dict[str, int]:
    _begin("report")
    return {"rows": len(clean), "sum": sum(clean)}
