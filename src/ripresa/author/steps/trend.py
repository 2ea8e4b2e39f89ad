"""The trend: the quality of a step against that of its last runs, and the event that says it fell.

The last runs' quality is the store's to tell, and a program reads no store: so the reading is a step of its
own, which the engine carries out, and what it read is in the journal – a replay judges the same numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ripresa.author.step import AsyncStep
from ripresa.contracts.errors import NotInWorkflow, StepFailed
from ripresa.contracts.payload import dump
from ripresa.contracts.quality import QualityMetrics
from ripresa.kernel.retry import Retry

if TYPE_CHECKING:
    from ripresa.author.steps.kinds import WorkStep
    from ripresa.kernel.live import LiveRun

DEGRADED = "quality_degraded"
"""Type of the event that says that a step's data has become worse."""


async def quality_trend(workflow: str, step: str, run: str, limit: int) -> list[dict[str, Any]]:
    """The quality of this step in the last runs before `run`, newest first.  Carried out by the engine."""
    msg = f"quality_trend({workflow!r}, {step!r}, {run!r}, {limit!r}) is a step that only an engine carries out"
    raise NotInWorkflow(msg)


READ_TREND: Any = AsyncStep(quality_trend, names=None, runtime="engine", retry=Retry(max_attempts=5))


async def publish_trend(run: LiveRun, workflow: str, step: WorkStep, operation: str, quality: QualityMetrics) -> None:
    """Publish `quality_degraded` if the step's data is worse than that of its last runs.

    Its numbers do not stop the run: if they cannot be read, nothing is said.
    """
    trend = step.quality_trend
    if trend is None:
        return
    try:
        read = await run.schedule(READ_TREND, (workflow, step.name, run.id, trend.runs), {}, scope=f"{operation}/")
    except StepFailed:
        return
    found = trend.judge(quality, [QualityMetrics.from_json(one) for one in read])
    if found:
        data = {
            "workflow": workflow,
            "run_id": run.name,
            "step": step.name,
            "degraded": [one.to_json() for one in found],
            "message": "; ".join(str(one) for one in found),
        }
        await run.publish(DEGRADED, dump(data))
