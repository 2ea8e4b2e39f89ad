"""Sending: what a person asks of a run, left in the store for the engine that owns it.

An engine that lives takes it within a moment; with none, it waits in the store.  Either way the
command has done its part when the message is on disk, and says which of the two it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ripresa.ports.store import Store


async def who_will(store: Store, target: str = "TARGET") -> str:
    """Who takes up what was left in the store."""
    engine = await store.engine()
    if engine is not None and engine["alive"]:
        return f"the engine (pid {engine['pid']}) will take it"
    return f"no engine runs; it goes on with `ripresa worker {target}`, or the next `ripresa run` on this store"
