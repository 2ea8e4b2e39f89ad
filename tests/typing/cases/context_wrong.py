"""Each marked line is a mistake in context-first code that a type checker finds."""

from __future__ import annotations

from ripresa import App, PipelineStep, RetryPolicy, Step, StepResult, Workflow, WorkflowContext, WorkflowRunner


def fetch(context: WorkflowContext) -> int:
    return 3


Workflow("w", [fetch])  # WRONG: no step
Step.lambda_("a", fetch, retry=3)  # WRONG: policy
Step.lambda_("a", fetch, retries=3)  # WRONG: option
Step.lambda_("a", "fetch")  # WRONG: handler
Step.wait("a", [1])  # WRONG: duration
Step.choice("a", 3, then_step="b")  # WRONG: condition
RetryPolicy(backoff="fast")  # WRONG: word
StepResult.ok(3, updates={})  # WRONG: option
PipelineStep("a", "b", depends="c")  # WRONG: option
WorkflowContext.new(["tier"])  # WRONG: params
WorkflowRunner().execute(fetch)  # WRONG: no workflow
text: str = WorkflowRunner().execute(Workflow("w", [Step.wait("a", "1s")]))  # WRONG: result


async def main(app: App, flow: Workflow, context: WorkflowContext) -> None:
    await app.start(flow, "tier")  # WRONG: params
    context.params = {}  # WRONG: frozen
    run = await app.start(flow, {})
    number: int = await run.result()  # WRONG: result
    print(number)
