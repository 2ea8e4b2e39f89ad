"""Fixtures: an App on a memory store and a virtual clock, and a comparison of a run with and without eviction."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ripresa.contracts.errors import RunError, StoreError
from ripresa.contracts.payload import dump
from ripresa.engine.app import App
from ripresa.engine.config import Config
from ripresa.kernel import history as h
from ripresa.stores.memory import MemoryStore
from ripresa.testing.clock import VirtualClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from ripresa.contracts.durations import Duration
    from ripresa.engine.handles import Run

_SHOWN = frozenset(h.KINDS) - {h.PAUSE_REQUESTED, h.RESUME_REQUESTED}


@asynccontextmanager
async def app_fixture(
    *workflows: Any, evict_after: Duration = "30s", clock: VirtualClock | None = None, **settings: Any
) -> AsyncIterator[App]:
    """An open App on a new memory store, in virtual time; use it with `async with`.

    As a pytest fixture: `async def app(): async with app_fixture(fulfil) as app: yield app`.  `settings` are
    fields of `Config`.
    """
    async with App(
        MemoryStore(), workflows, clock=clock or VirtualClock(), evict_after=evict_after, config=Config(**settings)
    ) as app:
        yield app


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended, and what its journal says, without times, ids and numbers that may differ."""

    status: str
    output: str | None
    error: str | None
    history: tuple[tuple[str, str | None, str | None, str | None], ...]
    """(kind, operation, name, data) of each event, in order."""


async def run_both_ways(
    workflow: Any,
    *args: Any,
    others: tuple[Any, ...] = (),
    drive: Callable[[Run[Any]], Awaitable[None]] | None = None,
) -> Outcome:
    """Run the workflow once as it is and once evicted at every await; raise AssertionError if that makes a difference.

    `others`: further workflows that it needs.  `drive` gets the run after its start, to send signals and the like.
    """
    kept = await _run(workflow, args, others, drive, evict_after="30s")
    evicted = await _run(workflow, args, others, drive, evict_after=0)
    if kept != evicted:
        raise AssertionError(
            f"{workflow.name}{args}: eviction made a difference\n  kept:    {kept}\n  evicted: {evicted}"
        )
    return kept


async def _run(
    workflow: Any, args: tuple[Any, ...], others: tuple[Any, ...], drive: Any, *, evict_after: Duration
) -> Outcome:
    async with app_fixture(workflow, *others, evict_after=evict_after) as app:
        run: Run[Any] = await app.start(workflow, *args, id="both-ways")
        if drive is not None:
            await drive(run)
        output = error = None
        try:
            output = dump(await run.result())
        except StoreError:
            raise
        except RunError as failed:
            error = str(failed.cause) if failed.cause else str(failed)
        await run.refresh()
        events = await app.history(run)
    history = tuple((event.kind, event.operation, event.name, event.data) for event in events if event.kind in _SHOWN)
    return Outcome(run.status, output, error, history)
