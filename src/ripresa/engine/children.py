"""Children: starting them, having them tried again or called off, and telling a parent how one has ended.

A run knows its children by the operations that started them.  One that was brought back from disk looks them up first;
what its code asks meanwhile that must not overtake the start of a child waits (`waits`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ripresa.contracts.errors import RipresaError
from ripresa.contracts.failure import Failure
from ripresa.contracts.payload import dump
from ripresa.contracts.status import TERMINAL, FailureClass, RunStatus
from ripresa.engine.rows import as_object
from ripresa.kernel import commands as c
from ripresa.kernel import history as h
from ripresa.ports.rows import Message, NewRun, Ready

if TYPE_CHECKING:
    from ripresa.engine.engine import Engine
    from ripresa.engine.held import Held
    from ripresa.kernel.live import LiveRun
    from ripresa.ports.rows import Run

_ABOUT_RUNS = (c.StartChild, c.CancelChild, c.SendSignal)
_LAST = (c.ContinueAsNew, c.Finish)
"""With those above, the commands that must not overtake the start of a child."""


class Children:
    """What runs and their children ask and tell of each other."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._behind: dict[str, list[tuple[LiveRun | None, c.Command]]] = {}
        """By run whose children are being looked up: what its code asked meanwhile that must not overtake a child."""

    def waits(self, held: Held, command: c.Command) -> bool:
        """Whether the command is carried out later, as the run's children are being looked up."""
        if held.id not in self._behind or not isinstance(command, _ABOUT_RUNS + _LAST):
            return False
        self._behind[held.id].append((held.live, command))
        return True

    def start(self, held: Held, command: c.StartChild) -> None:
        """Start a child, unless that was done: then its message comes, or it is tried again with its parent."""
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
            self._failed(held, command, type(error).__name__, str(error), code="cannot_start")
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
        engine.carry_out.new_run(
            engine.lines.opening(new, command.workflow),
            command.workflow,
            command.tags or {},
            lambda refused: self._refused(held, command, refused=refused),
        )

    def _reopen(self, held: Held, command: c.StartChild, child: str) -> None:
        """Have a child that has failed tried again, as its parent is; on a shared store by whoever takes it then."""
        engine = self._engine
        if engine.fleet.shared:
            message = f"{held.id}/{held.base_seq}.{held.retried}:{command.operation}/retry"
            engine.carry_out.spawn(engine.messages.post(child, "retry", None, None, id=message))
        else:
            engine.carry_out.spawn(engine.control.reopen_child(child), held)

    def _look_up(self, held: Held, command: c.StartChild | c.CancelChild) -> None:
        """Carry the command out when it is known which children there are."""
        self._behind[held.id] = [(held.live, command)]
        self._engine.carry_out.spawn(self._look_up_children(held), held)

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
                self._engine.carry_out.all(held, [command])

    def _by_name(self, command: c.StartChild) -> c.StartChild:
        """The command with the workflow that its name means, and its input checked by it."""
        workflow = self._engine.require_workflow(command.workflow.name, None)
        return command._replace(workflow=workflow, input=workflow.signature.check_input(command.input))

    def _refused(self, held: Held, command: c.StartChild, *, refused: bool) -> None:
        if refused:
            message = f"a run with id {command.key!r} exists already, and this run did not start it"
            self._failed(held, command, "RunConflict", message, code="conflict")

    def _failed(self, held: Held, command: c.StartChild, kind: str, message: str, *, code: str) -> None:
        failure = Failure(type=f"ripresa.{kind}", message=message, failure_class=FailureClass.TERMINAL, code=code)
        self._engine.append_and_tell(
            held,
            h.CHILD_FINISHED,
            operation=command.operation,
            name=command.workflow.name,
            fingerprint=command.fingerprint,
            error=dump(failure.to_json()),
        )

    def cancel(self, held: Held, command: c.CancelChild) -> None:
        """Ask a child to stop."""
        if held.children is None:
            self._look_up(held, command)
            return
        child = held.children.get(f"{held.base_seq}:{command.operation}")
        if child is None:
            return  # it was called off before it was started
        # The code asks again whenever it is brought back: the child is told once, and once more after a retry.
        message = f"{held.id}/{held.base_seq}.{held.retried}:{command.operation}/cancel"
        self._engine.carry_out.spawn(self._engine.messages.post(child, "cancel", None, None, id=message))

    def tell_parent(self, held: Held | Run, status: RunStatus, output: str | None, error: str | None) -> None:
        """Leave a message for the run that waits for this one."""
        if held.parent is None or held.parent_operation is None:
            return
        engine = self._engine
        parent = engine.held.get(held.parent)
        if status is not RunStatus.SUCCEEDED and error is None:
            error = dump(Failure(type="ripresa.RunCancelled", message=f"the child {status.value}").to_json())
        if error is not None:
            error = dump({**as_object(error), "code": status.value})
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
