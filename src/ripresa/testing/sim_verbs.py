"""Verbs of the store port of which a simulation has nothing to note."""

from __future__ import annotations

PASSED_ON = frozenset(
    [
        "last_batch",
        "owned",
        "next_due",
        "changed",
        "load",
        "get_run",
        "list_runs",
        "count_runs",
        "count_by_version",
        "history",
        "attempts",
        "logs",
        "tags",
        "children",
        "messages",
        "outgoing",
        "definitions",
        "quality",
        "place",
        "effect",
        "ended",
        "line",
        "needs",
        "dues",
        "pools",
        "standing",
        "task_outcomes",
        "tasks",
        "workers",
        "engines",
        "statuses",
        "check",
        "publish",
        "bury",
        "dead_letters",
        "dead_due",
        "deliveries",
        "put_deliveries",
        "retry_dead",
        "forget_dead",
        "note_events",
        "noted_events",
        "last_noted",
        "forget_noted",
    ]
)
"""What reads, and what writes nothing of a run: passed on as it is."""
QUIET = ("changed", "definitions", "engines", "check")
"""Not counted as effect points: asked at fixed intervals, or by people."""
