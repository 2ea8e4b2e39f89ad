"""The runtime port: where one attempt of a step runs.

A runtime gets a `Work` and gives back the output as JSON text.  It owns stopping the work: when
the awaiting task is cancelled, the runtime ends the work (cancels, abandons or kills it) before
the cancellation passes on.  It never retries and never touches the store.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from ripresa.contracts.step_context import StepContext


class Keep(Protocol):
    """Keeps a line of output, from any thread; `at` is when it was written, in microseconds, if that is not now."""

    def __call__(self, stream: str, level: str | None, text: str, at: int | None = None, /) -> None: ...


@dataclass(slots=True)
class Work:
    """One attempt.

    `function` is the user's function; `target` its import path `module:qualname` (a script's own
    functions are `path/to/file.py:qualname`).  `args` are ready to pass; `input` is the same as JSON
    text `[[positional…], {keyword…}]`.  `dump` turns what the function returned into checked JSON text,
    raising `PayloadError`.  `context` is what `ripresa.context()` gives inside the step, or makes it when asked.
    `log` keeps a line of output.
    """

    function: Callable[..., Any]
    target: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    input: str
    dump: Callable[[Any], str]
    context: StepContext | Callable[[], StepContext]
    log: Keep
    options: dict[str, Any] = field(default_factory=dict)
    resumed: bool = False
    """An engine before this one has started the attempt; only for runtimes that adopt."""
    told: dict[str, list[str]] = field(default_factory=dict)
    """The lines of each stream that that engine has kept."""
    leave: bool = False
    """Set before a cancellation: the work goes on without this engine, and the next one adopts it."""


class Runtime(Protocol):
    """Runs work somewhere."""

    @property
    def attempts_max(self) -> int | None:
        """How much work it carries out at once; None: all that it is given.

        An engine gives it no more: an attempt that would wait in here is not begun, nor recorded as running.
        """

    async def run(self, work: Work) -> str:
        """Run to the end and return the output as JSON text; what the function raises passes through.

        Raises `ripresa.runtimes.WorkerLost` if the place where it ran died under it.
        """

    async def close(self) -> None:
        """Stop all work and let go of threads and processes; closing twice is fine."""


class Adopting(Runtime, Protocol):
    """A runtime whose work outlives the engine, which goes on with it under the same number after a crash.

    `adopts` is True.  `run` of a `resumed` work raises `WorkerLost` if the work is not there any more.
    """

    adopts: bool

    def forget(self, context: StepContext) -> None:
        """The attempt's outcome is on disk, or nobody wants it: end and clear away what is kept of it, soon."""

    async def left(self) -> list[StepContext]:
        """The attempts of which something is still there, of any engine that uses the same place."""
