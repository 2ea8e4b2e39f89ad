"""Carrying out: each command of a run becomes rows, a timer or an attempt.

Commands are values; the table at the end says who carries out which.  A command that the engine has
carried out already (the code was evicted and asked again) is passed over.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ripresa.contracts.errors import RipresaError
from ripresa.contracts.failure import Failure
from ripresa.contracts.payload import dump
from ripresa.contracts.status import TERMINAL, FailureClass, RunStatus
from ripresa.engine.rows import settle
from ripresa.kernel import commands as c
from ripresa.kernel import history as h
from ripresa.ports.rows import HistoryEvent, Message, NewRun, Outgoing, Ready, RunChange

if TYPE_CHECKING:
    from collections.abc import Callable

    from ripresa.engine.engine import Engine
    from ripresa.engine.held import Held
    from ripresa.kernel.live import LiveRun
    from ripresa.ports.rows import Run


class CarryOut:
    """The engine's hands."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.callers: set[asyncio.Future[Any]] = set()
        self._behind: dict[str, list[tuple[LiveRun | None, c.Command]]] = {}
        """By run whose children are being looked up: what its code asked meanwhile that must not overtake a child."""
        self._tasks: set[asyncio.Task[None]] = set()

    def all(self, held: Held, commands: list[c.Command]) -> None:
        """Carry the commands out in the order in which the code gave them."""
        for command in commands:
            if held.id in self._behind and isinstance(command, _ABOUT_RUNS + _LAST):
                self._behind[held.id].append((held.live, command))
            else:
                _HANDS[type(command)](self, held, command)

    def schedule_step(self, held: Held, command: c.ScheduleStep) -> None:
        if command.operation not in held.flights and command.operation not in held.quarantined:
            self._engine.attempts.begin(held, command)

    def cancel_step(self, held: Held, command: c.CancelStep) -> None:
        held.quarantined.pop(command.operation, None)
        too_late = self._engine.attempts.cancel(held, command.operation)
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
        marker = f"{held.base_seq}:{command.operation}"
        if held.children is None:
            self._look_up(held, command)
            return
        if marker in held.children:
            if command.operation in held.redo:
                held.redo -= {command.operation}
                self._reopen(held, command, held.children[marker])
            return
        held.children[marker] = command.child
        engine = self._engine
        now = engine.now()
        try:
            if command.workflow.version is None:
                command = self._by_name(command)
            engine.lines.line_of(command.workflow, command.input, now)
        except RipresaError as error:
            self._child_failed(held, command, type(error).__name__, str(error), code="cannot_start")
            return
        new = NewRun(
            command.child,
            command.key,
            command.workflow.name,
            command.workflow.version,
            RunStatus.RUNNING.value,
            held.priority if command.priority is None else command.priority,
            command.input,
            held.id,
            marker,
            held.correlation_id,
            engine.number,
            now,
            None,
            now,
        )
        self.new_run(
            engine.lines.opening(new, command.workflow),
            command.workflow,
            command.tags or {},
            lambda refused: self._child_refused(held, command, refused=refused),
        )

    def _reopen(self, held: Held, command: c.StartChild, child: str) -> None:
        """Have a child that has failed tried again, as its parent is; on a shared store by whoever takes it then."""
        engine = self._engine
        if engine.fleet.shared:
            message = f"{held.id}/{held.base_seq}.{held.retried}:{command.operation}/retry"
            self._spawn(engine.loading.post(child, "retry", None, None, id=message))
        else:
            self._spawn(engine.control.reopen_child(child), held)

    def _look_up(self, held: Held, command: c.StartChild | c.CancelChild) -> None:
        """Carry the command out when it is known which children there are."""
        self._behind[held.id] = [(held.live, command)]
        self._spawn(self._look_up_children(held), held)

    async def _look_up_children(self, held: Held) -> None:
        try:
            children = await self._engine.store.children(held.id)
        finally:
            behind = self._behind.pop(held.id)
        if self._engine.held.get(held.id) is not held or not self._engine.may_run(held):
            return  # its code asks again when it goes on
        held.children = {child.parent_operation or "": child.id for child in children}
        for live, command in behind:
            if live is held.live or isinstance(command, _ABOUT_RUNS):
                self.all(held, [command])

    def _by_name(self, command: c.StartChild) -> c.StartChild:
        """The command with the workflow that its name means, and its input checked by it."""
        workflow = self._engine.require_workflow(command.workflow.name, None)
        return command._replace(workflow=workflow, input=workflow.signature.check_input(command.input))

    def _child_refused(self, held: Held, command: c.StartChild, *, refused: bool) -> None:
        if refused:
            message = f"a run with id {command.key!r} exists already, and this run did not start it"
            self._child_failed(held, command, "RunConflict", message, code="conflict")

    def _child_failed(self, held: Held, command: c.StartChild, kind: str, message: str, *, code: str) -> None:
        failure = Failure(type=f"ripresa.{kind}", message=message, failure_class=FailureClass.TERMINAL, code=code)
        self._engine.append_and_tell(
            held,
            h.CHILD_FINISHED,
            operation=command.operation,
            name=command.workflow.name,
            fingerprint=command.fingerprint,
            error=dump(failure.to_json()),
        )

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

    def cancel_child(self, held: Held, command: c.CancelChild) -> None:
        if held.children is None:
            self._look_up(held, command)
            return
        child = held.children.get(f"{held.base_seq}:{command.operation}")
        if child is None:
            return  # it was called off before it was started
        # The code asks again whenever it is brought back: the child is told once, and once more after a retry.
        message = f"{held.id}/{held.base_seq}.{held.retried}:{command.operation}/cancel"
        self._spawn(self._engine.loading.post(child, "cancel", None, None, id=message))

    def send_signal(self, held: Held, command: c.SendSignal) -> None:
        if command.operation in held.asked:
            return
        held.asked.add(command.operation)
        self._spawn(self._send(held, command, f"{held.id}/{held.base_seq}:{command.operation}"), held)

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
            failure = Failure.from_json(_loads(command.error)) if command.error else None
            status = _loads(command.data).get("status")
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
                engine.ask_turn(held)

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
        self.tell_parent(held, status, command.output, command.error)
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

    def tell_parent(self, held: Held | Run, status: RunStatus, output: str | None, error: str | None) -> None:
        """Leave a message for the run that waits for this one."""
        if held.parent is None or held.parent_operation is None:
            return
        engine = self._engine
        parent = engine.held.get(held.parent)
        if status is not RunStatus.SUCCEEDED and error is None:
            error = dump(Failure(type="ripresa.RunCancelled", message=f"the child {status.value}").to_json())
        if error is not None:
            error = dump({**_loads(error), "code": status.value})
        if parent is not None:
            generation, _, operation = held.parent_operation.partition(":")
            if int(generation) == parent.base_seq and parent.status not in TERMINAL:
                engine.append_and_tell(parent, h.CHILD_FINISHED, operation=operation, data=output, error=error)
            return
        data = dump({"output": output, "error": error})
        batch = engine.committer.batch
        # One that was tried again ends again: that is another message.
        again = f".{retried}" if (retried := getattr(held, "retried", 0)) else ""
        message = f"{held.id}/{held.base_seq}{again}/finished"
        batch.messages.append(Message(message, held.parent, "child", held.parent_operation, data, engine.now()))
        batch.ready.append(Ready(held.parent, engine.now(), held.priority))
        # Whoever holds the parent by then has loaded it before this message was there.
        engine.committer.then(lambda _: engine.loading.look())

    def take_in(self, run_id: str) -> None:
        """Hold a run whose row says already that it is ours."""
        self._spawn(self._engine.loading.take_owned([run_id]))

    def take_messages(self, held: Held) -> None:
        """Hand in the messages that waited while the run was stopped."""
        self._spawn(self._engine.loading.take_messages(held), held)

    def _end_work(self, held: Held) -> None:
        """The code has ended: stop what it left behind."""
        for operation in list(held.flights):
            self._engine.attempts.cancel(held, operation)
        for due in held.timers.values():
            due.cancel()
        held.timers.clear()

    def _spawn(self, work: Any, held: Held | None = None) -> None:
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


def _loads(text: str) -> dict[str, Any]:
    from ripresa.contracts.payload import load  # noqa: PLC0415 - one use

    value = load(text)
    return value if isinstance(value, dict) else {"type": "Error", "message": str(value)}


_ABOUT_RUNS = (c.StartChild, c.CancelChild, c.SendSignal)
_LAST = (c.ContinueAsNew, c.Finish)
"""With those above, the commands that must not overtake the start of a child."""

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
