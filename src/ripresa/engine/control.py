"""Control: what people ask of runs that are under way or have stopped – cancel, pause, resume, retry, release, fork.

Each writes its event and the status that `kernel.transitions` allows, and makes the code anew where it
must; the asking returns when that is on disk.  All are safe to repeat.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from ripresa.contracts.errors import RunConflict, RunError, RunFinished, RunNotFinished
from ripresa.contracts.failure import Failure
from ripresa.contracts.payload import dump
from ripresa.contracts.status import TERMINAL, FailureClass, RunStatus
from ripresa.engine.held import Tally
from ripresa.engine.rows import forked_history, generation_seed, set_aside, settle
from ripresa.kernel import history as h
from ripresa.kernel.operations import Operation
from ripresa.ports.rows import HistoryEvent, NewRun, RunChange

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ripresa.engine.engine import Engine
    from ripresa.engine.held import Held
    from ripresa.engine.verbs import Verbs
    from ripresa.ports.rows import Run


class Control:
    """The engine's levers."""

    def __init__(self, engine: Engine, desk: Verbs) -> None:
        self._engine = engine
        self._desk = desk
        self._reopening: set[str] = set()
        """Runs whose retry is on its way to the disk."""
        self._ending: set[str] = set()
        """Blocked ones whose end is."""

    # --- cancel, pause, resume -----------------------------------------------------------------

    async def cancel(self, ref: str) -> None:
        """Ask the run to stop: its code gets CancelledError, and may still undo.  An ended run stays as it is."""
        run = await self._desk.find(ref)
        if RunStatus(run.status) in TERMINAL:
            return
        engine = self._engine
        parked = RunStatus(run.status) is RunStatus.BLOCKED and run.id not in engine.held
        if parked and (await engine.store.claim(engine.lease, run.id) or not engine.fleet.shared):
            loaded = (await engine.store.load([run.id]))[0]
            if RunStatus(loaded.run.status) is RunStatus.BLOCKED and run.id not in engine.held:
                self._end_blocked(loaded.run, loaded.last_seq)
                await self._desk.on_disk()
                return
        with contextlib.suppress(RunFinished):
            await self._do(run, "cancel", self.cancel_held)

    async def _do(self, run: Run, verb: str, act: Callable[[Held], None], data: Any = None) -> None:
        """Do this to the run, or have its owner do it; returns when it is on disk."""
        held = await self._desk.hold_run(run, verb)
        if held is None:
            await self._engine.elsewhere.ask(run, verb, None if data is None else dump(data))
            return
        act(held)
        await self._desk.on_disk()

    def _end_blocked(self, run: Run, last_seq: int) -> None:
        """End a run that nobody has in memory, and whose code may be gone."""
        if run.id in self._ending:
            return
        self._ending.add(run.id)
        engine = self._engine
        now, ended = engine.now(), RunStatus.CANCELLED
        engine.committer.batch.changes.append(RunChange(run.id, ended.value, now, None, finished_at=now))
        engine.committer.batch.leaving.append((run.id, now))
        engine.announcing.ended(run, last_seq, ended)
        engine.children.tell_parent(run, ended, None, None)
        engine.committer.then(lambda _: self._ended(run.id))

    def _ended(self, run_id: str) -> None:
        self._ending.discard(run_id)
        self._engine.wake_waiters(run_id)

    def cancel_held(self, held: Held) -> None:
        """Cancel a run that we own."""
        engine = self._engine
        if held.status in TERMINAL:
            return
        if held.status is RunStatus.BLOCKED:
            self._end_held_blocked(held)
            return
        if held.in_line:
            engine.lines.end(held, RunStatus.CANCELLED, None)
            return
        if held.status in (RunStatus.PAUSED, RunStatus.QUARANTINED):
            self._go_on(held)
        held.quarantined.clear()
        engine.append_and_tell(held, h.CANCEL_REQUESTED)
        held.cancel_seq = held.seq

    def _end_held_blocked(self, held: Held) -> None:
        engine = self._engine
        engine.append(held, h.FINISHED, name=RunStatus.CANCELLED.value)
        engine.set_status(held, RunStatus.CANCELLED, write=True, owned=False)
        engine.children.tell_parent(held, RunStatus.CANCELLED, None, None)
        engine.committer.then(lambda _: self._gone(held))

    def _gone(self, held: Held) -> None:
        self._engine.let_go(held)
        self._engine.wake_waiters(held.id)

    async def pause(self, ref: str) -> None:
        """Start nothing more; what is under way ends and is recorded.  A paused run stays paused."""
        await self._do(await self._desk.find(ref), "pause", self.pause_held)

    def pause_held(self, held: Held) -> None:
        """Pause a run that we own."""
        engine = self._engine
        if held.status in TERMINAL or held.status in (RunStatus.PAUSED, RunStatus.QUARANTINED, RunStatus.BLOCKED):
            return
        engine.append(held, h.PAUSE_REQUESTED)
        engine.set_status(held, RunStatus.PAUSED, write=True)
        for flight in list(held.flights.values()):
            if not flight.launched and not flight.ended:
                engine.attempts.put_off(flight)
        for due in held.timers.values():
            due.cancel()
        held.timers.clear()
        engine.parking.idle(held)

    async def resume(self, ref: str) -> None:
        """Let a paused run go on, or try a blocked one again.  A run that is not paused is left alone."""
        await self._do(await self._desk.find(ref), "resume", self.resume_held)

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
        held.in_line = False  # a person's word goes before the line's
        self._engine.set_status(held, RunStatus.RUNNING, write=True)
        self._anew(held)

    def _anew(self, held: Held) -> None:
        """Make the code anew once all that was written is on disk; take the messages that waited."""
        engine = self._engine
        if held.live is not None:
            held.live.discard()
            held.live = None
        held.at_hand = None
        held.untold += 1
        held.restarts += 1
        held.restarting += 1

        def again(_: frozenset[str]) -> None:
            held.untold -= 1
            held.restarting -= 1
            if engine.held.get(held.id) is held:
                engine.turns.ask(held)
                engine.carry_out.take_messages(held)

        engine.committer.then(again)

    # --- after a failure -----------------------------------------------------------------------

    async def retry(self, ref: str) -> None:
        """Go on with a failed or cancelled run from what failed; what succeeded is not done again."""
        run = await self._desk.find(ref)
        status = RunStatus(run.status)
        if status in (RunStatus.QUARANTINED, RunStatus.BLOCKED):
            what = "release" if status is RunStatus.QUARANTINED else "resume"
            await self._do(run, what, lambda held: self.by_message(held, what, {}))
            return
        if status is RunStatus.SUCCEEDED or status not in TERMINAL:
            msg = f"retry: run {run.key or run.id!r} is {run.status}, not failed, cancelled, quarantined or blocked"
            raise RunNotFinished(run.key or run.id, msg)
        if self._engine.fleet.shared:  # of all who might, the one that takes it
            await self._engine.elsewhere.ask(run, "retry")
        else:
            await self.reopen(run)

    async def reopen_child(self, child: str) -> None:
        """Try a child again that has failed, since its parent is tried again."""
        run = await self._engine.store.get_run(child)
        if run is not None and RunStatus(run.status) in (RunStatus.FAILED, RunStatus.CANCELLED):
            await self.reopen(run)

    async def reopen(self, run: Run, asked: Sequence[str] = ()) -> None:
        """Let a run that has ended go on from what failed, as these messages ask.  Raises UnknownDefinition."""
        engine = self._engine
        engine.require_workflow(run.definition, run.version)
        if run.id in self._reopening:
            await self._desk.on_disk()
            return
        self._reopening.add(run.id)
        try:
            last = (await engine.store.load([run.id]))[0].last_seq
        except BaseException:
            self._reopening.discard(run.id)
            raise
        now = engine.now()
        batch = engine.committer.batch
        batch.history.append(HistoryEvent(run.id, last + 1, h.RETRIED, now, None, None, None, None, None, None, None))
        batch.changes.append(RunChange(run.id, RunStatus.RUNNING.value, now, engine.number, finished_at=-1))
        batch.taken.extend(asked)
        engine.committer.then(lambda _: self._reopened(run.id))
        await self._desk.on_disk()

    def _reopened(self, run_id: str) -> None:
        self._reopening.discard(run_id)
        self._engine.carry_out.take_in(run_id)

    async def release(self, ref: str, *, output: str | None = None, discard: bool = False) -> None:
        """End a quarantine: repeat the step, or give its output, or let it fail (`discard`)."""
        run = await self._desk.find(ref)
        held = await self._desk.hold_run(run, "release")
        self._require_quarantined(run if held is None else held)
        if output is not None and not discard:
            await self._require_fitting(run, output)
            run = await self._desk.find(ref)  # it may have been let go of meanwhile
        await self._do(
            run,
            "release",
            lambda held: self._release_held(held, output, discard=discard),
            {"output": output, "discard": discard},
        )

    def _require_quarantined(self, run: Held | Run) -> None:
        if run.status != RunStatus.QUARANTINED:
            ref = run.key or run.id
            msg = f"release: run {ref!r} is {run.status}, not quarantined"
            raise RunNotFinished(ref, msg)

    def _release_held(self, held: Held, output: str | None, *, discard: bool) -> None:
        self._require_quarantined(held)
        self._release(held, output, discard=discard)

    async def _require_fitting(self, run: Run, output: str) -> None:
        """Raise PayloadError unless what a person gives for an output has the type of what it stands for."""
        live = await self._desk.replayed(run)
        aside = set_aside((await self._engine.store.load([run.id]))[0].history)
        try:
            if not aside:
                self._engine.require_workflow(run.definition, run.version).decode(output)
            for identity in aside:
                operation = live.operations.get(identity)
                if isinstance(operation, Operation):
                    operation.decode(output)
        finally:
            live.discard()

    def _release(self, held: Held, output: str | None, *, discard: bool) -> None:
        engine = self._engine
        of_nodes = not discard and not held.quarantined and getattr(held.workflow, "graph", None) is not None
        if of_nodes and output is not None and not held.nodes_aside:
            msg = f"release: run {held.ref!r}: what is set aside is no step, so it has no output to give; repeat it"
            raise RunError(held.ref, msg)
        aside, held.quarantined = held.quarantined, {}
        mode = "discard" if discard else "repeat" if output is None else "override"
        engine.append(held, h.RELEASED, name=mode, data=output)
        if of_nodes:
            self._repeat_nodes(held, output)
            return
        if not aside and output is not None:
            self._end_quarantined(held, output)
            return
        self._go_on(held)
        for operation in aside:
            number = held.loss_counts.get(operation, Tally()).number
            held.loss_counts[operation] = Tally(number)  # numbers go on, the policy begins anew
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

    def _repeat_nodes(self, held: Held, output: str | None) -> None:
        """The program of a graph set itself aside: the nodes that failed are repeated, or have this output."""
        engine = self._engine
        engine.append(held, h.RETRIED)
        if output is not None:
            for operation in sorted(held.nodes_aside):
                engine.append(held, h.STEP_COMPLETED, operation=operation, attempt=0, data=output)
        engine.set_status(held, RunStatus.RUNNING, write=True, reopened=True)
        engine.parking.leave(held)
        engine.committer.then(lambda _: engine.carry_out.take_in(held.id))

    def _end_quarantined(self, held: Held, output: str) -> None:
        """The workflow's own code asked for the quarantine: the output is the run's own."""
        engine = self._engine
        status = RunStatus.SUCCEEDED
        engine.append(held, h.FINISHED, name=status.value, data=output)
        engine.set_status(held, status, write=True, output=output, owned=False)
        engine.children.tell_parent(held, status, output, None)
        engine.committer.then(lambda _: self._gone(held))

    async def fork(self, ref: str, from_step: str, *, key: str | None) -> Run:
        """Start a new run with this one's history up to before `from_step`; from there all is done anew."""
        engine = self._engine
        run = await self._desk.find(ref)
        workflow = engine.require_workflow(run.definition, run.version)
        events = (await engine.store.load([run.id]))[0].history
        run_id = engine.sources.new_id()
        history = forked_history(events, from_step, run_id)
        if history is None:
            known = ", ".join(str(e.operation) for e in events if e.kind in (h.STEP_COMPLETED, h.STEP_FAILED))
            msg = f"fork: run {ref!r} has no outcome of step {from_step!r} (it has: {known or 'none'})"
            raise RunError(run.key or run.id, msg)
        memo = dump({"forked_from": run.id, "from_step": from_step, "seed": generation_seed(run)})
        new = NewRun(
            run_id,
            key,
            run.definition,
            workflow.version,
            RunStatus.RUNNING.value,
            run.priority,
            run.input or "{}",
            None,
            None,
            run.correlation_id,
            engine.number,
            engine.now(),
            memo,
            engine.now(),
        )
        new = engine.lines.opening(new, workflow)
        future = self._desk.caller()
        engine.carry_out.new_run(new, workflow, {}, lambda refused: settle(future, refused), history)
        if await future:
            msg = f"fork: a run with id {key!r} exists: choose another id"
            raise RunConflict(key or run_id, msg)
        return new.as_run()

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
