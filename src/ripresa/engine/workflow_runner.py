"""`WorkflowRunner`: a context-first workflow to its end, from a plain script.

It owns nothing but a store and the definitions it has met: each call opens an `App` on the store, lets it run,
and reads the result from what the run left there.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from ripresa.author.steps.dry_run import plan_of
from ripresa.author.steps.fold import CheckpointState, Progress
from ripresa.author.steps.workflow import Workflow
from ripresa.contracts.errors import RipresaError, RunError, UnknownDefinition
from ripresa.contracts.payload import load
from ripresa.contracts.status import RunStatus
from ripresa.engine.app import App
from ripresa.engine.workflow_result import WorkflowResult, result_of

if TYPE_CHECKING:
    from ripresa.author.steps.context import WorkflowContext
    from ripresa.engine.config import Config
    from ripresa.engine.handles import Run
    from ripresa.ports.clock import Clock
    from ripresa.ports.store import Store

T = TypeVar("T")

_TRY_AGAIN = frozenset({RunStatus.FAILED, RunStatus.CANCELLED})


class WorkflowRunner:
    """Runs `Workflow`s, one call at a time.

    `store`: a URL, or a Store; left out, it is in memory and lasts as long as the runner.  `workflows`: those that
    `resume` may meet, beside those that were executed.  `clock`, `config`: as for `App`.
    """

    def __init__(
        self,
        store: str | Store | None = None,
        *,
        workflows: Iterable[Workflow] = (),
        clock: Clock | None = None,
        config: Config | dict[str, Any] | None = None,
    ) -> None:
        self._store: Any = memory_store() if store is None else store
        self._workflows: dict[str, Workflow] = {one.name: one for one in workflows}
        self._clock = clock
        self._config = config

    def execute(
        self,
        workflow: Workflow,
        params: Mapping[str, Any] | WorkflowContext | None = None,
        *,
        checkpoint: CheckpointState | None = None,
        dry_run: bool = False,
        run_id: str | None = None,
    ) -> WorkflowResult:
        """Run it to its end – or until a person is needed – and say how it ended; a failure is a result, not raised.

        `checkpoint`: go on from there, in a new run; `params` are then updates.  `dry_run`: say what would happen, and
        do nothing.  `run_id`: the same id again gives the same run.  Raises PayloadError for params that JSON cannot
        hold, RunConflict for an id that exists with another input, and what `App.open` raises.
        """
        self._workflows[workflow.name] = workflow
        text = workflow.encode((), _input(params, checkpoint))
        if dry_run:
            progress = Progress(workflow, load(text), run_id=run_id or "", trace_id="")
            return WorkflowResult(
                run_id=run_id or "",
                workflow_name=workflow.name,
                status="dry_run",
                context=progress.seen,
                plan=plan_of(workflow, progress),
            )

        async def main(app: App) -> WorkflowResult:
            run = await app.start_text(app.opened(), workflow, text, id=run_id)
            return await _to_the_end(app, run)

        return self._with_app(main)

    def resume(
        self, run_id: str, *, params_override: Mapping[str, Any] | None = None, new_run_id: str | None = None
    ) -> WorkflowResult:
        """Go on with a run that failed, was cancelled, paused or cut off: what it has recorded is not done again.

        With `params_override` it goes on as a new run from its checkpoint, since what a run was started with stays;
        `new_run_id` is that run's id: the same again gives the same run.  Raises RunNotFound; UnknownDefinition if the
        runner does not know its workflow; RunConflict for an id that exists with another input; TypeError for a
        `new_run_id` without `params_override`.
        """
        if new_run_id is not None and params_override is None:
            msg = f"resume({run_id!r}, new_run_id={new_run_id!r}): only with params_override is there a new run"
            raise TypeError(msg)

        async def main(app: App) -> WorkflowResult:
            run = await app.get(run_id)
            if params_override is not None:
                state = await self._checkpoint(app, run)
                workflow = self._workflow(run)
                text = workflow.encode((), _input(params_override, state))
                return await _to_the_end(app, await app.start_text(app.opened(), workflow, text, id=new_run_id))
            if run.status in _TRY_AGAIN:
                await app.retry(run)
            elif run.status in (RunStatus.PAUSED, RunStatus.BLOCKED):
                await app.resume(run)
            elif run.status is RunStatus.QUARANTINED:
                await app.release(run)
            return await _to_the_end(app, run)

        return self._with_app(main)

    def checkpoint(self, run_id: str) -> CheckpointState:
        """Where a run stands: the fold of its history.  Raises RunNotFound, UnknownDefinition."""

        async def main(app: App) -> CheckpointState:
            return await self._checkpoint(app, await app.get(run_id))

        return self._with_app(main)

    async def _checkpoint(self, app: App, run: Run[Any]) -> CheckpointState:
        state = (await workflow_result(app, run, self._workflow(run))).checkpoint
        assert state is not None  # noqa: S101 - only a dry run has none
        return state

    def _workflow(self, run: Run[Any]) -> Workflow:
        found = self._workflows.get(run.definition)
        if found is None:
            have = ", ".join(self._workflows) or "none"
            msg = (
                f"run {run.id!r} is of workflow {run.definition!r}, which this runner does not know (it has: {have}):"
                " give it WorkflowRunner(workflows=[…])"
            )
            raise UnknownDefinition(msg)
        return found

    def _with_app(self, main: Callable[[App], Coroutine[Any, Any, T]]) -> T:
        async def work() -> T:
            app = App(self._store, self._workflows.values(), clock=self._clock, config=self._config)
            async with app:
                return await main(app)

        return blocking(work())


async def workflow_result(app: App, run: Run[Any], workflow: Workflow) -> WorkflowResult:
    """How a run of a `Workflow` stands."""
    store = app.opened().store
    row = await app.opened().verbs.find(run.uuid)
    return result_of(workflow, row, await store.history(row.id), await store.attempts(row.id))


async def _to_the_end(app: App, run: Run[Any]) -> WorkflowResult:
    with contextlib.suppress(RunError):  # the result tells
        await run.result()
    workflow = app.find_workflow(run.definition, run.row.version)
    return await workflow_result(app, run, workflow)


def _input(params: Any, checkpoint: CheckpointState | None) -> dict[str, Any]:
    """Arguments for `Workflow.encode`."""
    if checkpoint is None:
        return {} if params is None else {"params": params}
    if params is not None:
        updates = params if isinstance(params, Mapping) else params.params
        checkpoint = checkpoint.with_params(updates)
    return {"checkpoint": checkpoint}


def blocking(work: Coroutine[Any, Any, T]) -> T:
    """Run it to its end on a loop of its own.  Raises RipresaError where a loop runs already."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    work.close()
    msg = "a runner blocks, and an event loop runs here: use `async with App(…) as app: await app.start(…)`"
    raise RipresaError(msg)


def memory_store() -> Any:
    """A store that lasts as long as somebody holds it."""
    from ripresa.stores.memory import MemoryDatabase, MemoryStore  # noqa: PLC0415 - only without a store

    return MemoryStore(MemoryDatabase())
