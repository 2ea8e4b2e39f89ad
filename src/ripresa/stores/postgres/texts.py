"""The one character that PostgreSQL cannot keep: NUL.

Output of a program may hold one.  It is kept as U+FDD0, which Unicode sets aside for use within a program and no text
has; lines of a log are given back as they were.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from ripresa.ports.batch import Batch
from ripresa.stores.texts import encodable

_INSTEAD = "\ufdd0"


def storable(batch: Batch) -> Batch:
    """The batch with each character replaced that UTF-8 has no form for, or PostgreSQL no place."""
    batch = encodable(batch)
    return Batch(**{field.name: storable_value(getattr(batch, field.name)) for field in fields(batch)})


def storable_value(value: Any) -> Any:
    """The same for one value, and for all within it."""
    match value:
        case str():
            return value.encode("utf-8", "replace").decode().replace("\0", _INSTEAD)
        case dict():
            return {storable_value(key): storable_value(item) for key, item in value.items()}
        case list():
            return [storable_value(item) for item in value]
        case tuple():
            items = [storable_value(item) for item in value]
            return type(value)._make(items) if hasattr(value, "_make") else tuple(items)
        case _:
            return value


def restored(text: str) -> str:
    """A line of a log as it was written."""
    return text.replace(_INSTEAD, "\0") if _INSTEAD in text else text
