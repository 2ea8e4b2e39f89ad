"""Leases: who may write what engines write, and until when.

A lease is a row, not a lock: it runs out by itself, and is broken for good by who takes over after that.  Invariant:
a broken lease is never made whole again; an engine that goes on has a new one, with a higher epoch.
"""

from __future__ import annotations

from typing import NamedTuple


class Lease(NamedTuple):
    """Proof of ownership, to be shown with each batch."""

    engine: int
    epoch: int
    last_batch: int = 0
