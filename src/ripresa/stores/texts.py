"""Texts that no database can hold, made such that it can.

Output of a program may hold half a surrogate pair, which UTF-8 has no form for.  A batch that a
store could never write would stop its engine for ever, so such a character is written as `?`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, TypeVar

from ripresa.ports.batch import Batch

Row = TypeVar("Row")


def encodable(batch: Batch) -> Batch:
    """The batch with each character that UTF-8 has no form for replaced."""
    return Batch(**{field.name: _encodable(getattr(batch, field.name)) for field in fields(batch)})


def encodable_rows(rows: Sequence[Row]) -> list[Row]:
    """The rows with each character that UTF-8 has no form for replaced."""
    return [_encodable(row) for row in rows]


def _encodable(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-8", "replace").decode()
        case list():
            return [_encodable(item) for item in value]
        case tuple():
            items = [_encodable(item) for item in value]
            return type(value)._make(items) if hasattr(value, "_make") else tuple(items)
        case _:
            return value
