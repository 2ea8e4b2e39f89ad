"""The committer: everything that happened since the last commit, in one transaction.

    activations, outcomes, calls ──> open batch ──┐
                                                  ├─ store.commit ─> one fsync
    waiting callbacks <── after the commit ───────┘

While one batch is on its way to the disk the next one fills: throughput is not bound by the fsync,
and a lone write waits for one fsync only.  Whoever added rows is called back after the commit, in
order; nothing is shown to anybody before (`tests/engine/test_durability.py`).

A store that is out of reach keeps its batch: it is tried again until it takes it, so nothing is
lost while a disk is full.  A commit whose fate is unknown is looked up by its number, never guessed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any

from ripresa.contracts.errors import CommitUnknown, EngineFenced, StoreError, StoreUnavailable
from ripresa.ports.store import Batch

if TYPE_CHECKING:
    from collections.abc import Callable

    from ripresa.engine.held import Held
    from ripresa.ports.clock import Clock
    from ripresa.ports.store import HistoryEvent, Lease, Store

logger = logging.getLogger("ripresa.engine")

_RETRY_S_MAX = 1.0


class Committer:
    """Gathers rows and writes them, one batch at a time."""

    def __init__(
        self, store: Store, lease: Lease, clock: Clock, *, lease_us: int, failed: Callable[[StoreError], None]
    ) -> None:
        self._store = store
        self._lease = lease
        self._clock = clock
        self._lease_us = lease_us
        self._failed = failed
        self._number = lease.last_batch
        self.batch = Batch(number=0, at=0)
        self._after: list[Any] = []
        self.show: Callable[[Held, HistoryEvent], None] = _nobody
        self._waker: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        self.trouble: StoreUnavailable | None = None
        self.commits = 0
        self.idle = True
        self._writing = False
        self.withdraw: Callable[[StoreUnavailable, Batch], frozenset[str]] = lambda *_: frozenset()
        """Called when the store refused a batch for now; tells the callers, and may take runs out of the batch."""
        self.rested: Callable[[], None] = lambda: None
        """Called when everything is on disk and nothing new has come."""

    def start(self) -> None:
        """Begin to write."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="ripresa committer")

    def then(self, act: Callable[[frozenset[str]], None]) -> None:
        """Call `act(refused run ids)` once all that was added so far is on disk; also asks for a commit."""
        self._after.append(act)
        self.kick()

    def tell(self, held: Held, event: HistoryEvent) -> None:
        """Show the event to its run's code once it is on disk: `then`, without a closure."""
        self._after.append((held, event))
        if self.idle:
            self.kick()

    def kick(self) -> None:
        """Ask for a commit of what was added."""
        self.idle = False
        if self._waker is not None:
            if not self._waker.done():
                self._waker.set_result(None)
            self._waker = None

    async def close(self) -> None:
        """Write what is left, then stop."""
        self._closing = True
        self.kick()
        if self._task is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def abort(self) -> None:
        """Stop without writing what is left."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        try:
            while True:
                if self.idle:
                    if self._closing:
                        return
                    self.rested()
                    self._waker = asyncio.get_running_loop().create_future()
                    await self._waker
                await self._write_once()
        except StoreError as error:
            self._failed(error)
        except Exception as error:
            logger.exception("the engine stops: its committer failed")
            self._failed(StoreError(f"the engine stopped: {error!r}"))

    @property
    def busy(self) -> bool:
        """Whether anything is on its way to the disk."""
        return self._writing or not self.idle

    async def _write_once(self) -> None:
        batch, after = self.batch, self._after
        self.idle = True
        if not after and _empty(batch):
            return
        self._number += 1
        batch.number = self._number
        batch.at = self._clock.wall()
        self.batch, self._after = Batch(number=0, at=0), []
        self._writing = True
        try:
            refused = await self._commit(batch)
        finally:
            self._writing = False
        self.commits += 1
        show = self.show
        for act in after:
            if type(act) is tuple:
                show(*act)
            else:
                act(refused)

    async def _commit(self, batch: Batch) -> frozenset[str]:
        delay = 0.01
        refused: frozenset[str] = frozenset()
        while True:
            try:
                refused |= await self._store.commit(self._lease, batch, lease_us=self._lease_us)
            except EngineFenced:
                raise
            except CommitUnknown as error:
                self._note(error)
                if await self._is_committed(batch.number):
                    return refused | await self._missing(batch)
            except StoreUnavailable as error:
                self._note(error)
                refused |= self.withdraw(error, batch)
                await asyncio.sleep(delay)
                delay = min(delay * 2, _RETRY_S_MAX)
            else:
                if self.trouble is not None:
                    logger.warning("the store takes commits again")
                    self.trouble = None
                return refused

    async def _missing(self, batch: Batch) -> frozenset[str]:
        """New runs of a batch that took effect without them: their key existed."""
        return frozenset([run.id for run in batch.runs if run.key and await self._store.get_run(run.id) is None])

    async def _is_committed(self, number: int) -> bool:
        """Whether batch `number` took effect; asks until the store answers."""
        delay = 0.01
        while True:
            try:
                return await self._store.last_batch(self._lease) >= number
            except EngineFenced:
                raise
            except StoreUnavailable as error:
                self._note(error)
                await asyncio.sleep(delay)
                delay = min(delay * 2, _RETRY_S_MAX)

    def _note(self, error: StoreUnavailable) -> None:
        if self.trouble is None:
            logger.warning("the store cannot be written for now, trying again: %s", error)
        self.trouble = error


def _nobody(held: Held, event: HistoryEvent) -> None:
    """Until the engine has said who shows events."""


def _empty(batch: Batch) -> bool:
    return not (
        batch.history
        or batch.changes
        or batch.runs
        or batch.attempts
        or batch.ready
        or batch.unready
        or batch.messages
        or batch.taken
        or batch.outgoing
        or batch.logs
        or batch.tags
        or batch.definitions
    )
