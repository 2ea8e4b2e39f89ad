"""Courses: walking a graph – start what may start, take what comes back, until nothing is left.

A node waits for a count of others.  When one ends, the counts of those after it go down; at zero the
rules decide, and the node starts or is skipped at once.  All in all each edge is looked at twice.

    ended ──> settle ──> counts of those after it ──> zero: decide ─┬─> begin ──> (an outcome) ended
                ^                                                   └─> skip ──┐
                └──────────────────────────────────────────────────────────────┘

Nothing recurses: what is to be decided waits in a queue.  A quarantined node holds those after it back
until a person has decided, but for those that want just that.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from ripresa.author.graph import merging
from ripresa.author.graph.fan_out import FanOut
from ripresa.author.graph.retrying import Retrying
from ripresa.author.graph.rules import Settled, decide
from ripresa.author.graph.works import Place, Result, scoped, truth
from ripresa.contracts.durations import spelled
from ripresa.contracts.errors import ChildFailed, StepFailed
from ripresa.contracts.failure import Failure
from ripresa.contracts.payload import dump
from ripresa.contracts.status import FailureClass, StepStatus
from ripresa.kernel.saga import UNDO

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from ripresa.author.graph.plan import Graph, Node, Part, Values
    from ripresa.kernel.live import LiveRun
    from ripresa.kernel.loop import Handle, Timer
    from ripresa.kernel.saga import Saga

_CODES = {"PayloadError": "input_invalid", "TemplateUndefined": "template_undefined"}


class State:
    """What is known of a run's nodes; one for all its courses."""

    def __init__(self, run: LiveRun, graph: Graph, values: dict[str, Any]) -> None:
        self.run = run
        self.graph = graph
        self.steps: dict[str, dict[str, Any]] = {}
        """What templates know as `steps`."""
        self.values: Values = {**values, "steps": self.steps}
        self.settled: dict[str, Settled] = {}
        self.changes: dict[str, merging.Changes] = {}
        """By node: the changes of `params` that those after it see."""
        self.failures: list[StepFailed] = []
        """Of nodes whose failure is the run's, in the order in which they failed."""
        self.quarantined: dict[str, Failure] = {}

    def seen_by(self, node: Node) -> merging.Changes:
        """The changes that a node sees.  Raises UpdateConflict."""
        if not self.changes:
            return merging.NONE
        return merging.merged(self.changes.get(one.node, merging.NONE) for one in node.depends_on)

    def values_for(self, changes: merging.Changes) -> Values:
        """The values for one that sees these changes."""
        if not changes:
            return self.values
        return {**self.values, "params": {**self.values["params"], **merging.values_of(changes)}}


class _Going(NamedTuple):
    future: asyncio.Future[Any]
    started: int
    seen: merging.Changes
    limit: Timer | Handle | None


