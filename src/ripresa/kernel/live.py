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
from asyncio import _get_running_loop, _set_running_loop
from asyncio.tasks import _enter_task, _leave_task
from collections import deque
from typing import TYPE_CHECKING, Any

import greenlet

from ripresa.contracts.errors import ForbiddenInWorkflow
from ripresa.kernel import commands as c
from ripresa.kernel import guard
from ripresa.kernel import history as h
from ripresa.kernel.applying import apply, apply_late
from ripresa.kernel.ending import Ending, how_given_up
from ripresa.kernel.greenlets import IDLE, PARKED, Parked, Runners
from ripresa.kernel.loop import GONE, Discarded, RunLoop
from ripresa.kernel.mail import Mail

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_UNWINDS_MAX = 100


class LiveRun(Ending):
    """One run in memory; made anew from its history whenever it is woken."""

    __slots__ = (
        "_resumable",
        "_runners",
        "_soft",
        "_strict",
        "correlation_id",
        "name",
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
        super().__init__(run_id, workflow, input_text, seed, tracing=tracing)
        self.name = name or run_id
        self.correlation_id = correlation_id
        self._runners = runners if runners is not None else Runners()
        self._inbox: deque[Any] = deque()
        self._strict: Parked | None = None
        self._soft: list[Parked] = []
        self._resumable: deque[greenlet.greenlet] = deque()
        self._main: asyncio.Task[Any] | None = None

    @property
    def mail(self) -> Mail:
        """Its signals, updates and queries; made when there are any."""
        if self._mail is None:
            self._mail = Mail(self)
        return self._mail

    # --- driving ---------------------------------------------------------------------------

    def replay(self, history: Iterable[Any], *, shown: int | None = None) -> list[c.Command]:
        """Bring a new instance to where `history` ends; return what is still to be done.  Raises Diverged.

        Events after number `shown` are news to the code: it was never shown them in an earlier life.
        """
        events = list(history)
        if len(events) == 1:
            return self.activate(events)
        retries = [event.at for event in events if event.kind == h.RETRIED]
        self.retries, self.retried_us = len(retries), max(retries, default=0)
        events = self._recall.split(events)
        self._noted.update(event.operation for event in events if event.kind == h.NODE_SETTLED)
        self._patches.update(event.name for event in events if event.kind == h.PATCH_TAKEN)
        self._replaying = len(events) > 1
        self._given_up = how_given_up(events)
        self._shown = events[-1].seq if shown is None else shown
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
        if self._replaying or self.withdrawn:
            asked = [command for command in asked if self._still_wanted(command)]
            self._replaying = False
        return asked

    def _still_wanted(self, command: c.Command) -> bool:
        if isinstance(command, c.ScheduleStep | c.SetTimer | c.StartChild | c.SendSignal | c.Publish):
            return command.operation in self.operations
        if isinstance(command, c.CancelStep):
            return not command.tell or command.operation in self.doubtful
        if isinstance(command, c.FinishUpdate):
            return command.update not in self.mail.answered
        return True

    def _advance(self) -> None:
        ready, inbox = self.loop.ready, self._inbox
        while self.finished is None:
            if self._strict is None and not self._resumable and not self._conditions and not self._recall.ready:
                # Nearly always: the same as `_advance_once`, without the call.
                if ready:
                    self._enter(self._runners.take())
                elif inbox:
                    apply(self, inbox.popleft())
                else:
                    break
            elif not self._advance_once():
                break
        while self._inbox:
            event = self._inbox.popleft()
            if event.kind in h.MAIL:
                self._late.append(event)
            else:
                apply_late(self, event)

    def _advance_once(self) -> bool:
        """One thing: run what is ready, or apply the next event.  False: there is nothing to go on with."""
        if self._strict is not None:
            return self._advance_strict(self._strict)
        if self._resumable:
            self._enter(self._resumable.popleft())
        elif self.loop.ready:
            self._enter(self._runners.take())
        elif not (self._conditions and self._settle_conditions()):
            return self._learn()
        return True

    def _advance_strict(self, parked: Parked) -> bool:
        """A plain call waits: only its own outcome lets the code go on."""
        if not parked.future.done():
            return self._learn()
        self._strict = None
        self._enter(parked.greenlet)
        return True

    def _learn(self) -> bool:
        """Apply the next event: what a retried run remembers goes first.  False: there is none."""
        if self._recall.ready:
            apply(self, self._recall.ready.popleft())
        elif self._inbox:
            apply(self, self._inbox.popleft())
        else:
            return False
        return True

    def _enter(self, runner: greenlet.greenlet) -> None:
        if runner.switch(self) is IDLE:
            self._runners.idle.append(runner)

    def drain(self) -> None:
        """Run what is ready; called in a greenlet."""
        ready = self.loop.ready
        while ready and self.finished is None and not self._resumable:
            handle = ready.popleft()
            if not handle._cancelled:
                try:
                    handle._context.run(handle._callback, *handle._args)
                except greenlet.GreenletExit:
                    raise
                except BaseException as error:  # noqa: BLE001 - a task keeps its own; a callback's harms nobody else
                    self.task_error({"message": "a callback raised", "exception": error})

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
        task: Any = asyncio.current_task(self.loop)
        parked = Parked(here, future, task)
        if task is not None:
            _leave_task(self.loop, task)
            task.parked_on = future
        if soft:
            self._soft.append(parked)
            future.add_done_callback(lambda _: self._resume(parked))
        else:
            self._strict = parked
        try:
            parent.switch(PARKED)
        finally:
            if task is not None:
                task.parked_on = None
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
                true = self.looking(predicate)
            except Exception as error:  # noqa: BLE001 - the waiter gets it
                future.set_exception(error)
            else:
                if not true:
                    continue
                future.set_result(True)
            self._conditions.remove(entry)
            settled = True
        return settled

    def looking(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call user code that may look but not ask for anything."""
        self._read_only = True
        try:
            return function(*args)
        finally:
            self._read_only = False

    # --- discarding ------------------------------------------------------------------------

    def discard(self) -> None:
        """Unwind the code without letting it ask for anything; the run leaves memory."""
        self.discarding = True
        tasks = [task for ref in self._tasks if (task := ref()) is not None]
        self.loop.ready.clear()
        previous = _get_running_loop()
        _set_running_loop(self.loop)
        guard.enter()
        try:
            for parked in [*self._soft, *([self._strict] if self._strict else [])]:
                if parked.greenlet.throw(Discarded) is IDLE:
                    self._runners.idle.append(parked.greenlet)
            for task in tasks:
                _unwind(task)
        finally:
            guard.leave()
            _set_running_loop(previous)
        self.operations.clear()
        self._untie(tasks)

    def _untie(self, tasks: list[Any]) -> None:
        """Let go of what holds this run in a ring: freed one by one, runs cost a collector nothing."""
        for task in tasks:
            for future in (task, task._fut_waiter):
                if future is not None and not future.done():
                    asyncio.Future.cancel(future)  # drops its callbacks; an operation's own would tell the engine
            try:
                task.result()
            except BaseException as error:  # noqa: BLE001 - it has been dealt with
                error.__traceback__ = None  # its frames know the task
        self._main = self._mail = None
        self._conditions.clear()
        self._soft.clear()
        self._strict = None
        self.loop.host = GONE

    # --- from outside ------------------------------------------------------------------------

    def from_outside(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call user code of the run that may look but not ask for anything."""
        previous = _get_running_loop()
        _set_running_loop(self.loop)
        guard.enter()
        try:
            return self.looking(function, *args)
        finally:
            guard.leave()
            _set_running_loop(previous)


def current_run() -> LiveRun | None:
    """The run whose code is calling, or None outside of workflow code."""
    loop = _get_running_loop()
    return loop.host if type(loop) is RunLoop else None  # type: ignore[return-value]  # every host is a live run


def _unwind(task: Any) -> None:
    task._log_destroy_pending = False
    if task.done():
        return
    coro = task.get_coro()
    for _ in range(_UNWINDS_MAX):
        try:
            task.context.run(coro.throw, Discarded())
        except BaseException:  # noqa: BLE001 - whatever it raises, it has ended
            return
