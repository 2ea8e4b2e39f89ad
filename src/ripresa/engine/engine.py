"""The engine: owns runs, drives their code, and carries out what the code asks for.

    event on disk ─> inbox ─> turn: activate(events) ─> commands ─> rows, timers, attempts
         ^                                                              │
         └────────────── commit <── open batch <───────────────────────-┘

What a turn (`turns`) asks for is carried out at once if it has no effect but rows; attempts start at once too, since
the events that led to them are on disk.

Owning: every run in `held` has our number in its row.  A run that only waits is let go after a while
(`parking`): a `ready` row says when it wants to be woken, and it costs no memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import weakref
from typing import TYPE_CHECKING, Any

from ripresa.contracts.errors import (
    RipresaError,
    StoreError,
    UnknownDefinition,
)
from ripresa.contracts.status import TERMINAL, RunStatus
from ripresa.engine.attempts import Attempts
from ripresa.engine.calls import Calls
from ripresa.engine.carry_out import CarryOut
from ripresa.engine.children import Children
from ripresa.engine.committer import Committer
from ripresa.engine.control import Control
from ripresa.engine.elsewhere import Elsewhere
from ripresa.engine.fleet import Fleet
from ripresa.engine.held import Held
from ripresa.engine.labels import Labelled
from ripresa.engine.leasing import Leasing
from ripresa.engine.lines import Lines
from ripresa.engine.loading import Loading
from ripresa.engine.messages import Messages
from ripresa.engine.outcomes import Outcomes
from ripresa.engine.outside import Outside
from ripresa.engine.own_steps import OwnSteps
from ripresa.engine.parking import Parking
from ripresa.engine.patience import patient, patiently
from ripresa.engine.pools import Pools
from ripresa.engine.publishing import Announcing
from ripresa.engine.slots import slots_of
from ripresa.engine.tasks import Tasks, carriers_of
from ripresa.engine.timers import Timers
from ripresa.engine.transactions import Transactions
from ripresa.engine.turns import Turns
from ripresa.engine.verbs import Verbs
from ripresa.engine.watching import Watching
from ripresa.kernel.greenlets import Runners
from ripresa.kernel.transitions import require
from ripresa.ports.rows import HistoryEvent, RunChange

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from ripresa.engine.config import Config
    from ripresa.engine.known import Known
    from ripresa.engine.sources import Sources
    from ripresa.engine.watching import Notice
    from ripresa.ports.clock import Clock
    from ripresa.ports.lease import Lease
    from ripresa.ports.runtime import Runtime
    from ripresa.ports.store import Store
    from ripresa.ports.tasks import Carrier

logger = logging.getLogger("ripresa.engine")

_DRAIN_LOOK_S = 0.02
_MAY_RUN = frozenset({RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.WAITING})


class Engine:
    """One owner of runs.  Made by `App`; `start` before use, `stop` or `abort` after."""

    def __init__(
        self,
        store: Store,
        lease: Lease,
        *,
        clock: Clock,
        sources: Sources,
        config: Config,
        runtimes: Mapping[str, Runtime | Carrier],
        known: Known,
        evict_after_us: int,
        announces: bool = False,
        observers: list[Callable[[Notice], None]] | None = None,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.clock = clock
        self.calls = Calls(self)
        self.store = self.calls.counted(patiently(store))
        self.lease = lease
        self.number = lease.engine
        self.now = clock.now
        self.sources = sources
        self.config = config
        self.find_workflow = known.find
        self._known = known
        self.evict_after_us = evict_after_us
        self.lease_us = int(config.lease_s * 1e6)
        self.timers = Timers(clock)
        self.committer = Committer(store, lease, clock, lease_us=self.lease_us, failed=self._store_failed)
        self.runners = Runners()
        self.held: dict[str, Held] = {}
        self.waiters: dict[str, list[asyncio.Future[None]]] = {}
        self.updates: dict[str, asyncio.Future[tuple[str | None, str | None]]] = {}
        self.watching = Watching(self, [] if observers is None else observers)
        self.outcomes = Outcomes(self)
        self.announcing = Announcing(self, wanted=announces)
        self.pools = Pools(self)
        inline: Any = runtimes["inline"]
        self.tasks = {name: Tasks(self, name, carrier) for name, carrier in carriers_of(runtimes).items()}
        here: dict[str, Any] = {
            **runtimes,
            **self.tasks,
            "engine": OwnSteps(store, inline),
            "transaction": Transactions(store, self.now),
        }
        self.labels = Labelled(self)
        self.attempts = Attempts(self, here, slots_of(config, here))
        self.carry_out = CarryOut(self)
        self.children = Children(self)
        self.lines = Lines(self)
        self.messages = Messages(self)
        self.loading = Loading(self)
        self.parking = Parking(self)
        self.turns = Turns(self)
        self.verbs = Verbs(self)
        self.control = Control(self, self.verbs)
        self.outside = Outside(self)
        self.leasing = Leasing(self)
        self.fleet = Fleet(self, known)
        self.elsewhere = Elsewhere(self)
        self.failure: StoreError | None = None
        self.stopping = False
        self.draining = False
        """Nothing new is taken; what is under way ends, and the runs go to others."""
        self._tasks: list[asyncio.Task[None]] = []

    # --- life ----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Take over what the last owner left, and begin to work."""
        self.attempts.open(self.loop)
        self.committer.rested = self.watching.ask_idle
        self.committer.show = self.turns.tell
        self.committer.withdraw = self.verbs.withdraw
        self.committer.told = self._told
        self._tasks = [
            self.task(self.leasing.serve(), name="ripresa lease"),
            self.task(self.loading.serve(), name="ripresa loading"),
            self.task(self.pools.serve(), name="ripresa pools"),
        ]
        if self.fleet.shared:
            self.store.watch(self._heard)
            self._tasks.append(self.task(self.fleet.serve(), name="ripresa fleet"))
            self._tasks.append(self.task(self.elsewhere.serve(), name="ripresa elsewhere"))
        await self.loading.recover()
        attach = getattr(self.clock, "attach", None)
        if attach is not None:
            attach(self.watching.ask_idle)
        self.watching.ask_idle()

    async def stop(self) -> None:
        """Stop the work in hand, write what is known, and let the runs go; they go on with the next owner."""
        if self.stopping:
            return
        self.stopping = True
        for held in list(self.held.values()):
            for flight in list(held.flights.values()):
                self.attempts.hand_back(flight)
        self.store.watch(None)
        if self.fleet.shared:
            for held in list(self.held.values()):
                self.parking.hand_over(held)
        await self.committer.close()
        await self._end_tasks()
        self._discard_all()
        self._tell_waiters(RipresaError("the App was closed; the run goes on when an App is opened on its store"))

    def abort(self) -> None:
        """Stop at once, as a crash would: nothing more is written."""
        self.stopping = True
        if not self._tasks:
            return  # it has not begun
        self.store.watch(None)
        self.committer.abort()
        for task in self._tasks:
            task.cancel()
        for held in list(self.held.values()):
            for flight in list(held.flights.values()):
                self.attempts.forget(flight, leave=True)
        self._discard_all()

    def _discard_all(self) -> None:
        self.attempts.close()
        self.timers.close()
        for held in self.held.values():
            if held.live is not None:
                held.live.discard()
                held.live = None
        self.held.clear()
        self.runners.close()

    async def _end_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def task(self, work: Coroutine[Any, Any, Any], *, name: str | None = None) -> asyncio.Task[None]:
        """Do this work in the background."""
        task = self.loop.create_task(self._guarded(work), name=name)
        task.add_done_callback(lambda _: work.close())  # cancelled before it began
        weakref.finalize(task, work.close)  # and its loop ended before it could say so
        return task

    async def _guarded(self, work: Any) -> None:
        """No background task dies in silence: its error ends the engine, and everybody who waits is told."""
        patient.set(True)
        try:
            await work
        except asyncio.CancelledError:
            raise
        except StoreError as error:
            self._store_failed(error)
        except Exception as error:
            logger.exception("the engine stops: a background task failed")
            self._store_failed(StoreError(f"the engine stopped: {error!r}"))

    def _told(self) -> None:
        """Everybody has been told of a commit of ours."""
        self.turns.now()
        self.elsewhere.written()

    def _heard(self) -> None:
        """Others have written what may be for us."""
        self.loading.look()
        self.pools.news()
        self.elsewhere.heard()
        self.heard_of_tasks()

    def heard_of_tasks(self) -> None:
        """Others have written: it may be what a worker reports."""
        for tasks in self.tasks.values():
            tasks.heard()

    async def learn(self, run: tuple[str, str]) -> None:
        """Know what the store keeps of a run's definition and version."""
        await self._known.learn(self.store, run)

    # --- draining ------------------------------------------------------------------------------

    def drain(self) -> None:
        """Take nothing more, start nothing more; each run goes to others when what of it is under way has ended."""
        if self.draining:
            return
        self.draining = True
        for held in list(self.held.values()):
            self.attempts.give_up_waiting(held)
            self.turns.ask(held)

    @property
    def drained(self) -> bool:
        """Whether this engine drains, no run is left, and all is on disk."""
        return self.draining and not self.held and not self.working

    async def drain_within(self, seconds: float) -> bool:
        """Drain, for so long at most; whether nothing is left."""
        self.drain()
        end = self.loop.time() + seconds
        while not self.drained and self.failure is None and self.loop.time() < end:
            for held in list(self.held.values()):  # what kept one of them may have ended without a word
                self.parking.pass_on(held)
            await asyncio.sleep(_DRAIN_LOOK_S)
        return self.drained

    def _store_failed(self, error: StoreError) -> None:
        """The store is lost to us: drop everything, tell everybody."""
        if self.failure is not None:
            return
        self.failure = error
        logger.error("the engine stops: %s", error)
        self.abort()
        self._tell_waiters(error)

    def _tell_waiters(self, error: RipresaError) -> None:
        told: list[asyncio.Future[Any]] = [*self.carry_out.callers, *self.updates.values()]
        for waiting in self.waiters.values():
            told.extend(waiting)
        for future in told:
            if not future.done():
                future.set_exception(error)
                future.exception()

    # --- the journal ---------------------------------------------------------------------------

    def append(
        self,
        held: Held,
        kind: str,
        *,
        operation: str | None = None,
        name: str | None = None,
        fingerprint: int | None = None,
        attempt: int | None = None,
        started_at: int | None = None,
        data: str | None = None,
        error: str | None = None,
        at: int | None = None,
    ) -> HistoryEvent:
        """Put an event into the open batch."""
        held.seq += 1
        event = HistoryEvent(
            held.id,
            held.seq,
            kind,
            self.now() if at is None else at,
            operation,
            name,
            fingerprint,
            attempt,
            started_at,
            data,
            error,
        )
        self.committer.batch.history.append(event)
        return event

    def append_and_tell(self, held: Held, kind: str, **fields: Any) -> None:
        """Put an event into the open batch, and show it to the run's code once it is on disk."""
        event = self.append(held, kind, **fields)
        held.untold += 1
        self.committer.tell(held, event)

    def may_run(self, held: Held) -> bool:
        """Whether the run's code may go on."""
        return held.status in _MAY_RUN and not held.in_line

    may_start = may_run

    # --- status --------------------------------------------------------------------------------

    def set_status(
        self,
        held: Held,
        status: RunStatus,
        *,
        write: bool,
        error: str | None = None,
        output: str | None = None,
        started: bool = False,
        owned: bool = True,
        reopened: bool = False,
    ) -> None:
        """Give the run a status that may follow its present one; `write` puts it into the open batch."""
        before = RunStatus(held.status)
        require(before, status)
        held.status = status
        if not write and held.status_on_disk == status.value:
            return
        now = self.now()
        if held.line is not None and status in TERMINAL:
            self.committer.batch.leaving.append((held.id, now))
            self.committer.then(lambda _: self.loading.look())
        if held.needs and status in TERMINAL:
            self.labels.over(held)
        finished = now if status in TERMINAL else -1 if reopened else None
        held.status_on_disk = status.value
        self.committer.batch.changes.append(
            RunChange(
                held.id,
                status.value,
                now,
                self.number if owned else None,
                output=output,
                error=error,
                started_at=now if started else None,
                finished_at=finished,
            )
        )
        self.announcing.change(held, before, status, error)
        self.committer.kick()
        if self.watching.observers:
            self.watching.notify("run_status", held, status=status.value)

    def wake_waiters(self, run: str) -> None:
        """Tell who waits for the run's result to look again."""
        for future in self.waiters.pop(run, ()):
            if not future.done():
                future.set_result(None)

    def let_go(self, held: Held) -> None:
        """Forget the run; its rows say all."""
        for due in held.timers.values():
            due.cancel()
        held.timers.clear()
        if held.live is not None:
            held.live.discard()
            held.live = None
        if self.held.get(held.id) is held:
            del self.held[held.id]

    @property
    def working(self) -> bool:
        """Whether anything is under way that does not wait for time to pass."""
        return (
            self.stopping
            or self.turns.asked
            or self.committer.busy
            or self.attempts.running > getattr(self.clock, "steps_waiting", 0)
            or self.loading.has_work
            or self.pools.busy
        )

    def require_workflow(self, name: str, version: str | None) -> Any:
        """The definition that a run of this name and version goes on with.  Raises UnknownDefinition."""
        workflow = self.find_workflow(name, version)
        if workflow is None:
            msg = f"this App has no workflow {name!r}: add it to App(workflows=[…])"
            raise UnknownDefinition(msg)
        return workflow
