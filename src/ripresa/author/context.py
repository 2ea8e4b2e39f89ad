"""`context()`: what code may know of the run it belongs to."""

from __future__ import annotations

from ripresa.contracts.errors import NotInWorkflow
from ripresa.contracts.step_context import StepContext, step_context
from ripresa.kernel.live import current_run


def context() -> StepContext:
    """The run and step whose code is calling.

    In a step: `run_id`, `workflow`, `step`, `attempt` (from 1), `idempotency_key` (the same in every attempt),
    `correlation_id`.
    In workflow code the step's fields are empty and `attempt` is 0.  Raises NotInWorkflow elsewhere.
    """
    run = current_run()
    if run is not None:
        return StepContext(
            run_id=run.name,
            run_uuid=run.id,
            workflow=run.workflow.name,
            step="",
            operation="",
            attempt=0,
            idempotency_key=run.id,
            correlation_id=run.correlation_id,
        )
    found = step_context()
    if found is None:
        msg = "context() works only inside a step or a workflow that an App runs"
        raise NotInWorkflow(msg)
    return found
