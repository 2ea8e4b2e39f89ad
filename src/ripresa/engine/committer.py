"""The committer: everything that happened since the last commit, in one transaction.

    activations, outcomes, calls ──> open batch ──┐
                                                  ├─ store.commit ─> one fsync
    waiting callbacks <── after the commit ───────┘

While one batch is on its way to the disk the next one fills: throughput is not bound by the fsync,
and a lone write waits for one fsync only.  Whoever added rows is called back after the commit, in
order; nothing is shown to anybody before: `tests/simulation/mutants.py` does it, and is caught.

A store that is out of reach keeps its batch: it is tried again until it takes it, so nothing is
lost while a disk is full.  A commit whose fate is unknown is looked up by its number, never guessed.
"""

from __future__ import annotations

import asyncio
import logging
import types
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from ripresa.contracts.errors import CommitUnknown, EngineFenced, StoreError, StoreUnavailable
from ripresa.ports.batch import Batch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Generator

    from ripresa.engine.held import Held
    from ripresa.ports.clock import Clock
    from ripresa.ports.lease import Lease
    from ripresa.ports.rows import HistoryEvent
    from ripresa.ports.store import Store

logger = logging.getLogger("ripresa.engine")

Answer = TypeVar("Answer")

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
        self._loop = asyncio.get_running_loop()
        self._after: list[Any] = []
        self._telling: list[Any] = []
        """Whom to tell of the batch that is being written."""
        self._writing = False
        self._stopped = False
        self._task: asyncio.Task[None] | None = None
        self._rest: asyncio.Future[None] | None = None
        self.batch = Batch(number=0, at=0)
        self.idle = True
        self.telling = False
        """Whether those who wait for a commit are being told; `told` is called next."""
        self.commits = 0
        self.trouble: StoreUnavailable | None = None
        self.show: Callable[[Held, HistoryEvent], None] = _nobody
        """Called with each event of `tell`."""
        self.told: Callable[[], None] = lambda: None
        """Called when everybody has been told of a commit."""
        self.rested: Callable[[], None] = lambda: None
        """Called when everything is on disk and nothing new has come."""
        self.withdraw: Callable[[StoreUnavailable, Batch], frozenset[str]] = lambda *_: frozenset()
        """Called when the store refused a batch for now; tells the callers, and may take runs out of the batch."""

    def then(self, act: Callable[[frozenset[str]], None]) -> None:
        """Call `act(refused run ids)` once all that was added so far is on disk; also asks for a commit."""
        self._after.append(act)
        self.kick()

    def tell(self, held: Held, event: HistoryEvent) -> None:
        """Show the event to its run's code once it is on disk: `then`, without a closure."""
        self._after.append((held, event))
        if self.idle:
            self.kick()

    def untold(self, held: Held) -> list[HistoryEvent]:
        """Events of the run that it will be told of, in order."""
        return [act[1] for act in (*self._telling, *self._after) if type(act) is tuple and act[0] is held]

    def kick(self) -> None:
        """Ask for a commit of what was added, at the loop's next turn."""
        if self.idle:
            self.idle = False
            if not self._writing:
                self._loop.call_soon(self._flush)

    async def close(self) -> None:
        """Write what is left, then stop."""
        self.kick()
        while self.busy and not self._stopped:
            self._rest = self._loop.create_future()
            await self._rest

    def abort(self) -> None:
        """Stop without writing what is left."""
        self._stop()
        if self._task is not None:
            # Not before it has begun: a commit that nobody drives any more would keep its turn in the store for ever.
            self._loop.call_soon(self._task.cancel)

    @property
    def busy(self) -> bool:
        """Whether anything is on its way to the disk."""
        return self._writing or not self.idle

    def _flush(self) -> None:
        """Write the open batch.  A store that is done at once costs no task and no further turn of the loop."""
        if self._writing or self._stopped:
            return
        self.idle = True
        batch, after = self.batch, self._after
        if not after and _empty(batch):
            self._rested()
            return
        self._number += 1
        batch.number = self._number
        batch.at = self._clock.wall()
        self.batch, self._after, self._telling = Batch(number=0, at=0), [], after
        self._writing = True
        work = self._commit(batch)
        try:
            waited = work.send(None)
        except StopIteration as done:
            self._written(after, done.value)
        except Exception as error:  # noqa: BLE001 - it ends the engine
            self._broken(error)
        else:
            self._task = self._loop.create_task(self._write_on(work, waited, after), name="ripresa committer")

    async def _write_on(self, work: Coroutine[Any, Any, frozenset[str]], waited: Any, after: list[Any]) -> None:
        try:
            refused = await _go_on(work, waited)
        except asyncio.CancelledError:
            self._stop()
            raise
        except Exception as error:  # noqa: BLE001 - it ends the engine
            self._broken(error)
        else:
            self._loop.call_soon(self._written, after, refused)  # tells outside of any task

    def _written(self, after: list[Any], refused: frozenset[str]) -> None:
        """The batch is on disk: tell who waits for that."""
        if self._stopped:
            return
        self.commits += 1
        self._writing = False
        show = self.show
        self.telling = True
        try:
            for act in after:
                if type(act) is tuple:
                    show(*act)
                else:
                    act(refused)
        except Exception as error:  # noqa: BLE001 - it ends the engine
            self._broken(error)
            return
        finally:
            self.telling = False
            self._telling = []
        self.told()
        if self.idle:
            self._rested()
        else:
            self._loop.call_soon(self._flush)

    def _rested(self) -> None:
        if self._rest is not None and not self._rest.done():
            self._rest.set_result(None)
        self.rested()

    def _broken(self, error: Exception) -> None:
        self._stop()
        if isinstance(error, StoreError):
            self._failed(error)
        else:
            logger.error("the engine stops: its committer failed", exc_info=error)
            self._failed(StoreError(f"the engine stopped: {error!r}"))

    def _stop(self) -> None:
        self._stopped = True
        self._writing = False
        if self._rest is not None and not self._rest.done():
            self._rest.set_result(None)

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
        keyed = [run.id for run in batch.runs if run.key]
        return frozenset([run for run in keyed if await self._asked(partial(self._store.get_run, run)) is None])

    async def _is_committed(self, number: int) -> bool:
        """Whether batch `number` took effect."""
        return await self._asked(partial(self._store.last_batch, self._lease)) >= number

    async def _asked(self, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """Ask until the store answers."""
        delay = 0.01
        while True:
            try:
                return await ask()
            except StoreUnavailable as error:
                self._note(error)
                await asyncio.sleep(delay)
                delay = min(delay * 2, _RETRY_S_MAX)

    def _note(self, error: StoreUnavailable) -> None:
        if self.trouble is None:
            logger.warning("the store cannot be written for now, trying again: %s", error)
        self.trouble = error


@types.coroutine
def _go_on(work: Coroutine[Any, Any, frozenset[str]], waited: Any) -> Generator[Any, Any, frozenset[str]]:
    """The rest of a coroutine that has been driven to its first wait."""
    while True:
        try:
            value = yield waited
        except BaseException as error:  # noqa: BLE001 - passed on to the coroutine
            step: Callable[[Any], Any] = work.throw
            value = error
        else:
            step = work.send
        try:
            waited = step(value)
        except StopIteration as done:
            result: frozenset[str] = done.value
            return result


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
        or batch.leaving
        or batch.given_up
        or batch.tasks
        or batch.tasks_done
    )
