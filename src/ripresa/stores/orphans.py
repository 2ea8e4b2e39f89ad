"""Rows that belong to nothing, which no store may hold: the queries of `check` that find them, and their wording."""

from __future__ import annotations

ORPHANS = (
    ("orphan_history", "events of a run that does not exist"),
    ("orphan_attempts", "attempts of a run that does not exist"),
    ("orphan_ready", "ready rows of a run that does not exist"),
    ("orphan_messages", "messages to a run that does not exist"),
    ("orphan_tags", "tags of a run that does not exist"),
    ("unread_blobs", "payloads that are missing"),
    ("gaps", "runs whose events are not numbered without a gap"),
)
"""Names of queries, and what each of them counts."""


def told(number: int, what: str, first: str | None) -> str:
    """A line of `check`."""
    return f"{number} {what}, the first of {first}"
