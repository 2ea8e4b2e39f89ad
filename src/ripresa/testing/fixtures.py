"""Fixtures: an App on a memory store and a virtual clock, and a comparison of a run with and without eviction."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import zip_longest
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from ripresa.contracts.errors import RunError, StoreError
from ripresa.contracts.payload import dump
from ripresa.engine.app import App
from ripresa.engine.config import Config
from ripresa.kernel import history as h
from ripresa.runtimes.inline import InlineRuntime
from ripresa.runtimes.jobs import job_runtimes
from ripresa.runtimes.thread import ThreadRuntime
from ripresa.stores.memory import MemoryStore
from ripresa.testing.clock import EPOCH_US, VirtualClock
from ripresa.testing.sim_loop import SimSources
from ripresa.testing.steps_in_turn import StepsInTurn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence

    from ripresa.contracts.durations import Duration
    from ripresa.engine.handles import Run
    from ripresa.ports.rows import HistoryEvent
    from ripresa.ports.runtime import Runtime

NEVER: Duration = "36000d"
"""Runs that wait stay in memory."""

_JOB_GRACE_S = 1.0


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
    """How a run and its children ended, and what their journals say."""

    status: str
    output: str | None
    error: str | None
    told: Any
    """What `drive` returned."""
    histories: dict[str, tuple[Seen, ...]]
    """By workflow and UUID, the run's own first; UUIDs are the same in each execution of a seed."""

    def difference(self, other: Outcome) -> str | None:
        """Where the two part; None if nowhere."""
        parts = [
            f"{field}: {mine!r}, then {theirs!r}"
            for field in ("status", "output", "error", "told")
            if (mine := getattr(self, field)) != (theirs := getattr(other, field))
        ]
        return "\n  ".join(filter(None, [*parts, self._journals(other)])) or None

    def _journals(self, other: Outcome) -> str | None:
        for run in {**self.histories, **other.histories}:
            mine, theirs = self.histories.get(run, ()), other.histories.get(run, ())
            for i, (one, two) in enumerate(zip_longest(mine, theirs)):
                if one != two:
                    return f"event {i + 1} of {run}: {one}, then {two}"
        return None


class Seen(NamedTuple):
    """What is compared of an event of a journal.

    Not the attempt's number: one that was under way for a while of real time counts, even if a retry of the run repeats
    it.
    """

    kind: str
    operation: str | None
    name: str | None
    data: str | None
    error: str | None
    virtual_s: float
    """Since the start of the run that is looked at."""


async def run_both_ways(
    workflow: Any,
    *args: Any,
    others: Sequence[Any] = (),
    drive: Callable[[App, Run[Any], VirtualClock], Awaitable[Any]] | None = None,
    seed: int = 0,
    steps_take: Duration = 0,
) -> Outcome:
    """Run the workflow once as it is and once evicted at every await; raise AssertionError if that makes a difference.

    `others`: further workflows that it needs.  `drive` gets the App, the run after its start, and the clock, which
    meanwhile stands still but for what `drive` advances it; what it returns is compared, too.  Steps go one at a time,
    in an order that `seed` decides, and take up to `steps_take` of virtual time each: another seed, another order of
    what goes on side by side.
    """
    kept = await run_in_turn(workflow, args, others, drive, evict_after=NEVER, seed=seed, steps_take=steps_take)
    evicted = await run_in_turn(workflow, args, others, drive, evict_after=0, seed=seed, steps_take=steps_take)
    difference = kept.difference(evicted)
    if difference is not None:
        raise AssertionError(f"{workflow.name}{args}: eviction made a difference\n  {difference}")
    return kept


async def run_in_turn(
    workflow: Any,
    args: Sequence[Any],
    others: Sequence[Any] = (),
    drive: Callable[[App, Run[Any], VirtualClock], Awaitable[Any]] | None = None,
    *,
    evict_after: Duration,
    seed: int = 0,
    steps_take: Duration = 0,
) -> Outcome:
    """One of the two executions of `run_both_ways`; the same arguments give the same outcome."""
    clock = VirtualClock(autojump=drive is None)
    threads = ThreadRuntime(1)
    runtimes: dict[str, Runtime] = {
        "inline": InlineRuntime(),
        "thread": threads,
        "process": threads,
        **job_runtimes(grace_s=_JOB_GRACE_S),
    }
    app = App(
        MemoryStore(),
        [workflow, *others],
        clock=clock,
        evict_after=evict_after,
        sources=SimSources(Random(seed), clock),
        runtimes={
            name: StepsInTurn(runtime, clock, seed=seed, longest=steps_take) for name, runtime in runtimes.items()
        },
    )
    async with app:
        run: Run[Any] = await app.start(workflow, *args, id="both-ways")
        told = None
        if drive is not None:
            told = await drive(app, run, clock)
            clock.run_free()
        output = error = None
        try:
            output = dump(await run.result())
        except StoreError:
            raise
        except RunError as failed:
            error = str(failed.cause) if failed.cause else str(failed)
        return Outcome((await run.refresh()).status.value, output, error, told, await _histories(app, run))


async def _histories(app: App, run: Run[Any]) -> dict[str, tuple[Seen, ...]]:
    """The journals of the run and of all that it started."""
    found: dict[str, tuple[Seen, ...]] = {}
    store = app.opened().store
    rows = [run.row]
    for row in rows:
        events = await store.history(row.id)
        found[f"{row.definition} {row.id}"] = tuple(_seen(events))
        for child in await store.children(row.id):
            grown = await store.get_run(child.id)
            if grown is not None:
                rows.append(grown)
    return found


def _seen(events: Iterable[HistoryEvent]) -> Iterator[Seen]:
    """Updates by number: how many ids the engine draws depends on what it holds in memory."""
    numbers: dict[str | None, int] = {}
    for event in events:
        operation = event.operation
        if event.kind in (h.UPDATE_RECEIVED, h.UPDATE_COMPLETED):
            operation = f"update {numbers.setdefault(operation, len(numbers) + 1)}"
        virtual_s = (event.at - EPOCH_US) / 1e6
        yield Seen(event.kind, operation, event.name, event.data, event.error, virtual_s)
