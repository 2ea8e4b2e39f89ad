"""Payloads: values as JSON text, and back.

Everything that a run remembers goes through here, so that a live run and a replayed one see the
same values.  A value that JSON cannot hold (NaN, a cycle, an object without a schema) or that is
larger than `PAYLOAD_BYTES_MAX` is refused with the place at which it stands.
"""

from __future__ import annotations

import json
import math
from typing import Any

from pydantic_core import PydanticSerializationError, from_json, to_json

from ripresa.contracts.errors import PayloadError

PAYLOAD_BYTES_MAX = 32 * 1024 * 1024
"""Larger values belong in a file or an object store, with its address in the payload."""

_PLAIN = {None: "null", True: "true", False: "false"}


def dump(value: Any, *, where: str = "value") -> str:
    """`value` as JSON text.  Raises PayloadError naming `where`, the place within the value, and the remedy."""
    kind = type(value)
    if kind is str and len(value) < 64 and value.isascii() and value.isalnum():
        return f'"{value}"'
    if kind is int:
        return str(value)
    if value is None or kind is bool:
        return _PLAIN[value]
    try:
        data = to_json(value)
    except (PydanticSerializationError, ValueError, TypeError, RecursionError) as error:
        raise _refused(value, where, str(error)) from None
    if len(data) > PAYLOAD_BYTES_MAX:
        msg = (
            f"{where}: {len(data):,} bytes of JSON, and the limit is {PAYLOAD_BYTES_MAX:,};"
            " keep it in a file or object store and pass its address"
        )
        raise PayloadError(msg)
    if b"NaN" in data or b"Infinity" in data:
        _require_finite(data, where)
    return data.decode()


def load(text: str) -> Any:
    """The JSON text as plain values."""
    if text == "null":
        return None
    return from_json(text)


def _require_finite(data: bytes, where: str) -> None:
    value = from_json(data, allow_inf_nan=True)
    place = _find(value, lambda item: isinstance(item, float) and not math.isfinite(item), "$")
    if place is not None:
        msg = f"{where}: {place[1]} at {place[0]} is not JSON; use null or a string for it"
        raise PayloadError(msg)


def _refused(value: Any, where: str, why: str) -> PayloadError:
    why = why.splitlines()[0]
    if "ircular" in why or "recursion" in why.lower():
        return PayloadError(f"{where}: it contains itself (a cycle), which JSON cannot hold; pass ids instead")
    place = _find(value, _unwritable, "$")
    at = f" at {place[0]} ({type(place[1]).__name__})" if place else f" ({type(value).__name__})"
    return PayloadError(
        f"{where}{at} cannot be written as JSON: {why}; return plain values, dataclasses or pydantic models"
    )


def _unwritable(item: Any) -> bool:
    if isinstance(item, dict | list | tuple):
        return False
    try:
        to_json(item)
    except (PydanticSerializationError, ValueError, TypeError):
        return True
    return False


def _find(value: Any, wanted: Any, path: str, depth: int = 0) -> tuple[str, Any] | None:
    if wanted(value):
        return path, value
    if depth > 50:
        return None
    items: Any = ()
    if isinstance(value, dict):
        items = ((f"{path}.{key}", item) for key, item in value.items())
    elif isinstance(value, list | tuple):
        items = ((f"{path}[{index}]", item) for index, item in enumerate(value))
    for place, item in items:
        found = _find(item, wanted, place, depth + 1)
        if found:
            return found
    return None


def same_json(left: str | None, right: str | None) -> bool:
    """Whether two JSON texts hold the same value."""
    return left == right or (left is not None and right is not None and json.loads(left) == json.loads(right))
