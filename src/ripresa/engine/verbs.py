"""Verbs: what people and programs may ask of runs – start, signal, cancel, pause, retry, release, fork.

Each writes events and a status, waits until they are on disk, and only then returns.  All are safe to
repeat.  `kernel.transitions` refuses what the run's status does not allow.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ripresa.contracts.errors import (
    RipresaError,
    RunBlocked,
    RunCancelled,
    RunConflict,
    RunError,
    RunFailed,
    RunFinished,
    RunNotFound,
    RunQuarantined,
    StoreUnavailable,
    UnknownDefinition,
    UpdateRejected,
)
from ripresa.contracts.failure import Failure
from ripresa.contracts.payload import dump, load, same_json
from ripresa.contracts.status import TERMINAL, RunStatus
from ripresa.engine.held import Held, Signal
from ripresa.engine.rows import definition_row, first_input, seed_of, settle
from ripresa.kernel import history as h
from ripresa.ports.rows import HistoryEvent, Message, NewRun

if TYPE_CHECKING:
    from ripresa.engine.engine import Engine
    from ripresa.kernel.live import LiveRun
    from ripresa.ports.batch import Batch
    from ripresa.ports.rows import Run

_ENDED_BADLY = {
    RunStatus.FAILED: RunFailed,
    RunStatus.CANCELLED: RunCancelled,
    RunStatus.QUARANTINED: RunQuarantined,
    RunStatus.BLOCKED: RunBlocked,
}
_HALTED = frozenset(_ENDED_BADLY)
_VERB = {RunStatus.FAILED: "", RunStatus.CANCELLED: "was "}


class Verbs:
    """The engine's front desk."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._starting: dict[str, asyncio.Future[bool]] = {}
        self._uncommitted: dict[str, asyncio.Future[bool]] = {}
        self._handing_in: set[asyncio.Task[None]] = set()

    # --- starting and finding ------------------------------------------------------------------

    async def start(
        self,
        workflow: Any,
        text: str,
        *,
        key: str | None,
        priority: int,
        tags: dict[str, str],
        correlation_id: str | None,
        any_input: bool = False,
    ) -> Run:
        """Start a run, or find the one that was started with this key, with `any_input` whatever it was given.

        Raises RunConflict.
        """
        engine = self._engine
        if key is not None:
            while key in self._starting:
                await asyncio.wait([self._starting[key]])
            found = await engine.store.get_run(key)
            if found is not None:
                return await self._same(found, workflow, None if any_input else text)
        run_id = engine.sources.new_id()
        now = engine.now()
        new = NewRun(
            run_id, key, workflow.name, workflow.version, RunStatus.RUNNING.value, priority, text, None, None,
            correlation_id or run_id, engine.number, now, None, now,
        )  # fmt: skip
        new = engine.lines.opening(new, workflow)
        future = self.caller()
        self._uncommitted[run_id] = future
        if key is not None:
            self._starting[key] = future
        try:
            engine.carry_out.new_run(new, workflow, tags, lambda refused: settle(future, refused))
            refused = await future
        finally:
            if key is not None:
                self._starting.pop(key, None)
            del self._uncommitted[run_id]
            engine.carry_out.callers.discard(future)
        if refused:
            return await self._same(await self.find(key or run_id), workflow, None if any_input else text)
        return new.as_run()

    async def start_within(
        self,
        connection: Any,
        workflow: Any,
        text: str,
        *,
        key: str | None,
        priority: int,
        tags: dict[str, str],
        correlation_id: str | None,
        any_input: bool = False,
    ) -> Run:
        """As `start`, within the caller's own transaction: the run is there, for any engine, when that is committed."""
        engine = self._engine
        found = None if key is None else await engine.store.get_run(key)
        if found is not None:
            return await self._same(found, workflow, None if any_input else text)
        run_id, now = engine.sources.new_id(), engine.now()
        new = NewRun(
            run_id, key, workflow.name, workflow.version, RunStatus.QUEUED.value, priority, text, None, None,
            correlation_id or run_id, None, now,
        )  # fmt: skip
        first = HistoryEvent(run_id, 1, h.RUN_STARTED, now, None, workflow.name, None, None, None, None, None)
        definition = definition_row(workflow, now)
        if not await engine.store.submit(new, first, tags, definition, connection=connection):
            msg = f"run {key!r} was started a moment ago, in a transaction that is not committed: choose another id"
            raise RunConflict(key or run_id, msg)
        return new.as_run()

    async def _same(self, found: Run, workflow: Any, text: str | None) -> Run:
        what = None
        if found.definition != workflow.name:
            what = f"of workflow {found.definition!r}, not {workflow.name!r}"
        elif text is not None and not same_json(await first_input(self._engine.store, found), text):
            what = "with another input"
        if what is not None:
            msg = f"run {found.key!r} exists {what}: choose another id"
            raise RunConflict(found.key or found.id, msg)
        return found

    async def find(self, ref: str) -> Run:
        """The run as it stands.  Raises RunNotFound."""
        run = await self._engine.store.get_run(ref) if ref.isprintable() else None  # no other text is an id
        if run is None:
            msg = f"no run {ref!r} in {self._engine.store.url}: `ripresa runs list` shows those there are"
            raise RunNotFound(ref, msg)
        held = self._engine.held.get(run.id)
        if held is not None and held.status is RunStatus.RUNNING and self._only_waits(held):
            return run._replace(status=RunStatus.WAITING.value)
        return run

    def _only_waits(self, held: Held) -> bool:
        return (
            held.live is not None
            and held.live.finished is None
            and not held.flights
            and not held.inbox
            and not held.untold
        )

    def caller(self) -> asyncio.Future[Any]:
        """A future that somebody outside waits on; it fails when the store cannot be written."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._engine.carry_out.callers.add(future)
        future.add_done_callback(self._engine.carry_out.callers.discard)
        return future

    def withdraw(self, error: StoreUnavailable, batch: Batch) -> frozenset[str]:
        """The store cannot be written: tell who waits, and take the runs that they wanted started out of the batch.

        What else they asked stays in the batch, and is written when the store is back.
        """
        gone = frozenset(run.id for run in batch.runs if run.id in self._uncommitted)
        batch.runs[:] = [run for run in batch.runs if run.id not in gone]
        batch.history[:] = [event for event in batch.history if event.run not in gone]
        batch.tags[:] = [tag for tag in batch.tags if tag[0] not in gone]
        for run_id in gone:
            _fail(self._uncommitted[run_id], type(error)(f"{error}; the run was not started"))
        for future in list(self._engine.carry_out.callers):
            _fail(future, type(error)(f"{error}; what was asked is kept, and done when the store can be written again"))
        return gone

    async def on_disk(self) -> None:
        """Wait until all that was written so far is on disk.  Raises StoreError."""
        if self._engine.failure is not None:
            raise self._engine.failure
        future = self.caller()
        self._engine.committer.then(lambda _: settle(future, None))
        await future

    async def hold_run(self, run: Run, verb: str) -> Held | None:
        """Bring the open run into memory, to do `verb` with it; None: another engine has it, or is to have it.

        Raises RunFinished, and UnknownDefinition where no other engine can be.
        """
        ref = run.key or run.id
        if RunStatus(run.status) in TERMINAL:
            msg = f"{verb}: run {ref!r} has {run.status}"
            raise RunFinished(ref, msg)
        held = await self._engine.loading.hold(run)
        if held is None:
            run = await self.find(ref)
            if RunStatus(run.status) in TERMINAL:
                msg = f"{verb}: run {ref!r} has {run.status}"
                raise RunFinished(ref, msg)
            if self._engine.fleet.shared:
                return None
            self._engine.require_workflow(run.definition, run.version)
            msg = f"{verb}: run {ref!r} is held by another engine"
            raise RunError(ref, msg)
        if held.status in TERMINAL:  # it has just ended, and that is on its way to the disk
            await self.on_disk()
            msg = f"{verb}: run {ref!r} has {held.status}"
            raise RunFinished(ref, msg)
        return held

    # --- results -------------------------------------------------------------------------------

    async def result(self, run_id: str) -> Run:
        """The run once it has ended, or stopped until a person acts.  Raises RunFailed and its kind."""
        engine = self._engine
        while True:
            future: asyncio.Future[None] = engine.loop.create_future()
            engine.waiters.setdefault(run_id, []).append(future)
            if engine.failure is not None:
                raise engine.failure
            held = engine.held.get(run_id)
            if held is None or (held.status in _HALTED and not held.trying):
                run = await self.find(run_id)
                status = RunStatus(run.status)
                if status is RunStatus.SUCCEEDED:
                    return run
                if status in _HALTED:
                    raise self.bad_end(run)
            await future

    def bad_end(self, run: Run) -> RunError:
        """The error that tells how the run ended."""
        ref = run.key or run.id
        failure = Failure.from_json(load(run.error)) if run.error else None
        status = RunStatus(run.status)
        said = str(failure) if failure and status is not RunStatus.BLOCKED else failure.message if failure else ""
        msg = f"run {ref!r} {_VERB.get(status, 'is ')}{status}"
        return _ENDED_BADLY[status](ref, f"{msg}: {said}" if said else msg, cause=failure)

    # --- messages ------------------------------------------------------------------------------

    async def signal(self, ref: str, name: str, data: str) -> None:
        """Put a signal into the run's journal.  Raises RunNotFound, RunFinished, PayloadError."""
        engine = self._engine
        run = await self.find(ref)
        held = await self.hold_run(run, f"signal {name!r}")
        if held is None:
            await engine.elsewhere.signal(run, name, data)
            return
        if not engine.may_run(held):
            await engine.messages.post(held.id, "signal", name, data)
            await self.on_disk()
            return
        signal = Signal(name, data, engine.loop.create_future())
        held.signals.append(signal)
        if len(held.signals) == 1:
            held.visitors += 1  # from now on, not when the task begins
            self._handing_in.add(task := engine.loop.create_task(self._hand_in(held), name="ripresa signals"))
            task.add_done_callback(self._handing_in.discard)
        if not await signal.taken:
            await self.signal(ref, name, data)
            return
        await self.on_disk()

    async def _hand_in(self, held: Held) -> None:
        """Put all signals that wait for the run into its journal at once, however many there are."""
        engine = self._engine
        live: LiveRun | BaseException | None
        try:  # awaited here, in one go with what is put into the journal: no clock moves on in between
            live = await engine.loading.settled(held)
        except BaseException as error:  # noqa: BLE001 - it is for who sent them
            live = error
        signals, held.signals = held.signals, []
        for signal in signals:
            if signal.taken.done():  # who sent it has gone
                continue
            try:
                signal.taken.set_result(self._take_signal(held, live, signal))
            except BaseException as error:  # noqa: BLE001 - it is for who sent it
                signal.taken.set_exception(error)
        engine.loading.left(held)

    def _take_signal(self, held: Held, live: LiveRun | BaseException | None, signal: Signal) -> bool:
        """Put a signal into the run's journal; False: it has ended or gone.  Raises what looking at its code did."""
        engine = self._engine
        if isinstance(live, BaseException):
            raise live
        if live is not None:
            live.mail.validate_signal(signal.name, signal.data)
        if engine.held.get(held.id) is not held or held.status in TERMINAL:
            return False
        engine.append_and_tell(held, h.SIGNAL_RECEIVED, name=signal.name, data=signal.data)
        return True

    async def signal_within(self, connection: Any, ref: str, name: str, data: str) -> None:
        """Leave a signal within the caller's own transaction; the run hears of it when that is committed.

        A run that was started in the same transaction is known by its UUID only.
        """
        engine = self._engine
        found = await engine.store.get_run(ref)
        message = Message(engine.sources.new_id(), found.id if found else ref, "signal", name, data, engine.now())
        await engine.store.send(message, connection=connection)

    async def update(self, ref: str, name: str, data: str) -> Any:
        """Run the update's handler; return its value once it is on disk.  Raises UpdateRejected without a trace."""
        engine = self._engine
        run = await self.find(ref)
        held = await self.hold_run(run, f"update {name!r}")
        if held is None:
            return await engine.elsewhere.update(run, name, data)
        live = await engine.loading.settled(held)
        if live is None:
            msg = f"update {name!r}: run {held.ref!r} is {held.status}"
            raise RunError(held.ref, msg)
        self.require_accepted(live, name, data)
        update_id = engine.sources.new_id()
        future: asyncio.Future[tuple[str | None, str | None]] = self.caller()
        engine.updates[update_id] = future
        engine.append_and_tell(held, h.UPDATE_RECEIVED, operation=update_id, name=name, data=data)
        output, error_text = await future
        if error_text is not None:
            failure = Failure.from_json(load(error_text))
            msg = f"update {name!r} failed: {failure}"
            raise RunError(held.ref, msg, cause=failure)
        return load(output or "null")

    def require_accepted(self, live: LiveRun, name: str, data: str) -> None:
        """Raise UpdateRejected if the update's validator refuses it, UnknownHandler if there is none."""
        try:
            live.mail.validate_update(name, data)
        except RipresaError:
            raise
        except Exception as error:
            msg = f"update {name!r} was refused: {error}"
            raise UpdateRejected(msg) from error

    async def query(self, ref: str, name: str, args: tuple[Any, ...]) -> Any:
        """What the run's query handler says; of an ended run, what it said at the end."""
        engine = self._engine
        run = await self.find(ref)
        if RunStatus(run.status) not in TERMINAL and (run.id in engine.held or not engine.fleet.shared):
            held = await self.hold_run(run, f"query {name!r}")
            live = None if held is None else await engine.loading.settled(held)
            if live is not None:
                return load(dump(live.mail.query(name, args), where=f"query {name!r}"))
        await engine.learn((run.definition, run.version))
        if engine.fleet.lacks(run.definition, run.version):
            msg = f"query {name!r}: this App lacks the version of {run.definition!r} that run {ref!r} is of"
            raise UnknownDefinition(msg)
        live = await self.replayed(run)
        try:
            return load(dump(live.mail.query(name, args), where=f"query {name!r}"))
        finally:
            live.discard()

    async def replayed(self, run: Run) -> LiveRun:
        """The code of a run, brought to where its history ends, to look at and then to discard.  Raises Diverged."""
        engine = self._engine
        loaded = (await engine.store.load([run.id]))[0]
        held = Held(run, engine.require_workflow(run.definition, run.version), loaded.last_seq)
        held.seed = seed_of(run)
        live = engine.turns.code_of(held)
        live.replay(loaded.history)
        return live


def _fail(future: asyncio.Future[Any], error: StoreUnavailable) -> None:
    if not future.done():
        future.set_exception(error)
