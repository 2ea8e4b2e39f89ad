"""Records of pools: how they stand, and what waits for them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from ripresa.contracts.record_base import Record


class BreakerRecord(Record):
    """How a breaker stands."""

    target: str
    """The step that it guards; empty: the pool."""
    state: Literal["closed", "open", "half_open"]
    since: datetime | None = None
    until: datetime | None = None
    """While it is open: when probes are let in; none: when somebody resets it."""
    why: str = ""
    """What opened it."""


class CooldownRecord(Record):
    """A key whose steps rest."""

    key: str
    until: datetime
    why: str = ""


class PoolRecord(Record):
    """A pool as it stands."""

    name: str
    settings: dict[str, Any]
    """What limits it, as in `ripresa.toml`."""
    held: int
    """Slots in use."""
    waiting: int
    by_worker: dict[str, int] = Field(default_factory=dict)
    """Slots in use, by number of the engine; 0: by work whose engine is gone."""
    by_workflow: dict[str, int] = Field(default_factory=dict)
    next_start_at: datetime | None = None
    """By its rate, if that is to come."""
    breakers: list[BreakerRecord] = Field(default_factory=list)
    cooldowns: list[CooldownRecord] = Field(default_factory=list)


class WaitRecord(Record):
    """A step that waits for a slot of its pool, or holds one; or that waits for an engine with labels."""

    run: str
    """UUID of the run."""
    operation: str
    step: str
    workflow: str
    pool: str = ""
    """Empty: it waits for an engine."""
    labels: list[str] = Field(default_factory=list)
    """Those that its engine does not have, and the others that it needs."""
    key: str = ""
    priority: int = 0
    since: datetime
    held_since: datetime | None = None
    """None: it waits."""
    worker: int | None = None
    """Number of its engine."""
    probe: bool = False
    """It tries whether the pool works again."""
    ahead: int = 0
    """How many go before it, if it waits."""
    reason: str | None = None
    """Why it waits."""
