"""Records of events: those that nobody could take, and what became of the others."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Any, Self

from ripresa.contracts.record_base import Record, maybe_moment, moment, value


class DeadLetterRecord(Record):
    """An event that nobody could take."""

    id: str
    way: str
    """in | out"""
    place: str
    """Where it came from, or was to go."""
    code: str
    """no_event | contract | no_workflow | conflict | no_run | refused | failed | crowded"""
    reason: str
    type: str | None = None
    event: str | None = None
    """The event's id, as far as it tells."""
    subject: str | None = None
    since: datetime
    at: datetime
    """When it was last tried."""
    attempts: int
    due: datetime | None = None
    """When it is tried again; none: when somebody says so."""
    body: Any = None
    """The event as JSON; a text if it is none; in base64 if it is no text either."""
    encoding: str
    """json | text | base64"""

    @classmethod
    def of(cls, row: Any) -> Self:
        """From a store's `DeadLetter`."""
        body, encoding = _shown(row.body)
        told = row._asdict() | {"since": moment(row.since), "at": moment(row.at), "due": maybe_moment(row.due)}
        return cls(**(told | {"body": body, "encoding": encoding}))


class NotedEventRecord(Record):
    """What became of an event."""

    at: datetime
    way: str
    """in | out"""
    what: str
    """waiting | delivered | started | signalled | passed | late | dead"""
    place: str
    event: str | None = None
    type: str | None = None
    run: str | None = None
    """The run that it is of, or that it started or was sent to."""
    data: Any = None
    """Left out if it is long."""
    why: str | None = None

    @classmethod
    def of(cls, row: Any) -> Self:
        """From a store's `NotedEvent`."""
        told = {name: getattr(row, name) for name in ("way", "what", "place", "event", "type", "why")}
        return cls(**told, at=moment(row.at), run=row.subject, data=value(row.data))


def _shown(body: bytes) -> tuple[Any, str]:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return base64.b64encode(body).decode(), "base64"
    try:
        return value(text), "json"
    except (ValueError, RecursionError):
        return text, "text"
