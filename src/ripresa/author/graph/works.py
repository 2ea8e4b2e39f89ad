"""Works: what a node does – call a step, choose, wait, receive a signal, run another workflow.

Each begins by asking the run for one operation and gives a future of its outcome.  An operation is known
by its node's name (`extract`, and `resize[3]` in a fan-out), so that neither the order of writing nor an
unrelated node changes who is who.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ripresa.author.code import until_us
from ripresa.contracts.payload import dump, load
from ripresa.contracts.status import StepStatus
from ripresa.kernel.loop import SCOPE

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from ripresa.author.graph.plan import Expression, Values
    from ripresa.kernel.live import LiveRun

    Arguments = Callable[[Values], tuple[tuple[Any, ...], dict[str, Any]]]


class Place(NamedTuple):
    """Where work is begun: the run, the node's name, the item's number (from 0) in a fan-out, and the values."""

    run: LiveRun
    name: str
    number: int | None
    values: Values

    @property
    def identity(self) -> str:
        """What the operation is called within its run, scope apart."""
        return self.name if self.number is None else f"{self.name}[{self.number}]"


class Result(NamedTuple):
    """What came of work that was done."""

    output: Any
    status: StepStatus = StepStatus.SUCCEEDED
    updates: dict[str, Any] | None = None
    """Changes to `params` for what comes after."""
    chosen: frozenset[str] = frozenset()
    reason: str | None = None


class Work(Protocol):
    """What a node does."""

    @property
    def kind(self) -> str:
        """The word of the contract: job, python, pipeline, choice, wait, signal, workflow."""

    @property
    def repeatable(self) -> bool:
        """Whether it may be done for each item of a list, and undo or be undone."""

    @property
    def recorded(self) -> bool:
        """Whether the journal shows its outcome by itself, as that of a step."""

    @property
    def targets(self) -> tuple[str, ...]:
        """The nodes that it may choose."""

    @property
    def branches(self) -> tuple[tuple[str, ...], ...]:
        """The nodes of each of its cases."""

    def begin(self, place: Place) -> asyncio.Future[Any]:
        """Ask for it.  Raises what its values raise when they are worked out."""

    def read(self, value: Any) -> Result:
        """What the future's value means."""


class _Plain:
    """What most works have."""

    repeatable: bool = False
    recorded: bool = False
    targets: tuple[str, ...] = ()
    branches: tuple[tuple[str, ...], ...] = ()

    def read(self, value: Any) -> Result:
        return Result(value)


class Call(_Plain):
    """A step, called with arguments that are worked out when the node starts.

    `step` has the members of `ripresa.author.step.Step`; `read` says what its output means (default: the output).
    """

    repeatable = True
    recorded = True

    def __init__(
        self,
        step: Any,
        arguments: Arguments,
        *,
        kind: str = "python",
        read: Callable[[Any], Result] | None = None,
        pool_key: Expression | None = None,
    ) -> None:
        self.step = step
        self.kind = kind
        self._arguments = arguments
        self._read = read
        self._pool_key = pool_key

    @classmethod
    def of(
        cls,
        name: str,
        step: Any,
        arguments: Arguments,
        *,
        kind: str = "python",
        read: Callable[[Any], Result] | None = None,
        quarantine: bool = False,
        pool_key: Expression | None = None,
    ) -> Call:
        """The node's own copy of the step: it has the node's name, and tells the graph when it is set aside.

        With `quarantine`, a failure for good sets it aside (`on_error: quarantine`).  `pool_key` says whose turn it is
        in its pool, once the node starts.
        """
        own = copy.copy(step)
        own.name = name
        own.tells_quarantine = True
        own.must_succeed = quarantine
        return cls(own, arguments, kind=kind, read=read, pool_key=pool_key)

    def read(self, value: Any) -> Result:
        return Result(value) if self._read is None else self._read(value)

    def begin(self, place: Place) -> asyncio.Future[Any]:
        args, kwargs = self._arguments(place.values)
        key = None if place.number is None else str(place.number)
        return place.run.schedule(self._keyed(place), args, kwargs, key=key)

    def undo(self, place: Place, identity: str) -> asyncio.Future[Any]:
        """Ask for it as the undoing `identity` of another operation."""
        args, kwargs = self._arguments(place.values)
        return place.run.schedule(self._keyed(place), args, kwargs, identity=identity)

    def _keyed(self, place: Place) -> Any:
        """The step, with the key that these values give."""
        if self._pool_key is None:
            return self.step
        keyed = copy.copy(self.step)
        keyed.pool_key = str(self._pool_key(place.values))
        return keyed


