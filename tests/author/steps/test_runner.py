"""The runner: a workflow to its end from a plain script, and on from where it stopped."""

import asyncio

import pytest

from ripresa import (
    App,
    ErrorPolicy,
    QualityMetrics,
    QualityThresholds,
    RipresaError,
    RunNotFound,
    RunStatus,
    Step,
    StepResult,
    StepStatus,
    UnknownDefinition,
    Workflow,
    WorkflowContext,
    WorkflowRunner,
)
from ripresa.contracts.errors import RunConflict
from ripresa.testing import VirtualClock


def count(context):
    return StepResult.ok({"rows": context.get_param("n", 3)}, quality={"record_count": 3})


class Flow:
    """A workflow whose second step fails until it is mended."""

    def __init__(self):
        self.calls = []
        self.mended = False
        steps = [Step.lambda_("count", self.count), Step.lambda_("load", self.load), Step.lambda_("tell", self.tell)]
        self.workflow = Workflow("w", steps)

    def count(self, context):
        self.calls.append("count")
        return count(context)

    def load(self, context):
        self.calls.append("load")
        if not self.mended and not context.get_param("mended"):
            return StepResult.fail("the table is gone", "dependency", output={"partial": 1})
        return context.get_output("count")

    def tell(self, context):
        self.calls.append("tell")


def runner(**options):
    return WorkflowRunner(clock=VirtualClock(), **options)


def test_a_workflow_is_run_to_its_end():
    flow = Workflow(
        "w",
        [
            Step.lambda_("count", count, on_error="retry"),
            Step.choice("route", "steps.count.output.rows > 2", then_step="each"),
            Step.map("each", [1, 2], lambda context: context.item),
            Step.wait("cool", "5m"),
        ],
    )
    result = runner().execute(flow, {"n": 4}, run_id="r")
    assert result.success
    assert (result.run_id, result.workflow_name, result.status) == ("r", "w", RunStatus.SUCCEEDED)
    assert result.context.outputs == {"count": {"rows": 4}, "route": True, "each": [1, 2]}
    assert result.completed_steps == ("count", "route", "each", "cool")
    assert (result.error, result.error_step, result.duration_seconds) == (None, None, 300.0)
    assert [(one.step, one.index) for one in result.step_executions] == [
        ("count", None),
        ("route", None),
        ("each", None),
        ("each", 0),
        ("each", 1),
        ("cool", None),
    ]
    first = result.execution("count")
    assert (first.status, first.attempts, first.output) == (StepStatus.SUCCEEDED, 1, {"rows": 4})
    assert first.quality == QualityMetrics(record_count=3)
    assert result.execution("each").output == [1, 2]
    with pytest.raises(KeyError):
        result.execution("never")


def test_a_failure_is_a_result():
    flow = Flow()
    result = runner().execute(flow.workflow)
    assert not result.success
    assert (result.status, result.error, result.error_step) == (RunStatus.FAILED, "the table is gone", "load")
    assert result.completed_steps == ("count",)
    assert result.context.outputs == {"count": {"rows": 3}}
    failed = result.execution("load")
    assert (failed.status, failed.error_category, failed.output) == (StepStatus.FAILED, "dependency", {"partial": 1})


def test_a_run_goes_on_from_what_failed():
    flow = Flow()
    runs = runner()
    first = runs.execute(flow.workflow)
    flow.mended = True
    second = runs.resume(first.run_id)
    assert second.success
    assert second.run_id == first.run_id
    assert flow.calls == ["count", "load", "load", "tell"]
    assert runs.resume(first.run_id).completed_steps == ("count", "load", "tell")
    assert flow.calls == ["count", "load", "load", "tell"]


def test_a_run_goes_on_with_other_params_as_a_new_run():
    flow = Flow()
    runs = runner()
    first = runs.execute(flow.workflow, {"n": 5})
    second = runs.resume(first.run_id, params_override={"mended": True})
    assert second.success
    assert second.run_id != first.run_id
    assert second.context.params == {"n": 5, "mended": True}
    assert second.context.get_output("load") == {"rows": 5}
    assert flow.calls == ["count", "load", "load", "tell"]


def test_the_new_run_may_be_given_an_id_and_the_same_again_is_the_same_run():
    flow = Flow()
    runs = runner()
    first = runs.execute(flow.workflow, {"n": 5})
    for _ in range(2):
        assert runs.resume(first.run_id, params_override={"mended": True}, new_run_id="second").run_id == "second"
    assert flow.calls == ["count", "load", "load", "tell"]
    with pytest.raises(RunConflict):
        runs.resume(first.run_id, params_override={"mended": True, "n": 6}, new_run_id="second")
    with pytest.raises(TypeError, match="only with params_override"):
        runs.resume(first.run_id, new_run_id="third")


def test_a_checkpoint_goes_on_with_another_runner():
    flow = Flow()
    state = runner().execute(flow.workflow, {"n": 5}).checkpoint
    flow.mended = True
    result = runner().execute(flow.workflow, {"more": 1}, checkpoint=state)
    assert result.success
    assert result.context.params == {"n": 5, "more": 1}
    assert result.completed_steps == ("count", "load", "tell")
    assert flow.calls == ["count", "load", "load", "tell"]
    result = runner().execute(flow.workflow, WorkflowContext.new({"more": 2}), checkpoint=state)
    assert result.context.params == {"n": 5, "more": 2}


