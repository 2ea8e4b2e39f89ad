"""The run whose code is calling, and handles of what it has started."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ripresa.contracts.errors import NotInWorkflow
from ripresa.kernel.live import LiveRun, current_run

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Generator

R = TypeVar("R")


def running(what: str) -> LiveRun:
    """The run whose code is calling.  Raises NotInWorkflow."""
    run = current_run()
    if run is None:
        msg = f"{what} works only inside a workflow: call it from a function with @workflow that an App runs"
        raise NotInWorkflow(msg)
    return run


class StepHandle(Generic[R]):
    """A step that was started: await it, or take its `result()` in a `def` workflow."""

    __slots__ = ("_future",)

    def __init__(self, future: asyncio.Future[Any]) -> None:
        self._future = future

    def __hash__(self) -> int:
        return hash(self._future)

    def __eq__(self, other: object) -> bool:
        return self is other

    def __await__(self) -> Generator[Any, None, R]:
        return self._future.__await__()

    def result(self) -> R:
        """Wait here for the output.  Raises StepFailed."""
        value: R = running("result()").block(self._future, soft=True)
        return value

    def done(self) -> bool:
        """Whether the outcome is known."""
        return self._future.done()

    def cancel(self) -> bool:
        """Stop the work; False if it has ended already."""
        return self._future.cancel()


class ChildHandle(StepHandle[R]):
    """A child run that was started; `id` is its run id."""

    __slots__ = ("id",)

    def __init__(self, future: asyncio.Future[Any], run_id: str) -> None:
        super().__init__(future)
        self.id = run_id
