"""What all records share: how they are read, and how a store's times, JSON texts and failures become values."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from ripresa.contracts.payload import load

RECORDS_VERSION: Final = "1.0"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Record(BaseModel):
    """What all records have: they do not change, and fields of newer versions are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_enum_values=True, defer_build=True)


class FailureRecord(Record):
    """What went wrong."""

    model_config = ConfigDict(frozen=True, extra="allow", use_enum_values=True, defer_build=True)

    type: str
    message: str = ""
    failure_class: str = "retryable"
    code: str = "error"


def moment(micros: int) -> datetime:
    """A store's time as a datetime in UTC."""
    return _EPOCH + timedelta(microseconds=micros)


def maybe_moment(micros: int | None) -> datetime | None:
    """The same, for a time that may not have come."""
    return None if micros is None else moment(micros)


def value(text: str | None) -> Any:
    """The value of a JSON text; None: there is none."""
    return None if text is None else load(text)


def failure(text: str | None) -> FailureRecord | None:
    """The failure of a JSON text."""
    found = value(text)
    if found is None:
        return None
    return FailureRecord.model_validate(found if isinstance(found, dict) else {"type": "Error", "message": str(found)})
