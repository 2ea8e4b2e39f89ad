"""Why a secret is not to be had, and taking one entry out of many."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class SecretUnavailable(Exception):
    """The secret is not to be had; the message never holds a value.  `for_now`: another time perhaps."""

    def __init__(self, message: str, *, for_now: bool = False) -> None:
        super().__init__(message)
        self.for_now = for_now


def entry(entries: Mapping[str, Any], key: str | None) -> Any:
    """The entry of this key, or the only one.  Raises SecretUnavailable that names the keys there are."""
    have = ", ".join(sorted(entries)) or "none"
    if key is None:
        if len(entries) != 1:
            raise SecretUnavailable(f"it has {len(entries)} entries ({have}); write #key behind it")
        return next(iter(entries.values()))
    if key not in entries:
        raise SecretUnavailable(f"it has no entry {key!r} (there are: {have})")
    return entries[key]
