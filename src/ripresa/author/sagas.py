"""`async with saga() as s`: a block whose steps are undone together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from ripresa.author.code import running
from ripresa.author.step import as_undo
from ripresa.kernel.loop import Discarded
from ripresa.kernel.operations import continue_request
from ripresa.kernel.saga import Saga

if TYPE_CHECKING:
    from collections.abc import Callable


class SagaBlock:
    """An open block; made by `saga()`."""

    def __init__(self) -> None:
        running("saga")
        self._saga = Saga()

    async def __aenter__(self) -> Self:
        self._saga.enter()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        self._saga.leave()
        if error is None or isinstance(error, Discarded | GeneratorExit) or continue_request(error):
            return
        await self._saga.undo()

    def add(self, undo: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Undo by `undo(*args)` – a step, or a function made one – if the block fails."""
        step = as_undo(undo)
        step.encode(args, kwargs)  # a call that does not fit is an error here, not when it is too late
        self._saga.add(lambda: running(step.name).schedule(step, args, kwargs))


def saga() -> SagaBlock:
    """Undo the steps of this block (those with `compensate=`, and what `add` names) if it fails or is cancelled."""
    return SagaBlock()
