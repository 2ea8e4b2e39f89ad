"""Mail: the signals, updates and queries of a live run.

A signal goes to the first waiter of its name, else to the handler, else it is kept until one of them
comes.  An update goes to its handler, kept likewise.  A query only looks, and leaves no trace.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

from ripresa.contracts.errors import UnknownHandler
from ripresa.contracts.failure import Failure
from ripresa.contracts.payload import dump
from ripresa.contracts.status import RunStatus
from ripresa.kernel import commands as c
from ripresa.kernel.loop import Discarded
from ripresa.kernel.operations import continue_request, failure_of, resolve

if TYPE_CHECKING:
    from collections.abc import Callable

    from ripresa.kernel.live import LiveRun


class Mail:
    """One run's mail."""

    __slots__ = ("_handlers", "_kept", "_open", "_run", "_updates", "_updates_kept", "_waits", "answered", "queries")

    def __init__(self, run: LiveRun) -> None:
        self._run = run
        self._kept: dict[str, deque[Any]] = {}
        self._waits: dict[str, deque[tuple[asyncio.Future[Any], Callable[[str], Any]]]] = {}
        self._handlers: dict[str, tuple[Callable[..., Any], Callable[[str], tuple[Any, ...]]]] = {}
        self._updates: dict[str, Any] = {}
        self._updates_kept: dict[str, list[Any]] = {}
        self._open: dict[str, str] = {}
        """Updates whose handler is at work, with its name."""
        self.queries: dict[str, Callable[..., Any]] = {}
        self.answered: set[str] = set()
        """Updates whose answer the journal holds."""

    # --- signals -------------------------------------------------------------------------------

    def wait_signal(self, name: str, decode: Callable[[str], Any]) -> asyncio.Future[Any]:
        """A future that gets the next signal of this name; each signal goes to one waiter."""
        self._run.require_asking("wait_for_signal")
        future: asyncio.Future[Any] = self._run.loop.create_future()
        early = self._kept.get(name)
        if early:
            resolve(future, decode, early.popleft().data)
        else:
            self._waits.setdefault(name, deque()).append((future, decode))
        return future

    @property
    def awaited(self) -> list[str]:
        """Names of the signals that the code waits for now."""
        return [name for name, waits in self._waits.items() if any(not future.done() for future, _ in waits)]

    def on_signal(self, name: str, handler: Callable[..., Any], decode: Callable[[str], tuple[Any, ...]]) -> None:
        """Call `handler` with each signal of this name, those that came early first."""
        self._handlers[name] = (handler, decode)
        for event in self._kept.pop(name, ()):
            self._handle(name, event.data)

    def take_signal(self, event: Any) -> None:
        """A signal came."""
        waits = self._waits.get(event.name)
        while waits:
            future, decode = waits.popleft()
            if not future.done():
                resolve(future, decode, event.data)
                return
        if event.name in self._handlers:
            self._handle(event.name, event.data)
        else:
            self._kept.setdefault(event.name, deque()).append(event)

    def _handle(self, name: str, data: str) -> None:
        handler, decode = self._handlers[name]

        async def deliver() -> None:
            value = handler(*decode(data))
            if asyncio.iscoroutine(value):
                await value

        self._run.loop.create_task(_named(deliver(), f"on_signal:{name}")).add_done_callback(self._handled)

    def _handled(self, task: asyncio.Task[Any]) -> None:
        """A signal handler's error fails the run, as the same error in the main code would."""
        error = None if task.cancelled() else task.exception()
        if error is None or isinstance(error, Discarded):
            return
        request = continue_request(error)
        if request is None:
            self._run.finish(RunStatus.FAILED, None, failure_of(error))
        else:
            self._run.begin_anew(request)

    def validate_signal(self, name: str, data: str) -> None:
        """Raise PayloadError if the code waits for another shape of signal; unknown names are kept for later."""
        waiting = next((decode for future, decode in self._waits.get(name, ()) if not future.done()), None)
        if waiting is not None:
            waiting(data)
        elif name in self._handlers:
            self._handlers[name][1](data)

    # --- updates -------------------------------------------------------------------------------

    def on_update(self, name: str, handler: Any) -> None:
        """Answer updates of this name with `handler` (it has `call`, `dump` and `validate`)."""
        self._updates[name] = handler
        for event in self._updates_kept.pop(name, ()):
            self._answer(event)

    def take_update(self, event: Any) -> None:
        """An update came."""
        if event.name in self._updates:
            self._answer(event)
        else:
            self._updates_kept.setdefault(event.name, []).append(event)

    def _answer(self, event: Any) -> None:
        handler = self._updates[event.name]
        self._open[event.operation] = event.name

        async def answer() -> None:
            try:
                value = handler.call(event.data)
                if asyncio.iscoroutine(value):
                    value = await value
                output, error = handler.dump(value), None
            except Discarded:
                raise
            except BaseException as failed:  # noqa: BLE001 - the caller of the update gets it
                output, error = None, dump(failure_of(failed).to_json())
            self._open.pop(event.operation, None)
            if event.operation not in self.answered:  # a retried run answers nobody twice
                self._run.ask(c.FinishUpdate(event.operation, event.name, output, error))

        self._run.loop.create_task(_named(answer(), f"on_update:{event.name}"))

    def close(self) -> None:
        """The code ends: nobody will answer the updates that are under way."""
        for update, name in self._open.items():
            failure = Failure(type="ripresa.RunFinished", message="the run ended before it had answered")
            self._run.ask(c.FinishUpdate(update, name, None, dump(failure.to_json())))
        self._open.clear()

    def validate_update(self, name: str, data: str) -> None:
        """Raise what the update's validator raises; UnknownHandler if there is no such handler."""
        handler = self._updates.get(name)
        if handler is None:
            raise UnknownHandler("update", name, self._updates)
        self._run.from_outside(handler.validate, data)

    def left_over(self) -> list[Any]:
        """The signals and updates that nobody has taken."""
        return [event for kept in (*self._kept.values(), *self._updates_kept.values()) for event in kept]

    # --- queries -------------------------------------------------------------------------------

    def query(self, name: str, args: tuple[Any, ...]) -> Any:
        """What the query handler `name` says now.  Raises UnknownHandler, or what the handler raises."""
        handler = self.queries.get(name)
        if handler is None:
            raise UnknownHandler("query", name, self.queries)
        return self._run.from_outside(handler, *args)


def _named(coro: Any, name: str) -> Any:
    """The coroutine under a name of its own: its scope is part of the identity of what it asks for."""
    coro.__name__ = name
    return coro
