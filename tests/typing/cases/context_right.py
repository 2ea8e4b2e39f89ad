"""Context-first code that type-checks as it stands."""

from __future__ import annotations

from typing import Any, assert_type

from ripresa import (
    App,
    CheckpointState,
    ErrorPolicy,
    GroupResult,
    GroupRunner,
    LambdaStep,
    Pipeline,
    PipelineGroup,
    PipelineResult,
    PipelineStep,
    PlanResolver,
    QualityMetrics,
    QualityThresholds,
    RetryPolicy,
    Run,
    Step,
    StepResult,
    Workflow,
    WorkflowContext,
    WorkflowResult,
    WorkflowRunner,
    child,
    map_,
    register_pipeline,
    workflow,
)


def fetch(context: WorkflowContext) -> StepResult:
    return StepResult.ok({"rows": 3}, quality=QualityMetrics(record_count=3), events=["fetched"])


async def load(context: WorkflowContext, config: dict[str, Any]) -> StepResult:
    return StepResult.fail("no table", "not_found")


def is_big(context: WorkflowContext) -> bool:
    return bool(context.get_output("fetch", "rows") > 3)


@register_pipeline("typed")
class Typed(Pipeline):
    def run(self) -> PipelineResult:
        return PipelineResult(metrics={"rows": self.params["rows"]})


flow = Workflow(
    name="flow",
    steps=[
        Step.lambda_("fetch", fetch, quality_thresholds=QualityThresholds(min_valid_rate=0.9, on_breach="warn")),
        Step.choice("route", is_big, then_step="load"),
        Step.pipeline("pipe", Typed, params={"rows": 3}),
        Step.wait("cool", "10m"),
        Step.map("each", [1, 2], fetch, max_parallel=2),
        LambdaStep(
            "load", load, config={"table": "t"}, retry=RetryPolicy(backoff="linear"), on_error=ErrorPolicy.RETRY
        ),
    ],
)
assert_type(Step.lambda_("fetch", fetch), LambdaStep)

runner = WorkflowRunner()
result = runner.execute(flow, {"tier": "T1"})
assert_type(result, WorkflowResult)
assert_type(result.context, WorkflowContext)
assert_type(result.checkpoint, CheckpointState | None)
assert_type(runner.resume(result.run_id, params_override={"tier": "T2"}), WorkflowResult)
assert_type(runner.checkpoint(result.run_id), CheckpointState)
assert_type(runner.execute(flow, WorkflowContext.new({"tier": "T1"}), dry_run=True), WorkflowResult)

group = PipelineGroup("group", [PipelineStep("a", "typed"), PipelineStep("b", Typed, depends_on=["a"])])
assert_type(GroupRunner().execute(group, {"rows": 1}), GroupResult)
assert_type(GroupRunner().execute(PlanResolver().resolve(group)), GroupResult)


@workflow
async def parent() -> str:
    context = await child(flow, {"tier": "T1"})
    assert_type(context, WorkflowContext)
    assert_type(await map_(flow, [{"tier": "T1"}]), list[WorkflowContext])
    return context.run_id


async def main() -> None:
    async with App("memory://", [flow, group, parent]) as app:
        assert_type(await app.start(flow, {"tier": "T1"}), Run[WorkflowContext])
        assert_type(await app.start(flow, WorkflowContext.new()), Run[WorkflowContext])
        assert_type(await (await app.start(flow, {})).result(), WorkflowContext)
        for row in await app.quality(flow, "fetch", limit=3):
            print(row.metrics)