def test_a_run_in_a_file_goes_on_with_a_new_process(tmp_path):
    store = f"sqlite:///{tmp_path}/runs.db"
    flow = Flow()
    first = WorkflowRunner(store).execute(flow.workflow, run_id="r")
    assert first.status == RunStatus.FAILED
    again = WorkflowRunner(store, workflows=[flow.workflow])
    assert again.checkpoint("r").next_step == "load"
    flow.mended = True
    assert again.resume("r").success
    with pytest.raises(RunNotFound):
        again.resume("unknown")
    other = Workflow("other", [Step.lambda_("count", count)])
    with pytest.raises(UnknownDefinition, match=r"workflow 'w', which this runner does not know \(it has: other\)"):
        WorkflowRunner(store, workflows=[other]).checkpoint("r")


def test_a_run_that_was_set_aside_is_a_result_and_goes_on():
    valid = [0.5, 0.99]
    step = Step.lambda_(
        "load",
        lambda _: StepResult.ok(quality={"valid_rate": valid.pop(0)}),
        quality_thresholds=QualityThresholds(min_valid_rate=0.9, on_breach="quarantine"),
    )
    runs = runner()
    result = runs.execute(Workflow("w", [step]))
    assert (result.status, result.error_step) == (RunStatus.QUARANTINED, "load")
    assert "valid_rate is 0.5" in result.error
    assert runs.resume(result.run_id).success


def test_the_same_id_again_is_the_same_run():
    flow = Flow()
    flow.mended = True
    runs = runner()
    assert runs.execute(flow.workflow, run_id="r").context == runs.execute(flow.workflow, run_id="r").context
    assert flow.calls == ["count", "load", "tell"]


async def test_a_runner_does_not_block_a_loop():
    with pytest.raises(RipresaError, match="an event loop runs here"):
        runner().execute(Flow().workflow)


def test_a_loop_over_new_beginnings_is_told_in_full(monkeypatch):
    monkeypatch.setattr("ripresa.author.steps.program.ANEW_AFTER", 3)

    def again(context):
        n = context.get_param("n") + 1
        return StepResult.ok(n, context_updates={"n": n}, next_step="again" if n < 8 else None)

    result = runner().execute(Workflow("w", [Step.lambda_("again", again)]), {"n": 0})
    assert result.completed_steps == ("again",) * 8
    assert [one.output for one in result.step_executions] == [1, 2, 3, 4, 5, 6, 7, 8]


# --- dry runs ----------------------------------------------------------------------------------


def never(*_):
    raise AssertionError("a dry run calls nothing")


def test_a_dry_run_says_what_would_happen_and_does_nothing(tmp_path):
    flow = Workflow(
        "w",
        [
            Step.lambda_("count", never, on_error=ErrorPolicy.RETRY),
            Step.choice("known", "params.n > 3", then_step="each", else_step="skipped"),
            Step.lambda_("skipped", never),
            Step.map("each", "params.items", never, max_parallel=2),
            Step.choice("unknown", "steps.count.output.rows > 3", then_step="many"),
            Step.lambda_("few", never, next_step=Step.END),
            Step.lambda_("many", never),
            Step.choice("asked", never, then_step=Step.END, else_step="cool"),
            Step.wait("cool", "5m"),
        ],
    )
    result = WorkflowRunner(f"sqlite:///{tmp_path}/runs.db").execute(flow, {"n": 4, "items": [1, 2, 3]}, dry_run=True)
    assert result.status == "dry_run"
    assert not list(tmp_path.iterdir())
    assert [(one.name, one.certain, one.condition, one.items) for one in result.plan] == [
        ("count", True, None, None),
        ("known", True, True, None),
        ("each", True, None, 3),
        ("unknown", True, None, None),
        ("many", False, None, None),
        ("asked", False, None, None),
        ("cool", False, None, None),
        ("few", False, None, None),
    ]
    notes = {one.name: one.note for one in result.plan}
    assert notes["count"] == "calls never, up to 3 attempts"
    assert notes["known"] == "asks params.n > 3, which is true: each, else skipped"
    assert notes["unknown"] == "asks steps.count.output.rows > 3: many, else the next step"
    assert notes["each"] == "runs never for 3 items, 2 at a time"
    assert notes["cool"] == "waits 5m"


def test_a_dry_run_may_begin_at_a_checkpoint():
    flow = Flow()
    runs = runner()
    state = runs.execute(flow.workflow).checkpoint
    plan = runs.execute(flow.workflow, checkpoint=state, dry_run=True).plan
    assert [one.name for one in plan] == ["load", "tell"]


def test_a_dry_run_of_a_loop_ends():
    flow = Workflow("w", [Step.lambda_("a", never), Step.choice("b", never, then_step="a", else_step=Step.END)])
    assert [one.name for one in runner().execute(flow, dry_run=True).plan] == ["a", "b"]


def test_params_that_do_not_fit_are_refused_by_a_dry_run_too():
    with pytest.raises(TypeError, match="is no mapping"):
        runner().execute(Flow().workflow, ["n"], dry_run=True)


async def test_an_app_and_a_runner_tell_the_same(tmp_path):
    flow = Workflow("w", [Step.lambda_("count", count)])
    async with App(f"sqlite:///{tmp_path}/runs.db", [flow]) as app:
        context = await (await app.start(flow, {"n": 1}, id="r")).result("30s")
    result = await asyncio.to_thread(WorkflowRunner(f"sqlite:///{tmp_path}/runs.db", workflows=[flow]).resume, "r")
    assert result.context == context
