"""A run as it is taken out of a store: with all that a replay of it needs."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, Self

from ripresa.contracts.record_base import RECORDS_VERSION, Record, maybe_moment, value
from ripresa.contracts.records import AttemptRecord, HistoryRecord, JobRun


class ExportedEvent(HistoryRecord):
    """An event with all that a replay needs."""

    fingerprint: int | None = None
    started_at: datetime | None = None

    @classmethod
    def of(cls, row: Any) -> Self:
        """From a store's `HistoryEvent`."""
        told = HistoryRecord.of(row).model_dump()
        return cls(**told, fingerprint=row.fingerprint, started_at=maybe_moment(row.started_at))


class RunExport(Record):
    """A run with its whole journal: what `ripresa runs export` writes."""

    record: Literal["1.0"] = RECORDS_VERSION
    run: JobRun
    base_seq: int = 0
    """Replay starts after this event."""
    seed: str | None = None
    """What its random numbers are derived from, if not its UUID."""
    history: list[ExportedEvent]
    attempts: list[AttemptRecord]
    children: list[str]
    """UUIDs of the runs that it started."""

    @classmethod
    def of(
        cls, row: Any, *, history: list[Any], attempts: list[Any], children: list[Any], tags: dict[str, str]
    ) -> Self:
        """From a store's rows."""
        return cls(
            run=JobRun.of(row, tags=tags),
            base_seq=row.base_seq,
            seed=(value(row.memo) or {}).get("seed"),
            history=[ExportedEvent.of(event) for event in history],
            attempts=[AttemptRecord.of(attempt) for attempt in attempts],
            children=[child.id for child in children],
        )
