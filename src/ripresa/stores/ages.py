"""The ids of runs hold the time at which they were made: UUIDs of version 7."""

from __future__ import annotations

from ripresa.ports.rows import Micros


def first_id_at(time: Micros) -> str:
    """The least id that a run made at this time could have; those made before it have a lesser one."""
    digits = f"{max(0, time) // 1000:012x}"
    return f"{digits[:8]}-{digits[8:12]}-7000-8000-000000000000"
