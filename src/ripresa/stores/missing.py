"""What a store raises that was opened only to be looked at, and is not there."""

from __future__ import annotations

from ripresa.contracts.errors import StoreUnavailable


class StoreMissing(StoreUnavailable):
    """There is no store at this address yet, and none was made."""
