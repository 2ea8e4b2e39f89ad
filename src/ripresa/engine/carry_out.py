"""Carrying out: each command of a run becomes rows, a timer or an attempt.

Commands are values; the table at the end says who carries out which.  A command that the engine has
carried out already (the code was evicted and asked again) is passed over.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ripresa.contracts.failure import Failure
from ripresa.contracts.payload import dump
from ripresa.contracts.status import TERMINAL, FailureClass, RunStatus
from ripresa.engine.rows import as_object, settle
from ripresa.kernel import commands as c
from ripresa.kernel import history as h
from ripresa.ports.rows import HistoryEvent, Message, NewRun, Outgoing, Ready, RunChange

if TYPE_CHECKING:
    from collections.abc import Callable

    from ripresa.engine.engine import Engine
    from ripresa.engine.held import Held


class CarryOut:
    """The engine's hands."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.callers: set[asyncio.Future[Any]] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def all(self, held: Held, commands: list[c.Command]) -> None:
        """Carry the commands out in the order in which the code gave them."""
        for command in commands:
            if not self._engine.children.waits(held, command):
                _HANDS[type(command)](self, held, command)

    def schedule_step(self, held: Held, command: c.ScheduleStep) -> None:
        if command.operation not in held.flights and command.operation not in held.quarantined:
            self._engine.attempts.begin(held, command)

    def cancel_step(self, held: Held, command: c.CancelStep) -> None:
        held.quarantined.pop(command.operation, None)
        too_late = self._engine.attempts.cancel(held, command.operation, command.asked)
        if command.tell and not too_late and command.operation not in held.asked:
            held.asked.add(command.operation)
            failure = Failure(
                type="ripresa.StepCancelled", message="cut off", failure_class=FailureClass.TERMINAL, code="cancelled"
            )
            self._engine.append_and_tell(
                held, h.STEP_FAILED, operation=command.operation, attempt=0, error=dump(failure.to_json())
            )

    def set_timer(self, held: Held, command: c.SetTimer) -> None:
        if command.operation not in held.timers:
            held.timers[command.operation] = self._engine.timers.at(command.due, self._fire, held, command)

    def _fire(self, held: Held, command: c.SetTimer) -> None:
        engine = self._engine
        if engine.held.get(held.id) is not held or not engine.may_run(held):
            held.timers.pop(command.operation, None)
            return
        engine.append_and_tell(
            held,
            h.TIMER_FIRED,
            operation=command.operation,
            name=command.name,
            fingerprint=command.fingerprint,
            at=max(command.due, engine.now()),
        )

    def clear_timer(self, held: Held, command: c.ClearTimer) -> None:
        due = held.timers.pop(command.operation, None)
        if due is not None:
            due.cancel()

    # --- other runs ----------------------------------------------------------------------------

    def start_child(self, held: Held, command: c.StartChild) -> None:
        self._engine.children.start(held, command)

    def cancel_child(self, held: Held, command: c.CancelChild) -> None:
        self._engine.children.cancel(held, command)

    def new_run(
        self,
        new: NewRun,
        workflow: Any,
        tags: dict[str, str],
        told: Callable[[bool], None],
        history: list[HistoryEvent] | None = None,
    ) -> None:
        """Put a new run that we own into the open batch; `told(refused)` after the commit, then it begins."""
        engine = self._engine
        batch = engine.committer.batch
        if engine.draining:
            new = new._replace(owner=None)
        queued = new.owner is None
        batch.runs.append(new)
        if not queued:
            engine.announcing.created(new)
        events = history or [
            HistoryEvent(new.id, 1, h.RUN_STARTED, new.created_at, None, new.definition, None, None, None, None, None)
        ]
        batch.history.extend(events)
        batch.tags.extend((new.id, name, value) for name, value in tags.items())
        engine.loading.note_definition(workflow)

        def begin(refused: frozenset[str]) -> None:
            if new.id not in refused and not queued:
                engine.loading.begin(new, workflow, events)
            told(new.id in refused)

        if queued:
            engine.lines.stand(new)
        engine.committer.then(begin)

    def send_signal(self, held: Held, command: c.SendSignal) -> None:
        if command.operation in held.asked:
            return
        held.asked.add(command.operation)
        self.spawn(self._send(held, command, f"{held.id}/{held.base_seq}:{command.operation}"), held)

    async def _send(self, held: Held, command: c.SendSignal, message_id: str) -> None:
        engine = self._engine
        target = await engine.store.get_run(command.run)
        if target is None:  # a child that has just been started may be on its way to the disk
            await self._on_disk()
            target = await engine.store.get_run(command.run)
        if engine.held.get(held.id) is not held or held.status in TERMINAL:
            return
        error = None
        if target is None or RunStatus(target.status) in (RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED):
            why = "there is no such run" if target is None else f"it has {target.status}"
            failure = Failure(
                type="ripresa.RunNotFound",
                message=f"send_signal: run {command.run!r} cannot take signal {command.name!r}: {why}",
                failure_class=FailureClass.TERMINAL,
            )
            error = dump(failure.to_json())
        else:
            batch = engine.committer.batch
            batch.messages.append(Message(message_id, target.id, "signal", command.name, command.data, engine.now()))
            batch.ready.append(Ready(target.id, engine.now(), target.priority))
            engine.committer.then(lambda _: engine.loading.look())
        engine.append_and_tell(
            held,
            h.SIGNAL_SENT,
            operation=command.operation,
            name=command.name,
            fingerprint=command.fingerprint,
            error=error,
        )

    async def _on_disk(self) -> None:
        """Wait until all that was written so far is on disk, however long the store cannot be written."""
        written: asyncio.Future[None] = self._engine.loop.create_future()
        self._engine.committer.then(lambda _: settle(written, None))
        await written

    def publish(self, held: Held, command: c.Publish) -> None:
        if command.operation in held.asked:
            return
        held.asked.add(command.operation)
        engine = self._engine
        engine.committer.batch.outgoing.append(
            Outgoing(
                f"{held.id}/{held.base_seq}:{command.operation}", held.id, command.type, command.data, engine.now()
            )
        )
        engine.announcing.heard()
        engine.append_and_tell(
            held, h.EVENT_PUBLISHED, operation=command.operation, name=command.type, fingerprint=command.fingerprint
        )

    # --- the run itself ------------------------------------------------------------------------

    def take_patch(self, held: Held, command: c.TakePatch) -> None:
        self._engine.append(held, h.PATCH_TAKEN, name=command.patch)
        self._engine.committer.kick()

    def settle_node(self, held: Held, command: c.SettleNode) -> None:
        if command.node in held.noted:
            return
        held.noted.add(command.node)
        self._engine.append(
            held, h.NODE_SETTLED, operation=command.node, name=command.node, data=command.data, error=command.error
        )
        self._engine.committer.kick()
        if self._engine.watching.observers:
            failure = Failure.from_json(as_object(command.error)) if command.error else None
            status = as_object(command.data).get("status")
            self._engine.watching.notify("node_settled", held, node=command.node, status=status, failure=failure)

    def finish_update(self, held: Held, command: c.FinishUpdate) -> None:
        engine = self._engine
        engine.append(
            held,
            h.UPDATE_COMPLETED,
            operation=command.update,
            name=command.name,
            data=command.output,
            error=command.error,
        )

        def answer(_: frozenset[str]) -> None:
            future = engine.updates.pop(command.update, None)
            if future is not None and not future.done():
                future.set_result((command.output, command.error))

        engine.committer.then(answer)

    def continue_as_new(self, held: Held, command: c.ContinueAsNew) -> None:
        engine = self._engine
        self._end_work(held)
        live = held.live
        assert live is not None  # noqa: S101 - it has just asked
        mail = [*live.left_over(), *held.inbox, *engine.committer.untold(held)]
        held.inbox = []
        event = engine.append(held, h.CONTINUED, name=held.definition, data=held.input)
        held.base_seq = event.seq - 1
        held.input = command.input
        held.children = {}
        held.noted.clear()
        held.loss_counts = {}
        engine.committer.batch.changes.append(
            RunChange(
                held.id,
                RunStatus.RUNNING.value,
                engine.now(),
                engine.number,
                base_seq=held.base_seq,
                input=command.input,
                version=held.workflow.version,
            )
        )
        held.shown = held.base_seq
        for sent in mail:
            if sent.kind in h.MAIL:
                engine.append_and_tell(held, sent.kind, operation=sent.operation, name=sent.name, data=sent.data)
        held.live = None
        held.untold += 1

        def again(_: frozenset[str]) -> None:
            held.untold -= 1
            if engine.held.get(held.id) is held:
                if held.shown == held.base_seq:  # unless it was loaded meanwhile
                    held.at_hand = [event]
                engine.turns.ask(held)

        engine.committer.then(again)

    def finish(self, held: Held, command: c.Finish) -> None:
        engine = self._engine
        status = RunStatus(command.status)
        self._end_work(held)
        if status is RunStatus.QUARANTINED:
            engine.append(held, h.QUARANTINED, error=command.error)
            engine.set_status(held, status, write=True, error=command.error)
            engine.committer.then(lambda _: engine.outcomes.halted(held))
            return
        engine.append(held, h.FINISHED, name=status.value, data=command.output, error=command.error)
        engine.set_status(held, status, write=True, output=command.output, error=command.error, owned=False)
        engine.children.tell_parent(held, status, command.output, command.error)
        engine.committer.then(lambda _: self._finished(held))

    def _finished(self, held: Held) -> None:
        engine = self._engine
        for event in held.inbox:
            future = engine.updates.pop(event.operation or "", None)
            if future is not None and not future.done():
                future.set_result(
                    (None, dump(Failure(type="ripresa.RunFinished", message="the run has ended").to_json()))
                )
        engine.let_go(held)
        engine.wake_waiters(held.id)

    def take_in(self, run_id: str) -> None:
        """Hold a run whose row says already that it is ours."""
        self.spawn(self._engine.loading.take_owned([run_id]))

    def take_messages(self, held: Held) -> None:
        """Hand in the messages that waited while the run was stopped."""
        self.spawn(self._engine.messages.take(held), held)

    def _end_work(self, held: Held) -> None:
        """The code has ended: stop what it left behind."""
        for operation in list(held.flights):
            self._engine.attempts.cancel(held, operation)
        for due in held.timers.values():
            due.cancel()
        held.timers.clear()

    def spawn(self, work: Any, held: Held | None = None) -> None:
        """Do this beside; the run, if one is named, stays in memory meanwhile."""
        engine = self._engine
        engine.loading.busy += 1
        if held is not None:
            held.untold += 1
        task = engine.task(work)
        self._tasks.add(task)

        def done(_: Any) -> None:
            work.close()  # if it never began
            engine.loading.busy -= 1
            if held is not None:
                held.untold -= 1
                engine.labels.look(held)
            self._tasks.discard(task)
            engine.watching.ask_idle()

        task.add_done_callback(done)


_HANDS: dict[type, Any] = {
    c.ScheduleStep: CarryOut.schedule_step,
    c.CancelStep: CarryOut.cancel_step,
    c.SetTimer: CarryOut.set_timer,
    c.ClearTimer: CarryOut.clear_timer,
    c.StartChild: CarryOut.start_child,
    c.CancelChild: CarryOut.cancel_child,
    c.SendSignal: CarryOut.send_signal,
    c.Publish: CarryOut.publish,
    c.TakePatch: CarryOut.take_patch,
    c.SettleNode: CarryOut.settle_node,
    c.FinishUpdate: CarryOut.finish_update,
    c.ContinueAsNew: CarryOut.continue_as_new,
    c.Finish: CarryOut.finish,
}
