"""Sending: what a person asks of a run, left in the store for the engine that owns it.

An engine that lives takes it within a moment; with none, it waits in the store.  Either way the
command has done its part when the message is on disk, and says which of the two it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ripresa.cli.process import now_us
from ripresa.contracts.payload import dump
from ripresa.ports.rows import Message

if TYPE_CHECKING:
    from ripresa.ports.rows import Run
    from ripresa.ports.store import Store


async def sent(store: Store, run: Run, kind: str, *, name: str | None = None, data: Any = None) -> None:
    """Leave a message for `run`.  Raises RunFinished if it takes none any more."""
    from ripresa.engine.sources import SystemSources

    text = None if data is None and kind != "signal" else dump(data, where=f"{kind} {name or ''}".strip())
    await store.send(Message(SystemSources().new_id(), run.id, kind, name, text, now_us()))


async def engine_of(store: Store) -> dict[str, object] | None:
    """An engine of the store that lives, if there is one."""
    return next((engine for engine in await store.engines() if engine["alive"]), None)


async def who_will(store: Store, target: str = "TARGET") -> str:
    """Who takes up what was left in the store."""
    engine = await engine_of(store)
    if engine is not None:
        return f"the engine (pid {engine['pid']}) will take it"
    return f"no engine runs: `ripresa worker {target}` or the next `ripresa run` on this store takes it up"
