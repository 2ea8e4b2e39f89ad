"""Asking: what workflow code may ask of its run, and what its loop asks of it.

Each asking takes an identity, is registered, and becomes a command – unless a retried run remembers
the outcome.  Nothing here waits; the future that is returned does.
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
import weakref
from typing import TYPE_CHECKING, Any

from ripresa.contracts.errors import ForbiddenInWorkflow
from ripresa.contracts.payload import load
from ripresa.kernel import commands as c
from ripresa.kernel.greenlets import RunTask
from ripresa.kernel.identity import Identities, derived_float, derived_uuid, derived_uuid4, fingerprint
from ripresa.kernel.loop import SCOPE, Discarded, Handle, RunLoop, Timer
from ripresa.kernel.operations import Operation, set_unless_done, user_line
from ripresa.kernel.recall import Recall
from ripresa.kernel.saga import Saga

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable
    from types import FrameType
    from uuid import UUID


_HERE = frozenset({"inline", "thread", "process"})
"""Runtimes whose work ends with their engine."""
_NO_AS_COMPLETED = (
    "asyncio.as_completed of coroutines in workflow code: it starts them in an order that a replay cannot repeat;"
    " give it tasks, as in asyncio.as_completed([asyncio.create_task(one) for one in coroutines])"
)


def _made_by_as_completed() -> bool:
    """Whether asyncio makes the task out of a set of coroutines, which lie in the order of their addresses."""
    frame: FrameType | None = sys._getframe(3)
    while frame is not None and frame.f_code.co_filename == asyncio.tasks.__file__:
        if frame.f_code.co_qualname in ("as_completed", "_AsCompletedIterator.__init__"):
            return True
        frame = frame.f_back
    return False


class Asking:
    """The part of a live run that its code talks to; `ending` and `live` are the others."""

    __slots__ = (
        "__weakref__",
        "_commands",
        "_conditions",
        "_identities",
        "_inbox",
        "_main",
        "_noted",
        "_patch_answers",
        "_patches",
        "_read_only",
        "_recall",
        "_replaying",
        "_shown",
        "_tasks",
        "cancel_requested",
        "discarding",
        "doubtful",
        "id",
        "input",
        "loop",
        "now_us",
        "operations",
        "retried_us",
        "retries",
        "saga",
        "seed",
        "started_us",
        "tracing",
        "withdrawn",
    )

    _inbox: deque[Any]
    _main: asyncio.Task[Any] | None

    def __init__(self, run_id: str, input_text: str, seed: str | None, *, tracing: bool) -> None:
        self.id = run_id
        self.seed = seed or run_id
        self.input = input_text
        self.tracing = tracing
        self.loop = RunLoop(self)  # type: ignore[abstract]  # the other methods refuse; they are set below the class
        self.now_us = 0
        self.started_us = 0
        self.discarding = False
        self.cancel_requested = False
        self.operations: dict[str, Operation | Timer] = {}
        self.withdrawn: dict[str, Callable[[Any], None] | None] = {}
        """Operations that the code does not wait for any more, with what undoes them."""
        self.doubtful: dict[str, asyncio.Future[None]] = {}
        """Those of them of which the journal will say whether they were done."""
        self.saga = Saga()
        self._identities = Identities()
        self._commands: list[c.Command] = []
        self._conditions: list[tuple[Callable[[], object], asyncio.Future[bool]]] = []
        self._tasks: list[weakref.ref[asyncio.Task[Any]]] = []
        self._noted: set[str] = set()
        """Nodes of which the journal says already what became of them."""
        self.retries = 0
        """How often a person had the run tried again: what times out may then time out once more."""
        self.retried_us = 0
        """When it was last tried again."""
        self._patches: set[str] = set()
        self._patch_answers: dict[str, bool] = {}
        self._recall = Recall()
        self._read_only = False
        self._replaying = False
        self._shown = 0
        """While replaying: the number of the last event that an earlier life of the code was shown."""

    # --- what the loop asks ----------------------------------------------------------------

    def timer_set(self, timer: Timer) -> None:
        self.require_asking("a timer")
        timer.id = self._identities.take(SCOPE.get(), timer.name)
        timer.fingerprint = fingerprint("timer", timer.name, str(timer.due - self.now_us))
        if self._register(timer):
            self._commands.append(c.SetTimer(timer.id, timer.due, timer.fingerprint, timer.name))

    def timer_cancelled(self, timer: Timer) -> None:
        if self.operations.pop(timer.id, None) is timer:
            self.withdrawn[timer.id] = None
            self._commands.append(c.ClearTimer(timer.id))

    def task_scope(self, coro: Any) -> str | None:
        if hasattr(coro, "__ripresa_call__") or self._main is None:
            return None
        if getattr(coro, "__qualname__", "") == "_wrap_awaitable":  # asyncio's own coat around what is awaited
            return None
        if _made_by_as_completed():
            raise ForbiddenInWorkflow(_NO_AS_COMPLETED)
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
        task = RunTask(coro, loop=self.loop, name="wait", context=contextvars.copy_context())
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
        identity: str | None = None,
    ) -> Operation:
        """Ask for a step; the future has its output.  `identity` is given for what undoes another step."""
        name = step.name
        if self.discarding or self._read_only:
            self.require_asking(name)
        text, args, kwargs = step.encode(args, kwargs)
        if scope is None:
            scope = SCOPE.get()
        take = self._identities
        if identity is not None:
            identity = take.take("", identity)
        else:
            identity = take.take(scope, name) if key is None else take.take_keyed(scope, name, key)
        operation = self._operation("step", identity, name, text)
        operation.decode = step.decode
        if step.compensate is not None:
            self.saga.current().watch(operation, step, text)
        if self.tracing or self._recall:
            if not self._register(operation):
                return operation
        else:
            self.operations[identity] = operation
        command = c.ScheduleStep(identity, step, args, kwargs, text, operation.fingerprint)
        if _leaves_more(step):
            operation.asked = command
        self._commands.append(command)
        return operation

    def start_child(
        self,
        workflow: Any,
        text: str,
        *,
        key: str | None,
        priority: int | None = None,
        tags: dict[str, str] | None = None,
        label: str | None = None,
    ) -> Operation:
        """Ask for a run of another workflow; the future has its output.  `label` names it in place of the workflow."""
        self.require_asking(workflow.name)
        identity = self._identities.take(SCOPE.get(), label or workflow.name)
        operation = self._operation("child", identity, workflow.name, text)
        operation.decode = workflow.decode
        operation.child = str(derived_uuid(self.id, now_us=self.now_us, salt=f"{self.seed}\0{operation.id}"))
        if self._register(operation):
            self._commands.append(
                c.StartChild(operation.id, operation.child, key, workflow, text, operation.fingerprint, priority, tags)
            )
        return operation

    def send_signal(self, run: str, name: str, data: str) -> Operation:
        """Ask for a signal to be sent; the future resolves when it is on disk."""
        self.require_asking("send_signal")
        operation = self._operation(
            "signal", self._identities.take(SCOPE.get(), f"signal:{name}"), name, f"{run}\0{data}"
        )
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
            passed = self._replaying and (self._recall or (self._inbox and self._inbox[0].seq <= self._shown))
            answer = recorded or not passed
            self._patch_answers[patch] = answer
            if answer and not recorded:
                self._patches.add(patch)
                self._commands.append(c.TakePatch(patch))
        return answer

    def settle_node(self, node: str, data: str, error: str | None) -> None:
        """Note for those who look what became of a node of a graph; once."""
        self.require_asking(node)
        if node not in self._noted:
            self._noted.add(node)
            self._commands.append(c.SettleNode(node, data, error))

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
        operation.run = self  # type: ignore[assignment]  # the other half
        operation.id = identity
        operation.kind = kind
        operation.name = name
        operation.fingerprint = fingerprint(kind, name, arguments)
        operation.decode = load
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
        self.withdrawn[operation.id] = operation.undo
        if operation.kind == "step":
            if operation.undo is not None:
                self.doubtful[operation.id] = answer = self.loop.create_future()
                operation.saga.doubt(operation.id, answer)
            self._commands.append(c.CancelStep(operation.id, operation.undo is not None, operation.asked))
        elif operation.kind == "child" and operation.child:
            self._commands.append(c.CancelChild(operation.id, operation.child))


def _leaves_more(step: Any) -> bool:
    """Whether more may be left of the step than its attempts, should its engine end under it."""
    elsewhere = getattr(step, "runtime", "inline") not in _HERE
    return elsewhere or getattr(step, "effect", None) is not None or getattr(step, "pool", None) is not None
