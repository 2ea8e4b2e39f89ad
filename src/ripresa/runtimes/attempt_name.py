"""Attempt names: what a container or cluster object is called and labelled, so that the next engine knows it.  Pure."""

from __future__ import annotations

import hashlib

from ripresa.contracts.step_context import StepContext


def mark_of(context: StepContext) -> str:
    """Twenty hexadecimal digits: the same for the same attempt, on whichever engine, and never for another."""
    return _digest(f"{context.idempotency_key}\0{context.attempt}")


def key_mark(context: StepContext) -> str:
    """The same for all attempts of an operation."""
    return _digest(context.idempotency_key)


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=10).hexdigest()
