"""The program of a graph: walk it; if it went wrong undo; walk `finally`; end.

    course ──┬─ all went well ────────────────────────> finally ──> output
             ├─ failed, cancelled, out of time ─> undo ─> finally ──> raise
             └─ a node is quarantined ──> Quarantine: the run is set aside until a person decides

It is an ordinary durable function: what it asks for, and what it is told, goes the way of all workflow code.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ripresa.author.graph.course import Course, State, failure_before, limit, timeout
from ripresa.contracts.durations import spelled
from ripresa.contracts.errors import Quarantine, StepFailed
from ripresa.contracts.status import StepStatus

if TYPE_CHECKING:
    from ripresa.author.graph.plan import Graph, Part
    from ripresa.kernel.live import LiveRun

_SHOWN_MAX = 5


async def follow(run: LiveRun, graph: Graph, values: dict[str, Any]) -> Any:
    """The graph's output.  Raises StepFailed of the first node that failed, Quarantine, CancelledError."""
    program = Program(run, State(run, graph, values))
    run.mail.queries["graph"] = program.states
    return await program.follow()


class Program:
    """One run of a graph."""

    def __init__(self, run: LiveRun, state: State) -> None:
        self._run = run
        self._state = state
        self._graph = state.graph

    def states(self) -> dict[str, dict[str, Any]]:
        """By node: its status, as far as it has one, and its failure."""
        known = self._state.steps
        return {
            name: {key: value for key, value in known.get(name, {"status": "pending"}).items() if key != "output"}
            for name in self._graph.by_name
        }

    async def follow(self) -> Any:
        """Walk the graph to its end."""
        error = await self._walk_main()
        if error is None and self._state.quarantined:
            error = Quarantine(self._set_aside())
            if not self._run.given_up:
                raise error
        output = None
        if error is None:
            error, output = self._outcome()
        if error is not None:
            error = await self._undo(error)
        late = await self._walk(self._graph.last, abortable=False)
        failures = self._state.failures
        for ending in (error, late, *failures[:1]):
            if ending is not None:
                raise ending
        return output

    # --- walking -------------------------------------------------------------------------------

    async def _walk_main(self) -> BaseException | None:
        if self._graph.timeout_us is None:
            return await self._walk(self._graph.main)
        course = Course(self._state, self._graph.main)
        timer, handle = limit(self._run, self._graph.timeout_us, "timeout")
        out_of_time: list[StepFailed] = []

        def expire(_: asyncio.Future[None]) -> None:
            if not course.over.done():
                out_of_time.append(self._out_of_time())
                course.stop("the run's time has run out")

        timer.add_done_callback(expire)
        error = await self._over(course)
        handle.cancel()
        return error or (out_of_time[0] if out_of_time else None)

    async def _walk(self, part: Part, *, abortable: bool = True) -> BaseException | None:
        if not part.nodes:
            return None
        return await self._over(Course(self._state, part, abortable=abortable), stoppable=abortable)

    async def _over(self, course: Course, *, stoppable: bool = True) -> BaseException | None:
        """Walk to the end; the cancellation that came meanwhile, if one did.  `finally` is not stopped by it."""
        course.start()
        cancelled: BaseException | None = None
        while not course.over.done():
            try:
                await asyncio.shield(course.over)
            except asyncio.CancelledError as error:
                cancelled = error
                if stoppable:
                    course.stop("the run was cancelled")
        return cancelled

    # --- when it went wrong --------------------------------------------------------------------

    async def _undo(self, error: BaseException) -> BaseException:
        """Undo what was done, last done first; the error that ends the run."""
        try:
            await self._run.saga.undo()
        except (asyncio.CancelledError, StepFailed) as second:
            if isinstance(error, asyncio.CancelledError) and isinstance(second, StepFailed):
                second.__context__ = error
                return second
        return error

    def _out_of_time(self) -> StepFailed:
        limit = spelled(self._graph.timeout_us or 0)
        return StepFailed(self._graph.name, timeout(f"the run took longer than {limit}"), 0)

    def _set_aside(self) -> str:
        told = [f"{name}: {failure.message}" for name, failure in self._state.quarantined.items()]
        more = f" and {len(told) - _SHOWN_MAX} more" if len(told) > _SHOWN_MAX else ""
        return "; ".join(told[:_SHOWN_MAX]) + more

    # --- the output ----------------------------------------------------------------------------

    def _outcome(self) -> tuple[BaseException | None, Any]:
        """The failure that ends the run, or its output."""
        if self._state.failures:
            return self._state.failures[0], None
        try:
            return None, self._output()
        except Exception as error:  # noqa: BLE001 - whatever its values raise fails the run
            return StepFailed("output", failure_before(error).cause, 0), None

    def _output(self) -> Any:
        if self._graph.output is not None:
            return self._graph.output(self._state.values)
        steps = self._state.steps
        leaves = self._graph.main.leaves
        done = {name: steps[name].get("output") for name in leaves if steps[name]["status"] == StepStatus.SUCCEEDED}
        return done.get(leaves[0]) if len(leaves) == 1 else done
