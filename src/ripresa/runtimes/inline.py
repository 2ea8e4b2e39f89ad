"""The inline runtime: an async step runs on the engine's own loop, inside the awaiting task.

There is nothing to stop or close: whoever cancels the task cancels the step.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ripresa.contracts.step_context import STEP_CONTEXT
from ripresa.runtimes import StepExited

if TYPE_CHECKING:
    from ripresa.ports.runtime import Work


class InlineRuntime:
    """Awaits async functions in place: no hand-over, no isolation."""

    attempts_max = None

    async def run(self, work: Work) -> str:
        """Await the function; a cancellation from outside passes on, one of the step's own making does not."""
        token = STEP_CONTEXT.set(work.context)
        try:
            return work.dump(await work.function(*work.args, **work.kwargs))
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise StepExited(error) from error
        except SystemExit as error:
            raise StepExited(error) from error
        finally:
            STEP_CONTEXT.reset(token)

    async def close(self) -> None:
        """Nothing is held."""