class Choose(_Plain):
    """A choice: the nodes of the first case that holds, else the others."""

    kind = "choice"

    def __init__(self, cases: tuple[tuple[Expression, tuple[str, ...]], ...], otherwise: tuple[str, ...] = ()) -> None:
        self._cases = cases
        self._otherwise = otherwise
        self.branches = (*(targets for _, targets in cases), otherwise)
        self.targets = tuple(dict.fromkeys(target for branch in self.branches for target in branch))

    def begin(self, place: Place) -> asyncio.Future[Any]:
        future = place.run.loop.create_future()
        future.set_result(self._chosen(place.values))
        return future

    def _chosen(self, values: Values) -> tuple[str, ...]:
        for number, (condition, targets) in enumerate(self._cases):
            if truth(condition(values), f"cases[{number}].if"):
                return targets
        return self._otherwise

    def read(self, value: tuple[str, ...]) -> Result:
        output = value[0] if len(value) == 1 else list(value)
        return Result(output or None, chosen=frozenset(value))


class Pause(_Plain):
    """A wait: for microseconds, or until a moment (a datetime with a time zone, or ISO 8601 text with an offset)."""

    kind = "wait"

    def __init__(self, *, for_us: Expression | None = None, until: Expression | None = None) -> None:
        self._for_us = for_us
        self._until = until

    def begin(self, place: Place) -> asyncio.Future[Any]:
        run = place.run
        if self._until is not None:
            delay = until_us(run, self._until(place.values))
        else:
            assert self._for_us is not None  # noqa: S101 - one of both is given
            delay = self._for_us(place.values)
        future, handle = run.timer(delay, place.name)
        future.add_done_callback(lambda ended: handle.cancel() if ended.cancelled() else None)
        return future


class Receive(_Plain):
    """A signal of the node's name; its value is the output."""

    kind = "signal"

    def begin(self, place: Place) -> asyncio.Future[Any]:
        return place.run.mail.wait_signal(place.name, load)


class NamedWorkflow:
    """A workflow that is known by its name; the engine finds it, and checks the input against it."""

    version = None
    """The engine takes the newest."""

    def __init__(self, name: str) -> None:
        self.name = name

    def encode(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """The parameters as JSON text.  Raises PayloadError."""
        return dump({**(args[0] if args else {}), **kwargs}, where=f"input of workflow {self.name}")

    def decode(self, text: str) -> Any:
        """The output."""
        return load(text)


class Start(_Plain):
    """Another workflow, run as a child; its output is the node's."""

    kind = "workflow"
    repeatable = True

    def __init__(self, workflow: Any, params: Expression, run_id: Expression | None = None) -> None:
        self.workflow = workflow
        self._params = params
        self._run_id = run_id

    def begin(self, place: Place) -> asyncio.Future[Any]:
        text = self.workflow.encode((self._params(place.values),), {})
        key = None if self._run_id is None else str(self._run_id(place.values))
        return place.run.start_child(self.workflow, text, key=key, label=place.identity)


def truth(value: Any, where: str) -> bool:
    """A condition's value.  Raises TypeError if it is neither true nor false: a text such as "no" would be true."""
    if value is None or isinstance(value, bool):
        return bool(value)
    if isinstance(value, str) and value.strip().lower() in _TRUTHS:
        return _TRUTHS[value.strip().lower()]
    raise TypeError(f"{where}: {value!r} is neither true nor false; compare it with something")


_TRUTHS = {"true": True, "false": False}


def scoped(name: str) -> str:
    """The identity of an operation of this name, asked for here."""
    return SCOPE.get() + name
