"""A live run: workflow code, its loop, and where they stand.

    activate(events) -> commands

Owns driving the code: events are applied one at a time, in the journal's order, and after each the
loop turns until nothing is ready.  Leaves all doing to the engine.  Invariant: the same code and the
same events give the same commands, whether the events come one by one or all at once.

How a plain call of a step waits (`block`): callbacks run in a greenlet.  The call parks it and
switches to the engine; when the outcome is applied, `activate` switches back, and the callback goes
on in the middle of the line.

    engine ── switch ──> greenlet: callback ── step() ── park ──┐
    engine <────────────────────────────────────────────────────┘
    engine: … outcome on disk, activate …
    engine ── switch ──────────────────────────────────> step() returns the value

While a plain call waits, nothing else of the run runs (strict): the code between two awaits stays
atomic, as an asyncio author expects.  The waits in `ripresa.blocking` are awaits by another name: they
let the run's other tasks and handlers go on (soft).
"""

from __future__ import annotations

import asyncio
import weakref
from asyncio import _get_running_loop, _set_running_loop
from asyncio.tasks import _enter_task, _leave_task
from collections import deque
from typing import TYPE_CHECKING, Any

import greenlet

from ripresa.contracts.errors import ChildFailed, ForbiddenInWorkflow, PayloadError, Quarantine, RipresaError, StepFailed
from ripresa.contracts.failure import Failure
from ripresa.contracts.payload import dump, load
from ripresa.contracts.status import FailureClass, RunStatus
from ripresa.kernel import commands as c
from ripresa.kernel import guard
from ripresa.kernel import history as h
from ripresa.kernel.divergence import diverged
from ripresa.kernel.greenlets import IDLE, PARKED, Parked, Runners
from ripresa.kernel.identity import Identities, derived_float, derived_uuid, derived_uuid4, fingerprint
from ripresa.kernel.loop import SCOPE, Discarded, Handle, RunLoop, Timer
from ripresa.kernel.mail import Mail
from ripresa.kernel.operations import ContinueRequested, Event, Operation, failure_of, resolve, set_unless_done, user_line
from ripresa.kernel.recall import Recall
from ripresa.kernel.saga import Saga

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from uuid import UUID

__all__ = ["ContinueRequested", "Event", "LiveRun", "Operation", "Runners", "current_run"]

_UNWINDS_MAX = 100


