"""A life: one engine, as a process of its own, from its beginning until it is killed, told to stop, or fenced.

It starts runs so that enough are under way, and tells the ledger what becomes of it: opening, up, every verb of the
store that it is refused because its lease is broken, every commit whose fate it had to ask for, and its end.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import random
import signal
import sys
import traceback
from contextlib import suppress
from typing import Any, NamedTuple

from ripresa import App
from ripresa.contracts.errors import CommitUnknown, EngineFenced, RipresaError, StoreError, StoreInUse, StoreUnavailable
from ripresa.ports.tasks import Carrier
from ripresa.stores import open_store
from ripresa.testing.torture import in_store, ledger, program

FENCED = 3
FAILED = 1
ORPHANED = 4

WORKER_LEASE = "3s"
WORKER_RESEND = "1s"
"""What goes for workers, too."""

_LOOK_S = 0.1
_OPENING_S = 0.1
_SHOWN = ("commit", "last_batch", "renew", "adopt", "claim_due", "claim", "admit", "claim_effect")


class Settings(NamedTuple):
    """What a life is told."""

    life: int
    url: str
    ledger: str
    code: int
    """The release of the code that it has."""
    active: int
    """Runs that it wants to be under way; 0: it starts none."""
    numbers_from: int
    evict_after: str
    lease_s: float
    grace_s: float
    brokers: dict[str, str]
    """Addresses of brokers with workers, by kind."""
    queue: str
    books: str
    """The user's table; empty: there is none."""


class Life:
    """The engine of this process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._parent = os.getppid()
        self._stop = asyncio.Event()
        self._dice = random.Random(settings.life)
        self._next = settings.numbers_from
        self._having = [*settings.brokers, *([program.POSTGRESQL] if settings.books else [])]

    async def live(self) -> int:
        """Work until there is an end; the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._stop.set)
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, _say_what_is_under_way)
        watch = asyncio.create_task(self._watch_parent())
        ledger.note("opening")
        app = await self._opened()
        assert app.engine is not None
        ledger.note("up", engine=app.engine.number)
        work = asyncio.create_task(self._start_runs(app))
        while not self._stop.is_set() and app.engine.failure is None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), _LOOK_S)
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work
        code = await self._end(app)
        watch.cancel()
        return code

    async def _opened(self) -> App:
        """The App, as soon as the store can be reached, and is free."""
        settings = self._settings
        config = {"processes": 1, "threads": 4, "lease_s": settings.lease_s}
        evict_after = int(settings.evict_after) if settings.evict_after.isdigit() else settings.evict_after
        while True:
            store = open_store(settings.url)
            _show(store)
            app = App(
                store,
                program.workflows(settings.code),
                evict_after=evict_after,
                config=config,
                runtimes=_runtimes(settings),
                pools=[in_store.POOL],
            )
            try:
                return await app.open()
            except (StoreInUse, StoreUnavailable):
                ledger.note("again")  # an engine that has been at work already may have ended with it
                await asyncio.sleep(_OPENING_S)
            except EngineFenced:
                ledger.note("fenced")
                os._exit(FENCED)  # so slow to open that its lease was over

    async def _end(self, app: App) -> int:
        assert app.engine is not None
        failure = app.engine.failure
        if failure is None:
            await app.engine.drain_within(self._settings.grace_s)
            failure = app.engine.failure
        with suppress(StoreError):
            await app.close()
        if failure is None:
            ledger.note("bye")
            return 0
        ledger.note("fenced" if isinstance(failure, EngineFenced) else "failed", why=str(failure))
        if isinstance(failure, EngineFenced):
            return FENCED
        traceback.print_exception(failure)
        return FAILED

    async def _start_runs(self, app: App) -> None:
        """Start the next run whenever too few are under way."""
        while self._settings.active and app.engine is not None and app.engine.failure is None:
            with suppress(StoreError):  # tried again; what ends the engine, the engine tells
                open_ = await _open_runs(app)
                for _ in range(min(self._settings.active - open_, self._settings.active // 4 + 1)):
                    await self._start(app, self._next)
                    self._next += 1
            await asyncio.sleep(self._dice.uniform(_LOOK_S / 2, _LOOK_S))

    async def _start(self, app: App, number: int) -> None:
        workflow = program.workflow_of(number, self._settings.code, self._having)
        run = await app.start(workflow, number, id=f"started-{number}")
        ledger.note("ack", run=run.uuid, id=run.id, number=number)

    async def _watch_parent(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            if os.getppid() != self._parent:
                os._exit(ORPHANED)


def _runtimes(settings: Settings) -> dict[str, Carrier]:
    """What carries steps to workers, by the kind of its broker."""
    if not settings.brokers:
        return {}
    from ripresa.runtimes.celery.runtime import CeleryRuntime  # noqa: PLC0415 - needs Celery
    from ripresa.runtimes.celery.settings import CelerySettings  # noqa: PLC0415

    def runtime(url: str) -> CeleryRuntime:
        return CeleryRuntime(CelerySettings(broker=url, queue=settings.queue, lease=WORKER_LEASE, resend=WORKER_RESEND))

    return {kind: runtime(url) for kind, url in settings.brokers.items()}


async def _open_runs(app: App) -> int:
    assert app.store is not None
    counts = await app.store.count_runs()
    return sum(n for status, n in counts.items() if status not in {"succeeded", "failed", "cancelled"})


def _say_what_is_under_way() -> None:
    """Asked by a harness that wonders why this life does not end."""
    for task in asyncio.all_tasks():
        task.print_stack(limit=8)


def _show(store: Any) -> None:
    """Have the ledger told of what the store refuses, and of commits whose fate was not known."""
    for verb in _SHOWN:
        setattr(store, verb, _shown(verb, getattr(store, verb)))


def _shown(verb: str, act: Any) -> Any:
    @functools.wraps(act)
    async def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return await act(*args, **kwargs)
        except EngineFenced:
            ledger.note("refused", verb=verb)
            raise
        except CommitUnknown:
            ledger.note("unknown", verb=verb)
            raise

    return call


def main(settings: Settings) -> int:
    """A life in this process; its exit code."""
    os.environ[ledger.PATH_VARIABLE] = settings.ledger
    os.environ[ledger.LIFE_VARIABLE] = str(settings.life)
    os.environ[in_store.BOOKS_VARIABLE] = settings.books
    try:
        return asyncio.run(Life(settings).live())
    except RipresaError as error:
        ledger.note("failed", why=f"{type(error).__name__}: {error}")
        traceback.print_exc()
        return FAILED


if __name__ == "__main__":
    sys.exit(main(Settings(*json.loads(sys.argv[1]))))