class Course:
    """One walk over a part of a graph; `over` resolves when nothing of it can go on."""

    def __init__(self, state: State, part: Part, *, abortable: bool = True) -> None:
        self._state = state
        self._run = state.run
        self._part = part
        self._abortable = abortable
        self._waiting = {name: len(node.depends_on) for name, node in part.nodes.items()}
        self._ready: deque[str] = deque()
        self._going: dict[str, _Going] = {}
        self._deciding = False
        self._stopped: str | None = None
        self.over: asyncio.Future[None] = state.run.loop.create_future()

    def start(self) -> None:
        """Begin with the nodes that depend on nothing."""
        self._ready.extend(name for name, count in self._waiting.items() if not count)
        self._go_on()

    def stop(self, reason: str) -> None:
        """Start nothing more, and cancel what is under way."""
        if self._stopped is not None or self.over.done():
            return
        self._stopped = reason
        for name in list(self._going):
            going = self._let_go(name)
            going.future.cancel()
            self._settle(self._part.nodes[name], Settled(StepStatus.CANCELLED), reason=reason, started=going.started)
        for name in self._part.order:
            if name not in self._state.settled:
                self._skip(self._part.nodes[name], reason, blocked=True)
        self._ready.clear()
        self.over.set_result(None)

    # --- deciding ------------------------------------------------------------------------------

    def _go_on(self) -> None:
        if self._deciding:
            return
        self._deciding = True
        try:
            while self._ready and self._stopped is None:
                self._decide(self._part.nodes[self._ready.popleft()])
        finally:
            self._deciding = False
        if not self._going and not self.over.done():
            self.over.set_result(None)

    def _decide(self, node: Node) -> None:
        state = self._state
        skip = decide(node, state.settled)
        if skip is not None:
            self._skip(node, skip.reason, blocked=skip.blocked)
            return
        try:
            seen = state.seen_by(node)
            values = state.values_for(seen)
            if node.when is not None and not truth(node.when(values), "when"):
                self._skip(node, "its condition (`when`) does not hold", blocked=False)
                return
            future = self._begin(node, values)
        except Exception as error:  # noqa: BLE001 - whatever a node's values raise is that node's failure
            self._failed(node, None, failure_before(error))
            return
        self._going[node.name] = _Going(future, self._run.now_us, seen, self._limit(node))
        future.add_done_callback(partial(self._ended, node))

    def _begin(self, node: Node, values: Values) -> asyncio.Future[Any]:
        if node.for_each is not None:
            return FanOut.over(node, values, self._begin_one)
        return self._begin_one(node, None, values)

    def _begin_one(self, node: Node, index: int | None, values: Values) -> asyncio.Future[Any]:
        place = Place(self._run, node.name, index, values)
        future = node.work.begin(place) if node.retry is None else Retrying(node.work, place, node.retry)
        if node.compensate is not None:
            undo = _Undoing(self._state, node, place)
            saga = self._run.saga.current()
            if node.work.recorded:
                saga.watch(future, undo, "")
            else:
                future.add_done_callback(partial(undo.ended, saga))
        return future

    def _limit(self, node: Node) -> Timer | Handle | None:
        if node.timeout_us is None:
            return None
        future, handle = limit(self._run, node.timeout_us, f"{node.name}/timeout")
        future.add_done_callback(partial(self._timed_out, node))
        return handle

    # --- ending --------------------------------------------------------------------------------

    def _let_go(self, name: str) -> _Going:
        going = self._going.pop(name)
        if going.limit is not None:
            going.limit.cancel()
        return going

    def _ended(self, node: Node, future: asyncio.Future[Any]) -> None:
        if node.name not in self._going:
            return  # it was stopped, or its time had run out
        going = self._let_go(node.name)
        if future.cancelled():
            self._settle(node, Settled(StepStatus.CANCELLED), started=going.started)
            self._go_on()
            return
        error = future.exception()
        if error is not None:
            self._failed(node, going, error)
        else:
            self._succeeded(node, going, future.result())
        self._go_on()

    def _timed_out(self, node: Node, timer: asyncio.Future[None]) -> None:
        if timer.cancelled() or node.name not in self._going:
            return
        going = self._let_go(node.name)
        going.future.cancel()
        failure = timeout(f"it took longer than {spelled(node.timeout_us or 0)}")
        self._failed(node, going, StepFailed(node.name, failure, 0))
        self._go_on()

    def _succeeded(self, node: Node, going: _Going, value: Any) -> None:
        state = self._state
        try:
            result = value if node.for_each is not None else node.work.read(value)
            changes = merging.changed(going.seen, result.updates, node.name) if result.updates else going.seen
        except Exception as error:  # noqa: BLE001 - as where it began
            self._failed(node, going, failure_before(error))
            return
        if result.status is StepStatus.SKIPPED:
            self._skip(node, result.reason or "it skipped itself", blocked=False)
            return
        if changes:
            state.changes[node.name] = changes
        shown = node.work.recorded and node.for_each is None
        self._settle(
            node,
            Settled(StepStatus.SUCCEEDED, chosen=result.chosen),
            started=going.started,
            result=result,
            noted=not shown,
        )

    def _failed(self, node: Node, going: _Going | None, error: BaseException) -> None:
        """The node has failed, or is set aside."""
        failed = _as_failure(node, error)
        started = self._run.now_us if going is None else going.started
        shown = going is not None and node.work.recorded and node.for_each is None and failed.attempts > 0
        if failed.failure_class is FailureClass.QUARANTINE or node.on_error == "quarantine":
            self._state.quarantined[node.name] = failed.cause
            self._settle(node, Settled(StepStatus.QUARANTINED), started=started, failure=failed.cause, noted=not shown)
            return
        lenient = node.on_error == "continue" or self._state.graph.on_failure == "continue"
        if node.on_error != "continue":
            self._state.failures.append(failed)
        self._settle(
            node, Settled(StepStatus.FAILED, tolerated=lenient), started=started, failure=failed.cause, noted=not shown
        )
        if not lenient and self._abortable and self._state.graph.on_failure == "abort":
            self.stop(f"{node.name} failed")

    def _skip(self, node: Node, reason: str, *, blocked: bool) -> None:
        self._settle(node, Settled(StepStatus.SKIPPED, blocked=blocked), reason=reason)

    def _settle(
        self,
        node: Node,
        settled: Settled,
        *,
        started: int | None = None,
        result: Result | None = None,
        failure: Failure | None = None,
        reason: str | None = None,
        noted: bool = True,
    ) -> None:
        """Note what became of the node, and count down for those after it."""
        name = node.name
        self._state.settled[name] = settled
        entry: dict[str, Any] = {"status": settled.status.value}
        if result is not None:
            entry["output"] = result.output
        if failure is not None:
            entry["error"] = {"type": failure.type, "message": failure.message, "code": failure.code}
        self._state.steps[name] = entry
        if noted:
            told = {"status": entry["status"], "reason": reason, "started_at": started}
            if result is not None and node.for_each is None:
                told["output"] = result.output
            elif result is not None:
                told["items"] = len(result.output)  # their outputs are in the journal already
            self._run.settle_node(name, dump(told), dump(failure.to_json()) if failure else None)
        held = settled.status is StepStatus.QUARANTINED
        for after in self._part.downstream[name]:
            if held and not _wants_quarantined(self._part.nodes[after], name):
                continue
            self._waiting[after] -= 1
            if not self._waiting[after]:
                self._ready.append(after)


