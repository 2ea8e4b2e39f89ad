"""The fold: how the outcomes of steps add up to a context and a place.

The context of a run at any step is a fold over its history; a *checkpoint* is that fold's name, not
another table.  `Progress` is the one way in which an outcome changes anything: the durable program feeds it
what the kernel answers, `checkpoint_of` what a journal holds.  So a checkpoint is what the program itself
would know, had it learnt these events.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from ripresa.author.steps.context import WorkflowContext
from ripresa.author.steps.frozen import FrozenDict, FrozenList, frozen, thaw
from ripresa.author.steps.kinds import AnyStep, MapStep, WaitStep
from ripresa.author.steps.policy import ErrorPolicy
from ripresa.author.steps.result import StepResult
from ripresa.contracts.errors import Terminal
from ripresa.contracts.failure import Failure
from ripresa.contracts.payload import load
from ripresa.kernel import history as h
from ripresa.kernel.identity import fingerprint
from ripresa.kernel.recall import what_stands

if TYPE_CHECKING:
    from ripresa.author.steps.workflow import Workflow


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointState:
    """Where a run stands: made by folding its history, and enough to go on elsewhere.

    `next_step` is the step that comes next (None: the workflow has come to its end), `context` what it sees.
    `completed_steps` are those that are done, in order, as often as they were; `failed_steps` those of them that
    failed and were passed over.  `items` and `item_results` are those of the map that is under way, if one is.
    """

    workflow_name: str
    workflow_version: str
    run_id: str
    next_step: str | None
    context: WorkflowContext
    completed_steps: tuple[str, ...] = ()
    failed_steps: tuple[str, ...] = ()
    items: FrozenList[Any] | None = None
    item_results: FrozenDict[int, StepResult] = FrozenDict()  # noqa: RUF009 - cannot be changed

    def with_params(self, updates: Mapping[str, Any]) -> Self:
        """The same place with other parameters.  Raises PayloadError for a reserved name."""
        return replace(self, context=self.context.with_updates(updates))

    def to_json(self) -> dict[str, Any]:
        """As a JSON object without empty fields."""
        data: dict[str, Any] = {
            "workflow_name": self.workflow_name,
            "workflow_version": self.workflow_version,
            "run_id": self.run_id,
            "next_step": self.next_step,
            "context": self.context.to_json(),
            "completed_steps": list(self.completed_steps),
        }
        if self.failed_steps:
            data["failed_steps"] = list(self.failed_steps)
        if self.items is not None:
            data["items"] = self.items
            data["item_results"] = {str(index): one.to_json() for index, one in self.item_results.items()}
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        items = data.get("items")
        results = {int(index): StepResult.from_json(one) for index, one in data.get("item_results", {}).items()}
        return cls(
            workflow_name=data["workflow_name"],
            workflow_version=data["workflow_version"],
            run_id=data["run_id"],
            next_step=data["next_step"],
            context=WorkflowContext.from_json(data["context"]),
            completed_steps=tuple(data.get("completed_steps", ())),
            failed_steps=tuple(data.get("failed_steps", ())),
            items=None if items is None else frozen(thaw(items)),
            item_results=FrozenDict(results),
        )


class Progress:
    """Where a run stands while outcomes are added; `checkpoint` is a picture of it that stays."""

    def __init__(self, workflow: Workflow, given: Mapping[str, Any], *, run_id: str, trace_id: str) -> None:
        self._workflow = workflow
        self._run_id = run_id
        self.next_step: str | None = workflow.first
        self.completed: list[str] = []
        self.failed: list[str] = []
        self.items: FrozenList[Any] | None = None
        self.results: dict[int, StepResult] = {}
        checkpoint = given.get("checkpoint")
        if checkpoint is None:
            context = WorkflowContext.from_json(given)
        else:
            context = self._go_on_from(CheckpointState.from_json(checkpoint))
        # Without the run's own ids: a fork of the run, which has others, is to see its steps as done.
        self.context = replace(context, run_id="", workflow_name="")
        self._trace_id = trace_id

    def _go_on_from(self, state: CheckpointState) -> WorkflowContext:
        if state.workflow_name != self._workflow.name:
            msg = f"the checkpoint is one of workflow {state.workflow_name!r}, and this is {self._workflow.name!r}"
            raise Terminal(msg)
        if state.next_step is not None:
            self._workflow.require_target(state.next_step, f"workflow {self._workflow.name}: checkpoint")
        self.next_step = state.next_step
        self.completed = list(state.completed_steps)
        self.failed = list(state.failed_steps)
        self.items = state.items
        self.results = dict(state.item_results)
        return state.context

    def require_bound(self) -> None:
        """Raise Terminal if the run has taken as many steps as its workflow lets it."""
        if len(self.completed) >= self._workflow.max_steps:
            msg = (
                f"workflow {self._workflow.name}: step {self.next_step} would be step {len(self.completed) + 1}, and"
                f" max_steps is {self._workflow.max_steps}: is there a loop that does not end?"
            )
            raise Terminal(msg)

    # --- adding outcomes -----------------------------------------------------------------------

    def done(self, step: AnyStep, result: StepResult) -> None:
        """A step has its result: merge it, and go on to what follows.  A map: these are its items.

        Raises Terminal if the result names a step that is not there, PayloadError if it writes a reserved name.
        """
        if isinstance(step, MapStep) and result.success:
            self._listed(step, result)
            return
        context = self.context
        if not isinstance(step, WaitStep) and (result.success or result.output is not None):
            context = context.with_step_output(step.name, result.output)
        self._leave(step, context.with_updates(result.context_updates), result)

    def _listed(self, step: MapStep, result: StepResult) -> None:
        items = result.output
        if not isinstance(items, list):
            msg = f"step {step.name}: items: {items!r:.80} is no list"
            raise Terminal(msg)
        self.items = items if isinstance(items, FrozenList) else frozen(items)
        self.results = {}
        self.settle(step)

    def item_done(self, step: MapStep, index: int, result: StepResult) -> None:
        """One item of a map has its result; the last of them ends the map.

        Raises Terminal if two items write the same name: which came last would be chance.
        """
        self.results[index] = result
        self.settle(step)

    def settle(self, step: MapStep) -> None:
        """End the map if all its items are done."""
        if self.items is None or len(self.results) < len(self.items):
            return
        ordered = [self.results[index] for index in range(len(self.items))]
        context = self.context.with_step_output(step.name, [one.output for one in ordered])
        context = context.with_updates(_joined(step, ordered))
        failed = any(not one.success for one in ordered)
        self._leave(step, context, StepResult(success=not failed))
        self.items = None
        self.results = {}

    def _leave(self, step: AnyStep, context: WorkflowContext, result: StepResult) -> None:
        if result.next_step is not None:
            self._workflow.require_target(result.next_step, f"step {step.name}: next_step")
        self.next_step = self._workflow.after(step.name, result.next_step)
        self.context = context
        self.completed.append(step.name)
        if not result.success:
            self.failed.append(step.name)

    @property
    def seen(self) -> WorkflowContext:
        """The context as steps see it."""
        return self.context.of_run(self._run_id, self._trace_id, self._workflow.name)

    def item_context(self, index: int) -> WorkflowContext:
        """What the step of a map sees that works on this item."""
        assert self.items is not None  # noqa: S101 - a map is under way
        return self.context.with_item(self.items[index], index)

    def checkpoint(self) -> CheckpointState:
        """A picture of where the run stands."""
        return CheckpointState(
            workflow_name=self._workflow.name,
            workflow_version=self._workflow.version,
            run_id=self._run_id,
            next_step=self.next_step,
            context=self.seen,
            completed_steps=tuple(self.completed),
            failed_steps=tuple(self.failed),
            items=self.items,
            item_results=FrozenDict(self.results),
        )


def failed_result(failure: Failure) -> StepResult:
    """What a step that failed for good had to say; one that raised has said nothing but that."""
    if isinstance(failure.details, Mapping) and failure.details.get("success") is False:
        return StepResult.from_json(failure.details)
    return StepResult(success=False, error=str(failure), error_category=failure.code)


def _joined(step: MapStep, results: Sequence[StepResult]) -> dict[str, Any]:
    """The updates of all items.  Raises Terminal if two of them write the same name."""
    writers: dict[str, int] = {}
    joined: dict[str, Any] = {}
    for index, result in enumerate(results):
        for name, value in result.context_updates.items():
            if name in writers:
                msg = (
                    f"step {step.name}: items {writers[name]} and {index} both write {name!r}:"
                    " which came last would be chance; return it as output"
                )
                raise Terminal(msg)
            writers[name] = index
            joined[name] = value
    return joined


# --- the fold over a journal -------------------------------------------------------------------


def checkpoint_of(
    workflow: Workflow, events: Sequence[Any], input_text: str, *, run_id: str, trace_id: str
) -> CheckpointState:
    """Where a run stood after these events of its journal (those since it last began anew), in order.

    `events` have the fields of `ports.rows.HistoryEvent`.  Pure: the same events give the same checkpoint.
    """
    progress = Progress(workflow, load(input_text), run_id=run_id, trace_id=trace_id)
    told = {event.operation: event for event in what_stands(list(events)) if event.kind in h.OUTCOMES}
    visits: dict[str, int] = {}
    while progress.next_step is not None:
        step = workflow.step(progress.next_step)
        visits[step.name] = count = visits.get(step.name, 0) + 1
        operation = step.name if count == 1 else f"{step.name}#{count}"
        try:
            if not _advance(progress, workflow, step, operation, told):
                break
        except Terminal:
            break  # what ended the run there
    return progress.checkpoint()


def _advance(
    progress: Progress, workflow: Workflow, step: AnyStep, operation: str, told: Mapping[str | None, Any]
) -> bool:
    """Add what the journal says of this step; False: it does not say how it ended."""
    if progress.items is None:
        event = told.get(operation)
        result = _result(workflow.kernel_step, step, progress.context, event)
        if result is None or not (result.success or step.on_error is ErrorPolicy.CONTINUE):
            return False
        progress.done(step, result)
    if not isinstance(step, MapStep) or progress.items is None:
        return True
    for index in range(len(progress.items)):
        if index in progress.results:
            continue
        event = told.get(f"{operation}[{index}]/{step.inner.name}")
        result = _result(workflow.item_step, step, progress.item_context(index), event)
        if result is not None and (result.success or step.on_error is ErrorPolicy.CONTINUE):
            progress.item_done(step, index, result)
    return progress.items is None


def _result(kernel_step: Any, step: AnyStep, context: WorkflowContext, event: Any) -> StepResult | None:
    """What the event says of the step; None: nothing, or it is of another context than this one."""
    if event is None:
        return None
    if event.kind == h.TIMER_FIRED:
        return StepResult.ok()
    if event.fingerprint is not None and event.name is not None:
        text = kernel_step(step).encode((context,), {})[0]
        if fingerprint("step", event.name, text) != event.fingerprint:
            return None
    if event.error is not None:
        return failed_result(Failure.from_json(load(event.error)))
    return StepResult.from_json(load(event.data or "null"))