class LiveRun:
    """One run in memory; made anew from its history whenever it is woken."""

    __slots__ = (
        "_commands",
        "_conditions",
        "_doomed",
        "_identities",
        "_inbox",
        "_main",
        "_patch_answers",
        "_patches",
        "_read_only",
        "_recall",
        "_replaying",
        "_resumable",
        "_runners",
        "_soft",
        "_strict",
        "_tasks",
        "_withdrawn",
        "cancel_requested",
        "correlation_id",
        "discarding",
        "finished",
        "id",
        "input",
        "loop",
        "mail",
        "name",
        "now_us",
        "operations",
        "saga",
        "seed",
        "tracing",
        "workflow",
    )

    def __init__(
        self,
        run_id: str,
        workflow: Any,
        input_text: str,
        *,
        runners: Runners | None = None,
        correlation_id: str = "",
        name: str = "",
        tracing: bool = False,
        seed: str | None = None,
    ) -> None:
        self.id = run_id
        self.seed = seed or run_id
        self.name = name or run_id
        self.correlation_id = correlation_id
        self.workflow = workflow
        self.input = input_text
        self.tracing = tracing
        self.loop = RunLoop(self)
        self.now_us = 0
        self.discarding = False
        self.finished: c.Finish | c.ContinueAsNew | None = None
        self.operations: dict[str, Operation | Timer] = {}
        self.cancel_requested = False
        self.saga = Saga()
        self.mail = Mail(self)
        self._runners = runners if runners is not None else Runners()
        self._identities = Identities()
        self._commands: list[c.Command] = []
        self._inbox: deque[Any] = deque()
        self._strict: Parked | None = None
        self._soft: list[Parked] = []
        self._resumable: deque[greenlet.greenlet] = deque()
        self._conditions: list[tuple[Callable[[], object], asyncio.Future[bool]]] = []
        self._tasks: list[weakref.ref[asyncio.Task[Any]]] = []
        self._main: asyncio.Task[Any] | None = None
        self._withdrawn: set[str] = set()
        self._replaying = False
        self._read_only = False
        self._doomed: Failure | None = None
        self._patches: set[str] = set()
        self._patch_answers: dict[str, bool] = {}
        self._recall = Recall()

    # --- driving ---------------------------------------------------------------------------

    def replay(self, history: Iterable[Any]) -> list[c.Command]:
        """Bring a new instance to where `history` ends; return what is still to be done.  Raises Diverged."""
        events = self._recall.split(list(history))
        self._patches.update(event.name for event in events if event.kind == h.PATCH_TAKEN)
        self._replaying = len(events) > 1
        return self.activate(events)

    def activate(self, events: Iterable[Any]) -> list[c.Command]:
        """Apply `events` and return what the code asked for since.  Raises Diverged."""
        self._inbox.extend(events)
        previous = _get_running_loop()
        _set_running_loop(self.loop)
        guard.enter()
        try:
            self._advance()
        finally:
            guard.leave()
            _set_running_loop(previous)
        asked, self._commands = self._commands, []
        if self._replaying or self._withdrawn:
            asked = [command for command in asked if self._still_wanted(command)]
            self._replaying = False
        return asked

    def _still_wanted(self, command: c.Command) -> bool:
        if isinstance(command, c.ScheduleStep | c.SetTimer | c.StartChild | c.SendSignal | c.Publish):
            return command.operation in self.operations
        if isinstance(command, c.FinishUpdate):
            return command.update not in self.mail.answered
        return True

    def _advance(self) -> None:
        while self.finished is None:
            if self.loop.ready and self._strict is None and not self._resumable:
                self._enter(self._runners.take())
            elif self._strict is not None:
                if not self._strict.future.done():
                    if not self._inbox:
                        return
                    self._apply(self._inbox.popleft())
                    continue
                parked, self._strict = self._strict, None
                self._enter(parked.greenlet)
            elif self._resumable:
                self._enter(self._resumable.popleft())
            elif self._conditions and self._settle_conditions():
                continue
            elif self._recall.ready:
                self._apply(self._recall.ready.popleft())
            elif self._inbox:
                self._apply(self._inbox.popleft())
            else:
                return
        while self._inbox:
            self._apply_late(self._inbox.popleft())

    def _enter(self, runner: greenlet.greenlet) -> None:
        if runner.switch(self) is IDLE:
            self._runners.give(runner)

    def drain(self) -> None:
        """Run what is ready; called in a greenlet."""
        ready = self.loop.ready
        while ready and self.finished is None and not self._resumable:
            handle = ready.popleft()
            if not handle._cancelled:  # noqa: SLF001 - same package, hot path
                handle._context.run(handle._callback, *handle._args)  # noqa: SLF001 - same package, hot path

    def block(self, future: asyncio.Future[Any], *, soft: bool = False) -> Any:
        """Wait for `future` in the middle of a callback; return its result or raise its error."""
        if not future.done():
            self._park(future, soft=soft)
        return future.result()

    def _park(self, future: asyncio.Future[Any], *, soft: bool) -> None:
        here = greenlet.getcurrent()
        parent = here.parent
        if parent is None or self._read_only:
            msg = "a query or condition of a workflow cannot wait: it may only look at the state"
            raise ForbiddenInWorkflow(msg)
        task = asyncio.current_task(self.loop)
        parked = Parked(here, future, task)
        if task is not None:
            _leave_task(self.loop, task)
        if soft:
            self._soft.append(parked)
            future.add_done_callback(lambda _: self._resume(parked))
        else:
            self._strict = parked
        try:
            parent.switch(PARKED)
        finally:
            if task is not None:
                _enter_task(self.loop, task)

    def _resume(self, parked: Parked) -> None:
        if parked in self._soft:
            self._soft.remove(parked)
            self._resumable.append(parked.greenlet)

    def _settle_conditions(self) -> bool:
        settled = False
        for entry in list(self._conditions):
            predicate, future = entry
            if future.done():
                self._conditions.remove(entry)
                continue
            try:
                true = self._looking(predicate)
            except Exception as error:  # noqa: BLE001 - the waiter gets it
                future.set_exception(error)
            else:
                if not true:
                    continue
                future.set_result(True)
            self._conditions.remove(entry)
            settled = True
        return settled

    def _looking(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call user code that may look but not ask for anything."""
        self._read_only = True
        try:
            return function(*args)
        finally:
            self._read_only = False

    # --- the main coroutine ----------------------------------------------------------------

    async def _run_main(self) -> None:
        try:
            output = await self._call_main()
        except Discarded:
            raise
        except ContinueRequested as request:
            self.finished = c.ContinueAsNew(request.input)
            self._commands.append(self.finished)
        except asyncio.CancelledError as error:
            await self._undo_and_finish(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends the run
            await self._undo_and_finish(error)
        except (KeyboardInterrupt, SystemExit) as error:
            await self._undo_and_finish(error)
        else:
            if self.cancel_requested:
                self.finish(RunStatus.CANCELLED, output, None)
            elif self._doomed:
                self.finish(RunStatus.FAILED, None, self._doomed)
            else:
                self.finish(RunStatus.SUCCEEDED, output, None)

    async def _call_main(self) -> str:
        value = self.workflow.call(self.input)
        if asyncio.iscoroutine(value):
            value = await value
        output: str = self.workflow.dump(value)
        return output

    async def _undo_and_finish(self, error: BaseException) -> None:
        if isinstance(error, Quarantine):
            self.finish(RunStatus.QUARANTINED, None, Failure.of(error, FailureClass.QUARANTINE, code="quarantined"))
            return
        try:
            await self.saga.undo()
        except Discarded:
            raise
        except BaseException as second:  # noqa: BLE001 - the run ends with the later error, chained to the first
            second.__context__ = error
            error = second
        if isinstance(error, asyncio.CancelledError) and self.cancel_requested:
            self.finish(RunStatus.CANCELLED, None, None)
        else:
            self.finish(RunStatus.FAILED, None, failure_of(error))

    def finish(self, status: RunStatus, output: str | None, failure: Failure | None) -> None:
        """End the run; what comes first stands."""
        if self.finished is not None:
            return
        error = dump(failure.to_json()) if failure else None
        self.finished = c.Finish(status.value, output, error)
        self._commands.append(self.finished)

    def _start_main(self) -> None:
        self._main = self.loop.create_task(self._run_main(), name="main")

    # --- discarding ------------------------------------------------------------------------

    def discard(self) -> None:
        """Unwind the code without letting it ask for anything; the run leaves memory."""
        self.discarding = True
        previous = _get_running_loop()
        _set_running_loop(self.loop)
        guard.enter()
        try:
            for parked in [*self._soft, *([self._strict] if self._strict else [])]:
                parked.greenlet.throw(Discarded)
            for ref in list(self._tasks):
                task = ref()
                if task is not None:
                    _unwind(task)
        finally:
            guard.leave()
            _set_running_loop(previous)
        self.loop.ready.clear()
        self.operations.clear()

    # --- what the loop asks ----------------------------------------------------------------

    def timer_set(self, timer: Timer) -> None:
        self.require_asking("a timer")
        timer.id = self._identities.take(SCOPE.get(), timer.name)
        timer.fingerprint = fingerprint("timer", timer.name, str(timer.due - self.now_us))
        if self._register(timer):
            self._commands.append(c.SetTimer(timer.id, timer.due, timer.fingerprint, timer.name))

    def timer_cancelled(self, timer: Timer) -> None:
        if self.operations.pop(timer.id, None) is timer:
            self._withdrawn.add(timer.id)
            self._commands.append(c.ClearTimer(timer.id))

    def task_scope(self, coro: Any) -> str | None:
        if hasattr(coro, "__ripresa_call__") or self._main is None:
            return None
        label = getattr(coro, "__name__", type(coro).__name__)
        return self._identities.take(SCOPE.get(), label) + "/"

    def task_created(self, task: asyncio.Task[Any]) -> None:
        tasks = self._tasks
        tasks.append(weakref.ref(task))
        if len(tasks) & (len(tasks) - 1) == 0:  # at each power of two: linear in all
            self._tasks = [ref for ref in tasks if (one := ref()) is not None and not one.done()]

    def task_error(self, context: dict[str, Any]) -> None:
        """A task's error that nobody looked at is the workflow author's to see, not the engine's to die of."""

    def inline_task(self, coro: Any) -> asyncio.Task[Any]:
        """A task that asks in its parent's scope; for waits that are awaits by another name."""
        task = asyncio.Task(coro, loop=self.loop, name="wait")
        self._tasks.append(weakref.ref(task))
        return task

    def scope_of(self, name: str) -> str:
        """A scope of that name within the caller's, as `item` or `item#2`."""
        return self._identities.take(SCOPE.get(), name)

    # --- what the code asks for ------------------------------------------------------------

    def schedule(
        self,
        step: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        key: str | None = None,
        scope: str | None = None,
        saga: Saga | None = None,
    ) -> Operation:
        """Ask for a step; the future has its output."""
        self.require_asking(step.name)
        text, args, kwargs = step.encode(args, kwargs)
        where = SCOPE.get() if scope is None else scope
        identity = (
            self._identities.take(where, step.name)
            if key is None
            else self._identities.take_keyed(where, step.name, key)
        )
        operation = self._operation("step", identity, step.name, text)
        operation.decode = step.decode
        if step.compensate is not None:
            (saga or self.saga.current()).watch(operation, step, text)
        if self._register(operation):
            self._commands.append(
                c.ScheduleStep(identity, step, args, kwargs, text, operation.fingerprint)
            )
        return operation

    def start_child(
        self, workflow: Any, text: str, *, key: str | None, priority: int | None = None, tags: dict[str, str] | None = None
    ) -> Operation:
        """Ask for a run of another workflow; the future has its output."""
        self.require_asking(workflow.name)
        operation = self._operation("child", self._identities.take(SCOPE.get(), workflow.name), workflow.name, text)
        operation.decode = workflow.decode
        operation.child = str(derived_uuid(self.id, now_us=self.now_us, salt=f"{self.input}\0{operation.id}"))
        if self._register(operation):
            self._commands.append(
                c.StartChild(
                    operation.id, operation.child, key, workflow, text, operation.fingerprint, priority, tags
                )
            )
        return operation

    def send_signal(self, run: str, name: str, data: str) -> Operation:
        """Ask for a signal to be sent; the future resolves when it is on disk."""
        self.require_asking("send_signal")
        operation = self._operation("signal", self._identities.take(SCOPE.get(), f"signal:{name}"), name, f"{run}\0{data}")
        if self._register(operation):
            self._commands.append(c.SendSignal(operation.id, run, name, data, operation.fingerprint))
        return operation

    def publish(self, kind: str, data: str) -> Operation:
        """Ask for an event to be published; the future resolves when it is on disk."""
        self.require_asking("publish")
        operation = self._operation("publish", self._identities.take(SCOPE.get(), f"publish:{kind}"), kind, data)
        if self._register(operation):
            self._commands.append(c.Publish(operation.id, kind, data, operation.fingerprint))
        return operation

    def timer(self, delay_us: int, name: str) -> tuple[asyncio.Future[None], Timer | Handle]:
        """A future that resolves after `delay_us`, and the handle that withdraws it."""
        future: asyncio.Future[None] = self.loop.create_future()
        due = self.now_us + delay_us
        if delay_us <= 0:
            return future, self.loop.call_soon(set_unless_done, future)
        timer = Timer(set_unless_done, (future,), None, self, due)
        timer.name = name
        self.timer_set(timer)
        return future, timer

    def wait_condition(self, predicate: Callable[[], object]) -> asyncio.Future[bool]:
        """A future that resolves when `predicate()` is true; it is asked after each event."""
        self.require_asking("wait_until")
        future: asyncio.Future[bool] = self.loop.create_future()
        self._conditions.append((predicate, future))
        return future

    def patched(self, patch: str) -> bool:
        """Whether the run takes the new way at this branch; the answer stays as it is for the run."""
        answer = self._patch_answers.get(patch)
        if answer is None:
            recorded = patch in self._patches
            answer = recorded or not (self._replaying and (self._inbox or self._recall))
            self._patch_answers[patch] = answer
            if answer and not recorded:
                self._patches.add(patch)
                self._commands.append(c.TakePatch(patch))
        return answer

    def uuid4(self) -> UUID:
        """A random-looking UUID that replays the same."""
        return derived_uuid4(self.seed, self._next_salt())

    def random(self) -> float:
        """A random-looking number in [0, 1) that replays the same."""
        return derived_float(self.seed, self._next_salt())

    def _next_salt(self) -> str:
        return self._identities.take(SCOPE.get(), "?")

    def ask(self, command: c.Command) -> None:
        """Put a command among those that the activation returns."""
        self._commands.append(command)

    def require_asking(self, what: str) -> None:
        """Raise if the code may not ask for anything now."""
        if self.discarding:
            raise Discarded
        if self._read_only:
            msg = f"{what}: a query, validator or condition of a workflow may only look at the state"
            raise ForbiddenInWorkflow(msg)

    def _operation(self, kind: str, identity: str, name: str, arguments: str) -> Operation:
        operation = Operation(loop=self.loop)
        operation.run = self
        operation.id = identity
        operation.kind = kind
        operation.name = name
        operation.fingerprint = fingerprint(kind, name, arguments)
        return operation

    def _register(self, operation: Operation | Timer) -> bool:
        """Note that it was asked for; False: a retried run remembers the outcome already."""
        if self.tracing:
            operation.line = user_line()
        self.operations[operation.id] = operation
        return not self._recall.knows(operation)

    def operation_cancelled(self, operation: Operation) -> None:
        """Its future was cancelled: stop the work."""
        if self.operations.pop(operation.id, None) is None:
            return
        self._withdrawn.add(operation.id)
        if operation.kind == "step":
            self._commands.append(c.CancelStep(operation.id))
        elif operation.kind == "child" and operation.child:
            self._commands.append(c.CancelChild(operation.id, operation.child))

    # --- events ----------------------------------------------------------------------------

    def _apply(self, event: Any) -> None:
        self.now_us = max(self.now_us, event.at)
        _APPLY[event.kind](self, event)

    def _apply_late(self, event: Any) -> None:
        """The code has ended; an outcome it asked for may still come in, anything else has diverged."""
        if event.kind in h.OUTCOMES and event.operation not in self.operations and event.operation not in self._withdrawn:
            raise diverged(self, event)

    def _take(self, event: Any) -> Operation | Timer | None:
        operation = self.operations.pop(event.operation, None)
        if operation is None:
            if event.operation in self._withdrawn:
                return None
            raise diverged(self, event)
        elif event.fingerprint is not None and operation.fingerprint != event.fingerprint:
            self.operations[operation.id] = operation
            raise diverged(self, event)
        return operation

    def _on_started(self, _: Any) -> None:
        self._start_main()

    def _on_step_completed(self, event: Any) -> None:
        operation = self._take(event)
        if isinstance(operation, Operation) and not operation.done():
            try:
                value = operation.decode(event.data)
            except PayloadError as error:
                operation.set_exception(error)
                return
            if operation.undo is not None:
                operation.undo(event.data)
            operation.set_result(value)

    def _on_step_failed(self, event: Any) -> None:
        operation = self._take(event)
        failure = Failure.from_json(load(event.error))
        if event.name == "discard" or failure.code == "discarded":
            self._doomed = failure
        if isinstance(operation, Operation) and not operation.done():
            operation.set_exception(StepFailed(operation.name, failure, event.attempt or 1))

    def _on_timer_fired(self, event: Any) -> None:
        timer = self._take(event)
        if isinstance(timer, Timer) and not timer.cancelled():
            self.loop.ready.append(timer)

    def _on_child_finished(self, event: Any) -> None:
        operation = self._take(event)
        if not isinstance(operation, Operation) or operation.done():
            return
        if event.error is None:
            resolve(operation, operation.decode, event.data or "null")
        else:
            failure = Failure.from_json(load(event.error))
            operation.set_exception(ChildFailed(operation.child or operation.name, failure.code, failure))

    def _on_sent(self, event: Any) -> None:
        operation = self._take(event)
        if not isinstance(operation, Operation) or operation.done():
            return
        if event.error is None:
            operation.set_result(None)
        else:
            operation.set_exception(RipresaError(Failure.from_json(load(event.error)).message))

    def _on_signal(self, event: Any) -> None:
        self.mail.take_signal(event)

    def _on_update(self, event: Any) -> None:
        self.mail.take_update(event)

    def _on_update_completed(self, event: Any) -> None:
        self.mail.answered.add(event.operation)

    def _on_cancel(self, _: Any) -> None:
        if self.cancel_requested:
            return
        self.cancel_requested = True
        for parked in [*self._soft, *([self._strict] if self._strict else [])]:
            if parked.task is self._main and parked.future.cancel():
                return
        if self._main is not None:
            self._main.cancel()

    def _on_nothing(self, _: Any) -> None:
        """The engine's matter; the code does not see it, but for the time that has passed."""

    # --- from outside ------------------------------------------------------------------------

    def from_outside(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call user code of the run that may look but not ask for anything."""
        previous = _get_running_loop()
        _set_running_loop(self.loop)
        guard.enter()
        try:
            return self._looking(function, *args)
        finally:
            guard.leave()
            _set_running_loop(previous)


_APPLY: dict[str, Callable[[LiveRun, Any], None]] = {
    h.RUN_STARTED: LiveRun._on_started,
    h.CONTINUED: LiveRun._on_started,
    h.STEP_COMPLETED: LiveRun._on_step_completed,
    h.STEP_FAILED: LiveRun._on_step_failed,
    h.TIMER_FIRED: LiveRun._on_timer_fired,
    h.CHILD_FINISHED: LiveRun._on_child_finished,
    h.SIGNAL_SENT: LiveRun._on_sent,
    h.EVENT_PUBLISHED: LiveRun._on_sent,
    h.SIGNAL_RECEIVED: LiveRun._on_signal,
    h.UPDATE_RECEIVED: LiveRun._on_update,
    h.UPDATE_COMPLETED: LiveRun._on_update_completed,
    h.CANCEL_REQUESTED: LiveRun._on_cancel,
    h.PATCH_TAKEN: LiveRun._on_nothing,
    h.PAUSE_REQUESTED: LiveRun._on_nothing,
    h.RESUME_REQUESTED: LiveRun._on_nothing,
    h.QUARANTINED: LiveRun._on_nothing,
    h.RELEASED: LiveRun._on_nothing,
    h.RETRIED: LiveRun._on_nothing,
    h.FINISHED: LiveRun._on_nothing,
}


def current_run() -> LiveRun | None:
    """The run whose code is calling, or None outside of workflow code."""
    loop = _get_running_loop()
    host = loop.host if type(loop) is RunLoop else None
    return host if isinstance(host, LiveRun) else None


def _unwind(task: asyncio.Task[Any]) -> None:
    task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001 - asyncio's own switch for this
    if task.done():
        return
    coro = task.get_coro()
    for _ in range(_UNWINDS_MAX):
        try:
            coro.throw(Discarded())  # type: ignore[union-attr]  # tasks of ours wrap coroutines only
        except BaseException:  # noqa: BLE001 - whatever it raises, it has ended
            return