class _Undoing:
    """How a node is undone: by another node, whose values are worked out when it comes to that."""

    def __init__(self, state: State, node: Node, place: Place) -> None:
        self._state = state
        self._node = node
        self._place = place

    def undoing(self, _: str, output: str, operation: str) -> Callable[[], asyncio.Future[Any]]:
        """As `Step.undoing` has it."""
        work: Any = self._node.work
        skipped = work.read(work.step.decode(output)).status is StepStatus.SKIPPED
        return self._nothing if skipped else partial(self._ask, f"{UNDO}{operation}")

    def ended(self, saga: Saga, future: asyncio.Future[Any]) -> None:
        """Work that is no step, and that the saga does not watch, has ended."""
        if not future.cancelled() and future.exception() is None:
            saga.add(partial(self._ask, f"{UNDO}{scoped(self._place.identity)}"))

    def _ask(self, identity: str) -> asyncio.Future[Any]:
        name = self._node.compensate or ""
        work: Any = self._state.graph.by_name[name].work
        values = {**self._place.values, "steps": self._state.steps}
        try:
            future: asyncio.Future[Any] = work.undo(self._place._replace(name=name, values=values), identity)
        except Exception as error:  # noqa: BLE001 - what is below it on the pile is undone all the same
            future = self._state.run.loop.create_future()
            future.set_exception(StepFailed(name, failure_before(error).cause, 0))
        return future

    def _nothing(self) -> asyncio.Future[Any]:
        """What has skipped itself has done nothing."""
        future = self._state.run.loop.create_future()
        future.set_result(None)
        return future


def limit(run: LiveRun, timeout_us: int, name: str) -> tuple[asyncio.Future[None], Timer | Handle]:
    """A time limit, as `LiveRun.timer` gives it; a run that is tried again has its time again, from then on."""
    again = f"~{run.retries}" if run.retries else ""
    return run.timer(timeout_us + max(0, run.retried_us - run.now_us), f"{name}{again}")


def timeout(message: str) -> Failure:
    """The failure of what took too long."""
    return Failure(type="TimeoutError", message=message, failure_class=FailureClass.TERMINAL, code="timeout")


def failure_before(error: Exception) -> StepFailed:
    """The failure of a node that could not be begun, or whose outcome could not be read."""
    code = getattr(error, "code", None) or next(
        (_CODES[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in _CODES), "error"
    )
    return StepFailed("", Failure.of(error, FailureClass.TERMINAL, code=code), 0)


def _as_failure(node: Node, error: BaseException) -> StepFailed:
    if isinstance(error, StepFailed):
        return error if error.step else StepFailed(node.name, error.cause, error.attempts)
    if isinstance(error, ChildFailed):
        return StepFailed(node.name, error.cause, 0)
    return StepFailed(node.name, failure_before(error).cause if isinstance(error, Exception) else _odd(error), 0)


def _odd(error: BaseException) -> Failure:
    return Failure.of(error, FailureClass.TERMINAL)


def _wants_quarantined(node: Node, upstream: str) -> bool:
    return any(one.node == upstream and one.when == "quarantined" for one in node.depends_on)
