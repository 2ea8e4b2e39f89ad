"""Ending: the code's main coroutine, and how a run comes to its end.

What ends a run first stands.  An error is told only once what the code has done is undone; a person who gave up what
the code set aside has said how it ends then.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import greenlet

from ripresa.contracts.errors import Quarantine
from ripresa.contracts.failure import Failure
from ripresa.contracts.payload import dump
from ripresa.contracts.status import FailureClass, RunStatus
from ripresa.kernel import commands as c
from ripresa.kernel import history as h
from ripresa.kernel.asking import Asking
from ripresa.kernel.loop import Discarded
from ripresa.kernel.operations import ContinueRequested, Operation, continue_request, failure_of

if TYPE_CHECKING:
    from ripresa.kernel.mail import Mail


class Ending(Asking):
    """The part of a live run that begins its code and ends it."""

    __slots__ = ("_given_up", "_late", "_mail", "doomed", "finished", "workflow")

    def __init__(self, run_id: str, workflow: Any, input_text: str, seed: str | None, *, tracing: bool) -> None:
        super().__init__(run_id, input_text, seed, tracing=tracing)
        self.workflow = workflow
        self.finished: c.Finish | c.ContinueAsNew | None = None
        self.doomed: Failure | None = None
        """The run fails with this, whatever its code makes of it."""
        self._mail: Mail | None = None
        self._late: list[Any] = []
        """Mail and cancellations that came when the code had ended."""
        self._given_up: RunStatus | None = None
        """How the run ends if its code sets it aside: a person has seen to it already."""

    @property
    def given_up(self) -> bool:
        """Whether a person has said that what the code set aside is not to be done again."""
        return self._given_up is not None

    async def _run_main(self) -> None:
        try:
            output = await self._call_main()
        except (Discarded, GeneratorExit, greenlet.GreenletExit):
            raise
        except BaseException as error:
            if self.discarding:
                raise
            request = continue_request(error)
            if request is None:
                await self._undo_and_finish(error)
                return
            self.begin_anew(request)
        else:
            if self.cancel_requested:
                self.finish(RunStatus.CANCELLED, output, None)
            elif self.doomed:
                self.finish(RunStatus.FAILED, None, self.doomed)
            else:
                self.finish(RunStatus.SUCCEEDED, output, None)

    async def _call_main(self) -> str:
        value = self.workflow.call(self.input)
        if asyncio.iscoroutine(value):
            value = await value
        output: str = self.workflow.dump(value)
        return output

    async def _undo_and_finish(self, error: BaseException) -> None:
        if isinstance(error, Quarantine) and self._given_up is None:
            self.finish(RunStatus.QUARANTINED, None, Failure.of(error, FailureClass.QUARANTINE, code="quarantined"))
            return
        for operation in list(self.operations.values()):
            if isinstance(operation, Operation) and operation.undo is not None:
                operation.cancel()  # what is left of the code goes no further; what it began may have to be undone
        try:
            await self.saga.undo()
        except (Discarded, GeneratorExit, greenlet.GreenletExit):
            raise
        except BaseException as second:  # noqa: BLE001 - the run ends with the later error, chained to the first
            second.__context__ = error
            error = second
        cancelled = isinstance(error, asyncio.CancelledError) and self.cancel_requested
        if cancelled or (self._given_up is RunStatus.CANCELLED and isinstance(error, Quarantine)):
            self.finish(RunStatus.CANCELLED, None, None)
        else:
            self.finish(RunStatus.FAILED, None, failure_of(error))

    def finish(self, status: RunStatus, output: str | None, failure: Failure | None) -> None:
        """End the run; what comes first stands."""
        if self.finished is not None:
            return
        error = dump(failure.to_json()) if failure else None
        if self._mail is not None:
            self._mail.close()
        self.finished = c.Finish(status.value, output, error)
        self._commands.append(self.finished)

    def begin_anew(self, request: ContinueRequested) -> None:
        """End this generation of the run; what comes first stands.  A run that is asked to stop does not begin anew."""
        if self.cancel_requested:
            self.finish(RunStatus.CANCELLED, None, None)
        if self.finished is not None:
            return
        if self._mail is not None:
            self._mail.close()
        self.finished = c.ContinueAsNew(request.input)
        self._commands.append(self.finished)

    def left_over(self) -> list[Any]:
        """What the code was told and has not taken, in the order in which it came: the next generation's."""
        kept = [] if self._mail is None else self._mail.left_over()
        return sorted([*kept, *self._late], key=lambda event: event.seq)

    def start_main(self) -> None:
        """Begin."""
        self._main = self.loop.create_task(self._run_main(), name="main")

    def cancel(self) -> None:
        """Throw CancelledError into the code where it waits; once is enough."""
        if self.cancel_requested:
            return
        self.cancel_requested = True
        if self._main is not None:
            self._main.cancel()


def how_given_up(events: list[Any]) -> RunStatus | None:
    """What a person has said to a quarantine that the code itself asked for: cancel the run, or discard it."""
    end = None
    aside = False
    for event in events:
        if event.kind == h.QUARANTINED:
            aside = event.operation is None
        elif aside and event.kind == h.CANCEL_REQUESTED:
            end = RunStatus.CANCELLED
        elif aside and event.kind == h.RELEASED and event.name == "discard":
            end = RunStatus.FAILED
    return end
