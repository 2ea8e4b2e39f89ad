"""Sagas: what undoes a run's steps, in the reverse of the order in which they were done.

A step declared with `compensate=` is watched: when its outcome is applied, its undoing is put on the
saga's pile.  When the run (or the `async with saga()` block) fails or is cancelled, the pile is
worked off from the top, each undoing an ordinary durable step: a crash in the middle goes on where
it was.

    reserve ✓   charge ✓   ship ✗        pile: [reserve, charge]
                           └─ undo: charge, then reserve

The undoing of `charge` is the operation `undo:charge`, so that the journal tells what was undone.
A compensable step that is cut off while it runs may have been done all the same: its outcome may be on
its way to the journal.  The saga therefore waits for the journal's word (done, or cut off in time)
before it works the pile off.

An undoing that fails for good does not end the saga: the run is set aside (quarantine), since only
a person can say what the world now looks like.
"""

from __future__ import annotations

import asyncio
import contextvars
from typing import TYPE_CHECKING, Any

from ripresa.contracts.errors import StepFailed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

UNDO = "undo:"
"""What the identity of an undoing begins with; the identity of what it undoes follows."""

_CURRENT: contextvars.ContextVar[Saga | None] = contextvars.ContextVar("ripresa_saga", default=None)


class Saga:
    """A pile of undoings."""

    __slots__ = ("_doubtful", "_pile", "_token", "undoing")

    def __init__(self) -> None:
        self._pile: list[Callable[[], Awaitable[Any]]] = []
        self._doubtful: dict[str, asyncio.Future[None]] = {}
        """Steps that were cut off, by operation: the journal has yet to say whether they were done."""
        self._token: contextvars.Token[Saga | None] | None = None
        self.undoing = False

    def current(self) -> Saga:
        """The innermost block's saga that is open here, else this one."""
        return _CURRENT.get() or self

    def enter(self) -> None:
        """Watch the steps asked for from here on, in this task and those it starts."""
        self._token = _CURRENT.set(self)

    def leave(self) -> None:
        """Let the enclosing saga watch again."""
        if self._token is not None:
            _CURRENT.reset(self._token)
            self._token = None

    def watch(self, operation: Any, step: Any, text: str) -> None:
        """Put the step's undoing on the pile when `operation` completes."""
        operation.undo = lambda output: self._pile.append(step.undoing(text, output, operation.id))
        operation.saga = self

    def doubt(self, operation: str, answer: asyncio.Future[None]) -> None:
        """The step was cut off; `answer` resolves when the journal says what became of it."""
        self._doubtful[operation] = answer
        answer.add_done_callback(lambda _: self._doubtful.pop(operation, None))

    def add(self, undo: Callable[[], Awaitable[Any]]) -> None:
        """Put an undoing on the pile by hand."""
        self._pile.append(undo)

    async def undo(self) -> None:
        """Work the pile off, last done first; a cancellation meanwhile is raised when all is undone."""
        token = _CURRENT.set(None)
        self.undoing = True
        cancelled: asyncio.CancelledError | None = None
        failed: StepFailed | None = None
        try:
            while self._pile or self._doubtful:
                if self._doubtful:
                    undoing: asyncio.Future[Any] = next(iter(self._doubtful.values()))
                else:
                    undoing = asyncio.ensure_future(self._pile.pop()())
                while not undoing.done():
                    try:
                        await asyncio.shield(undoing)
                    except asyncio.CancelledError as error:
                        cancelled = error
                try:
                    undoing.result()
                except StepFailed as error:  # a person has given it up; what is below it on the pile is another matter
                    failed = failed or error
            if failed is not None:
                raise failed
            if cancelled is not None:
                raise cancelled
        finally:
            self.undoing = False
            _CURRENT.reset(token)
