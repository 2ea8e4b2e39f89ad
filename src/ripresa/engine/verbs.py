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
    RunNotFinished,
    RunNotFound,
    RunQuarantined,
    UpdateRejected,
)
from ripresa.contracts.failure import Failure
from ripresa.contracts.payload import dump, load, same_json
from ripresa.contracts.status import TERMINAL, FailureClass, RunStatus
from ripresa.kernel import history as h
from ripresa.kernel.live import LiveRun
from ripresa.ports.store import HistoryEvent, NewRun, RunChange

if TYPE_CHECKING:
    from ripresa.engine.engine import Engine
    from ripresa.engine.held import Held
    from ripresa.ports.store import Run

_ENDED_BADLY = {
    RunStatus.FAILED: RunFailed,
    RunStatus.CANCELLED: RunCancelled,
    RunStatus.QUARANTINED: RunQuarantined,
    RunStatus.BLOCKED: RunBlocked,
}
_HALTED = frozenset(_ENDED_BADLY)


class Verbs:
    """The engine's front desk."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._starting: dict[str, asyncio.Future[bool]] = {}

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
    ) -> Run:
        """Start a run, or find the one that was started with this key.  Raises RunConflict."""
        engine = self._engine
        if key is not None:
            while key in self._starting:
                await asyncio.wait([self._starting[key]])
            found = await engine.store.get_run(key)
            if found is not None:
                return self._same(found, workflow, text)
        run_id = engine.sources.new_id()
        now = engine.now()
        new = NewRun(
            run_id, key, workflow.name, workflow.version, RunStatus.RUNNING.value, priority, text, None, None,
            correlation_id or run_id, engine.number, now,
        )  # fmt: skip
        future = self.caller()
        if key is not None:
            self._starting[key] = future
        try:
            engine.carry_out.new_run(new, workflow, tags, lambda refused: _set(future, refused))
            refused = await future
        finally:
            if key is not None:
                self._starting.pop(key, None)
            engine.carry_out.callers.discard(future)
        if refused:
            return self._same(await self.find(key or run_id), workflow, text)
        return _as_run(new)

    def _same(self, found: Run, workflow: Any, text: str) -> Run:
        what = None
        if found.definition != workflow.name:
            what = f"of workflow {found.definition!r}, not {workflow.name!r}"
        elif not same_json(found.input, text):
            what = "with another input"
        if what is not None:
            msg = f"run {found.key!r} exists {what}: choose another id"
            raise RunConflict(found.key or found.id, msg)
        return found

    async def find(self, ref: str) -> Run:
        """The run as it stands.  Raises RunNotFound."""
        run = await self._engine.store.get_run(ref)
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

    async def on_disk(self) -> None:
        """Wait until all that was written so far is on disk."""
        future = self.caller()
        self._engine.committer.then(lambda _: _set(future, None))
        await future

    async def _hold(self, ref: str, verb: str) -> Held:
        run = await self.find(ref)
        return await self._hold_run(run, verb)

    async def _hold_run(self, run: Run, verb: str) -> Held:
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
            self._engine.require_workflow(run.definition, run.version)
            msg = f"{verb}: run {ref!r} is held by another engine"
            raise RunError(ref, msg)
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
            if held is None or held.status in _HALTED:
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
        msg = f"run {ref!r} {'was ' if status is RunStatus.CANCELLED else 'is ' if status in (RunStatus.QUARANTINED, RunStatus.BLOCKED) else ''}{status}"
        return _ENDED_BADLY[status](ref, f"{msg}: {said}" if said else msg, cause=failure)

    # --- messages ------------------------------------------------------------------------------

    async def signal(self, ref: str, name: str, data: str) -> None:
        """Put a signal into the run's journal.  Raises RunNotFound, RunFinished, PayloadError."""
        engine = self._engine
        held = await self._hold(ref, f"signal {name!r}")
        if not engine.may_run(held):
            await engine.loading.post(held.id, "signal", name, data)
            await self.on_disk()
            return
        live = await engine.loading.settled(held)
        if live is not None:
            live.mail.validate_signal(name, data)
        if engine.held.get(held.id) is not held:
            await self.signal(ref, name, data)
            return
        engine.append_and_tell(held, h.SIGNAL_RECEIVED, name=name, data=data)
        await self.on_disk()

    async def update(self, ref: str, name: str, data: str) -> Any:
        """Run the update's handler; return its value once it is on disk.  Raises UpdateRejected without a trace."""
        engine = self._engine
        held = await self._hold(ref, f"update {name!r}")
        live = await engine.loading.settled(held)
        if live is None:
            msg = f"update {name!r}: run {held.ref!r} is {held.status}"
            raise RunError(held.ref, msg)
        try:
            live.mail.validate_update(name, data)
        except RipresaError:
            raise
        except Exception as error:
            msg = f"update {name!r} was refused: {error}"
            raise UpdateRejected(msg) from error
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

    async def query(self, ref: str, name: str, args: tuple[Any, ...]) -> Any:
        """What the run's query handler says; of an ended run, what it said at the end."""
        engine = self._engine
        run = await self.find(ref)
        if RunStatus(run.status) not in TERMINAL:
            held = await self._hold_run(run, f"query {name!r}")
            live = await engine.loading.settled(held)
            if live is not None:
                return load(dump(live.mail.query(name, args), where=f"query {name!r}"))
        loaded = (await engine.store.load([run.id]))[0]
        workflow = engine.require_workflow(run.definition, run.version)
        live = LiveRun(run.id, workflow, run.input or "{}", runners=engine.runners, seed=_seed(run))
        try:
            live.replay(loaded.history)
            return load(dump(live.mail.query(name, args), where=f"query {name!r}"))
        finally:
            live.discard()

    # --- cancel, pause, resume -----------------------------------------------------------------

    async def cancel(self, ref: str) -> None:
        """Ask the run to stop: its code gets CancelledError, and may still undo.  An ended run stays as it is."""
        run = await self.find(ref)
        if RunStatus(run.status) in TERMINAL:
            return
        if RunStatus(run.status) is RunStatus.BLOCKED and run.id not in self._engine.held:
            await self._engine.store.claim(self._engine.lease, run.id)
            self._end_blocked(run)
            await self.on_disk()
            return
        try:
            self.cancel_held(await self._hold_run(run, "cancel"))
        except RunFinished:
            return
        await self.on_disk()

    def _end_blocked(self, run: Run) -> None:
        engine = self._engine
        now = engine.now()
        engine.committer.batch.changes.append(RunChange(run.id, RunStatus.CANCELLED.value, now, None, finished_at=now))
        engine.carry_out.tell_parent(run, RunStatus.CANCELLED, None, None)
        engine.committer.then(lambda _: engine.wake_waiters(run.id))

    def cancel_held(self, held: Held) -> None:
        """Cancel a run that we own."""
        engine = self._engine
        if held.status is RunStatus.BLOCKED:
            self._end_held_blocked(held)
            return
        if held.status in (RunStatus.PAUSED, RunStatus.QUARANTINED):
            self._go_on(held)
        held.quarantined.clear()
        engine.append_and_tell(held, h.CANCEL_REQUESTED)

    def _end_held_blocked(self, held: Held) -> None:
        engine = self._engine
        engine.append(held, h.FINISHED, name=RunStatus.CANCELLED.value)
        engine.set_status(held, RunStatus.CANCELLED, write=True, owned=False)
        engine.carry_out.tell_parent(held, RunStatus.CANCELLED, None, None)
        engine.committer.then(lambda _: (engine.let_go(held), engine.wake_waiters(held.id)))

    async def pause(self, ref: str) -> None:
        """Start nothing more; what is under way ends and is recorded.  A paused run stays paused."""
        self.pause_held(await self._hold(ref, "pause"))
        await self.on_disk()

    def pause_held(self, held: Held) -> None:
        """Pause a run that we own."""
        engine = self._engine
        if held.status in (RunStatus.PAUSED, RunStatus.QUARANTINED, RunStatus.BLOCKED):
            return
        engine.append(held, h.PAUSE_REQUESTED)
        engine.set_status(held, RunStatus.PAUSED, write=True)
        for flight in list(held.flights.values()):
            if flight.job is None and not flight.ended:
                engine.attempts.forget(flight)
        for due in held.timers.values():
            due.cancel()
        held.timers.clear()
        engine.loading.idle(held)

    async def resume(self, ref: str) -> None:
        """Let a paused run go on, or try a blocked one again.  A run that is not paused is left alone."""
        self.resume_held(await self._hold(ref, "resume"))
        await self.on_disk()

    def resume_held(self, held: Held) -> None:
        """Resume a run that we own."""
        engine = self._engine
        if held.status is RunStatus.BLOCKED:
            held.trying = True
            self._anew(held)
        elif held.status is RunStatus.PAUSED:
            self._go_on(held)
            engine.append_and_tell(held, h.RESUME_REQUESTED)

    def _go_on(self, held: Held) -> None:
        """A stopped run runs again: its code is made anew, and it takes its messages."""
        self._engine.set_status(held, RunStatus.RUNNING, write=True)
        self._anew(held)

    def _anew(self, held: Held) -> None:
        """Make the code anew once all that was written is on disk; take the messages that waited."""
        engine = self._engine
        if held.live is not None:
            held.live.discard()
            held.live = None
        held.at_hand = None
        held.lives += 1
        held.untold += 1

        def again(_: frozenset[str]) -> None:
            held.untold -= 1
            if engine.held.get(held.id) is held:
                engine.ask_turn(held)
                engine.carry_out.take_messages(held)

        engine.committer.then(again)

    # --- after a failure -----------------------------------------------------------------------

    async def retry(self, ref: str) -> None:
        """Go on with a failed or cancelled run from what failed; what succeeded is not done again."""
        run = await self.find(ref)
        status = RunStatus(run.status)
        if status in (RunStatus.QUARANTINED, RunStatus.BLOCKED):
            held = await self._hold_run(run, "retry")
            self.by_message(held, "release" if status is RunStatus.QUARANTINED else "resume", {})
            await self.on_disk()
            return
        if status is RunStatus.SUCCEEDED or status not in TERMINAL:
            msg = f"retry: run {ref!r} is {run.status}; only a failed, cancelled, quarantined or blocked run can be retried"
            raise RunNotFinished(run.key or run.id, msg)
        await self._reopen(run)

    async def _reopen(self, run: Run) -> None:
        engine = self._engine
        engine.require_workflow(run.definition, run.version)
        last = (await engine.store.load([run.id]))[0].last_seq
        now = engine.now()
        batch = engine.committer.batch
        batch.history.append(HistoryEvent(run.id, last + 1, h.RETRIED, now, None, None, None, None, None, None, None))
        batch.changes.append(RunChange(run.id, RunStatus.RUNNING.value, now, engine.number, finished_at=-1))
        await self.on_disk()
        await engine.loading.take_owned([run.id])

    async def release(self, ref: str, *, output: str | None = None, discard: bool = False) -> None:
        """End a quarantine: repeat the step, or give its output, or let it fail (`discard`)."""
        held = await self._hold(ref, "release")
        if held.status is not RunStatus.QUARANTINED:
            msg = f"release: run {held.ref!r} is {held.status}, not quarantined"
            raise RunNotFinished(held.ref, msg)
        self._release(held, output, discard=discard)
        await self.on_disk()

    def _release(self, held: Held, output: str | None, *, discard: bool) -> None:
        engine = self._engine
        aside, held.quarantined = held.quarantined, {}
        mode = "discard" if discard else "repeat" if output is None else "override"
        engine.append(held, h.RELEASED, name=mode, data=output)
        if not aside and mode != "repeat":
            self._end_quarantined(held, output)
            return
        self._go_on(held)
        held.loss_counts.clear()
        for operation in aside:
            if mode == "override":
                engine.append_and_tell(held, h.STEP_COMPLETED, operation=operation, attempt=0, data=output)
            elif mode == "discard":
                failure = Failure(
                    type="ripresa.Discarded",
                    message="discarded from quarantine",
                    failure_class=FailureClass.TERMINAL,
                    code="discarded",
                )
                engine.append_and_tell(
                    held, h.STEP_FAILED, operation=operation, attempt=0, error=dump(failure.to_json())
                )

    def _end_quarantined(self, held: Held, output: str | None) -> None:
        """The workflow's own code asked for the quarantine: there is no step to go on with."""
        engine = self._engine
        status = RunStatus.FAILED if output is None else RunStatus.SUCCEEDED
        engine.append(held, h.FINISHED, name=status.value, data=output)
        error = None
        if output is None:
            error = dump(
                Failure(
                    type="ripresa.Discarded", message="discarded from quarantine", failure_class=FailureClass.TERMINAL
                ).to_json()
            )
        engine.set_status(held, status, write=True, output=output, error=error, owned=False)
        engine.carry_out.tell_parent(held, status, output, error)
        engine.committer.then(lambda _: (engine.let_go(held), engine.wake_waiters(held.id)))

    async def fork(self, ref: str, from_step: str, *, key: str | None) -> Run:
        """Start a new run with this one's history up to before `from_step`; that step and what follows are done anew."""
        engine = self._engine
        run = await self.find(ref)
        workflow = engine.require_workflow(run.definition, run.version)
        events = (await engine.store.load([run.id]))[0].history
        cut = next((i for i, e in enumerate(events) if e.operation == from_step and e.kind in h.OUTCOMES), None)
        if cut is None:
            known = [e.operation for e in events if e.kind in (h.STEP_COMPLETED, h.STEP_FAILED)]
            msg = f"fork: run {ref!r} has no outcome of step {from_step!r} (it has: {', '.join(str(k) for k in known) or 'none'})"
            raise RunError(run.key or run.id, msg)
        run_id = engine.sources.new_id()
        kept = [e for e in events[:cut] if e.kind in h.OUTCOMES or e.kind in _FORKED]
        history = [e._replace(run=run_id, seq=seq) for seq, e in enumerate(kept, 1)]
        memo = dump({"forked_from": run.id, "from_step": from_step, "seed": _seed(run) or run.id})
        new = NewRun(
            run_id, key, run.definition, workflow.version, RunStatus.RUNNING.value, run.priority, run.input or "{}", None, None,
            run.correlation_id, engine.number, engine.now(), memo,
        )  # fmt: skip
        future = self.caller()
        engine.carry_out.new_run(new, workflow, {}, lambda refused: _set(future, refused), history)
        if await future:
            msg = f"fork: a run with id {key!r} exists: choose another id"
            raise RunConflict(key or run_id, msg)
        return _as_run(new)

    # --- from other processes ------------------------------------------------------------------

    def by_message(self, held: Held, kind: str, data: dict[str, Any]) -> None:
        """Carry out a verb that another process left in the inbox."""
        if kind == "cancel":
            self.cancel_held(held)
        elif kind == "pause":
            self.pause_held(held)
        elif kind == "resume" or (kind == "retry" and held.status is RunStatus.BLOCKED):
            self.resume_held(held)
        elif kind in ("release", "retry") and held.status is RunStatus.QUARANTINED:
            self._release(held, data.get("output"), discard=bool(data.get("discard")))


_FORKED = (h.RUN_STARTED, h.CONTINUED, h.SIGNAL_RECEIVED, h.UPDATE_RECEIVED, h.UPDATE_COMPLETED, h.PATCH_TAKEN)


def _seed(run: Run) -> str | None:
    return load(run.memo).get("seed") if run.memo else None


def _set(future: asyncio.Future[Any], value: Any) -> None:
    if not future.done():
        future.set_result(value)


def _as_run(new: NewRun) -> Run:
    from ripresa.ports.store import Run  # noqa: PLC0415 - the type is all this module needs otherwise

    return Run(
        new.id, new.key, new.definition, new.version, new.status, new.priority, new.input, None, None, new.parent,
        new.parent_operation, new.correlation_id, new.owner, 0, new.created_at, new.created_at, None, new.created_at, new.memo,
    )  # fmt: skip
