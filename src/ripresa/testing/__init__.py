"""The public test kit: virtual clock, simulation, replay, the store contract."""

from __future__ import annotations

from ripresa.testing.clock import VirtualClock

__all__ = ["VirtualClock"]
