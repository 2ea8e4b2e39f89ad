"""Pipelines: work that is known by a name, in steps and in groups."""

import threading

import pytest

from ripresa import (
    App,
    GroupRunner,
    Pipeline,
    PipelineGroup,
    PipelineRegistry,
    PipelineResult,
    PipelineStatus,
    PipelineStep,
    PlanResolver,
    QualityThresholds,
    RetryPolicy,
    RunStatus,
    Step,
    StepStatus,
    Terminal,
    Workflow,
    WorkflowRunner,
    register_pipeline,
)
from ripresa.author.pipelines import registered_pipelines
from ripresa.contracts.errors import GraphError, PayloadError
from ripresa.testing import VirtualClock

REGISTRY = PipelineRegistry()


@REGISTRY.register("t.count")
class Count(Pipeline):
    def run(self):
        rows = self.params.get("rows", 10)
        return PipelineResult(metrics={"record_count": rows, "tier": self.params.get("tier")})


@REGISTRY.register("t.bad")
class Bad(Pipeline):
    def run(self):
        return PipelineResult(status=PipelineStatus.FAILED, error="no table", metrics={"seen": 1})


class Odd(Pipeline):
    def run(self):
        return {"rows": 3}


class Awaited(Pipeline):
    async def run(self):
        return PipelineResult()


class Missing(Pipeline):
    """It has no run."""


def run(step, params=None):
    return WorkflowRunner(clock=VirtualClock()).execute(Workflow("w", [step], pipelines=REGISTRY), params)


# --- pipelines and registries ------------------------------------------------------------------


def test_a_registry_knows_its_pipelines():
    assert "t.count" in REGISTRY
    assert list(REGISTRY) == ["t.count", "t.bad"]
    assert REGISTRY.get("t.count") is Count
    assert Count.name == "t.count"
    assert REGISTRY.dispatch("t.count", {"rows": 2}).metrics == {"record_count": 2, "tier": None}
    with pytest.raises(Terminal, match=r"no pipeline is registered as 't\.cuont'; did you mean 't\.count'\?"):
        REGISTRY.get("t.cuont")
    with pytest.raises(Terminal, match="there are: none"):
        PipelineRegistry().get("t")


def test_a_name_is_taken_once():
    registry = PipelineRegistry()
    registry.register("t")(Count)
    registry.register("t")(Count)
    with pytest.raises(ValueError, match=r"test_pipelines\.Count has this name already"):
        registry.register("t")(Bad)
    with pytest.raises(TypeError, match="is not a subclass of Pipeline"):
        registry.register("u")(dict)


def test_the_decorator_registers_for_all():
    @register_pipeline("tests.decorated")
    class Decorated(Count):
        pass

    assert registered_pipelines().get("tests.decorated") is Decorated
    result = WorkflowRunner().execute(Workflow("w", [Step.pipeline("a", "tests.decorated")]))
    assert result.context.get_output("a", "record_count") == 10


def test_params_cannot_be_changed():
    with pytest.raises(TypeError, match="cannot be changed"):
        Count({"rows": 1}).params["rows"] = 2


def test_metrics_must_be_json():
    with pytest.raises(PayloadError, match=r"PipelineResult\.metrics"):
        PipelineResult(metrics={"x": object()})
    with pytest.raises(ValueError, match="odd"):
        PipelineResult(status="odd")


# --- in workflows ------------------------------------------------------------------------------


@pytest.mark.parametrize("pipeline", ["t.count", Count])
def test_a_step_runs_a_pipeline_with_the_contexts_params_and_its_own(pipeline):
    result = run(Step.pipeline("a", pipeline, params={"tier": "T1"}), {"rows": 7, "tier": "T9"})
    assert result.context.get_output("a") == {"record_count": 7, "tier": "T1"}
    assert result.execution("a").quality.record_count == 7


def test_a_pipeline_that_failed_fails_its_step():
    result = run(Step.pipeline("a", "t.bad"))
    assert (result.status, result.error) == (RunStatus.FAILED, "no table")
    assert result.execution("a").output == {"seen": 1}
    assert run(Step.pipeline("a", "t.bad", on_error="continue")).context.get_output("a") == {"seen": 1}


@pytest.mark.parametrize(
    ("pipeline", "says"),
    [
        ("t.none", "no pipeline is registered"),
        (Odd, "not a PipelineResult"),
        (Awaited, "`async def`"),
        (Missing, "no run()"),
    ],
)
def test_a_pipeline_that_is_none_fails_its_step_once(pipeline, says):
    result = run(Step.pipeline("a", pipeline, retry=None))
    assert result.status == RunStatus.FAILED
    assert says in result.error
    assert result.execution("a").attempts == 1


def test_the_metrics_of_a_pipeline_are_judged():
    gate = QualityThresholds(min_record_count=8)
    assert run(Step.pipeline("a", Count, quality_thresholds=gate), {"rows": 8}).success
    assert "record_count is 7" in run(Step.pipeline("a", Count, quality_thresholds=gate), {"rows": 7}).error
    assert "is more than record_count" in run(Step.pipeline("a", Impossible)).error


class Impossible(Pipeline):
    def run(self):
        return PipelineResult(metrics={"record_count": 1, "valid_count": 2})


def test_a_pipeline_runs_for_each_item():
    flow = Workflow("w", [Step.map("all", ["T1", "T2"], Step.pipeline("count", Count))])
    result = WorkflowRunner().execute(flow, {"rows": 1})
    assert result.context.get_output("all") == [{"record_count": 1, "tier": None}] * 2


# --- groups ------------------------------------------------------------------------------------


def group(*steps, **options):
    return PipelineGroup("g", steps, pipelines=REGISTRY, **options)


DIAMOND = [
    PipelineStep("a", "t.count"),
    PipelineStep("b", "t.count", depends_on=["a"], params={"tier": "T1"}),
    PipelineStep("c", Count, depends_on=["a"]),
    PipelineStep("d", "t.count", depends_on=["b", "c"]),
]


def test_a_plan_has_batches_of_what_may_run_side_by_side():
    plan = PlanResolver().resolve(group(*DIAMOND, params={"tier": "T0", "rows": 1}), {"rows": 2})
    assert [[one.name for one in batch] for batch in plan.batches] == [["a"], ["b", "c"], ["d"]]
    assert plan.order == ("a", "b", "c", "d")
    assert plan.params == {"tier": "T0", "rows": 2}
    (b, _) = plan.batches[1]
    assert (b.pipeline, b.params, b.depends_on) == ("t.count", {"tier": "T1", "rows": 2}, ("a",))


@pytest.mark.parametrize("planned", [False, True])
def test_a_group_runs_in_the_order_of_its_dependencies(planned):
    flow = group(*DIAMOND, params={"tier": "T0"})
    runs = GroupRunner(clock=VirtualClock())
    plan = PlanResolver().resolve(flow, {"rows": 3})
    result = runs.execute(plan) if planned else runs.execute(flow, {"rows": 3})
    assert result.success
    assert (result.group_name, result.completed_steps) == ("g", ("a", "b", "c", "d"))
    assert result.results["b"] == PipelineResult(metrics={"record_count": 3, "tier": "T1"})
    assert result.results["d"].metrics["tier"] == "T0"
    assert (result.error, result.failed_steps, result.skipped_steps) == (None, (), ())
    finished = {one.step: one.finished_at for one in result.step_executions}
    assert finished["a"] <= min(finished["b"], finished["c"])


def test_what_depends_on_a_failed_pipeline_does_not_start():
    steps = [
        PipelineStep("a", "t.count"),
        PipelineStep("bad", "t.bad", depends_on=["a"], retry=RetryPolicy(max_attempts=2)),
        PipelineStep("after", "t.count", depends_on=["bad"]),
        PipelineStep("beside", "t.count", depends_on=["a"]),
    ]
    result = GroupRunner(clock=VirtualClock()).execute(group(*steps))
    assert (result.status, result.error, result.error_step) == (RunStatus.FAILED, "no table", "bad")
    assert result.completed_steps == ("a", "beside")
    assert (result.failed_steps, result.skipped_steps) == (("bad",), ("after",))
    assert result.results["bad"] == PipelineResult(status="failed", error="no table", metrics={"seen": 1})
    assert "after" not in result.results
    assert next(one for one in result.step_executions if one.step == "bad").attempts == 2


@pytest.mark.parametrize("how", [{"on_failure": "continue"}, {}])
def test_a_group_may_go_on(how):
    bad = PipelineStep("bad", "t.bad", **({} if how else {"on_error": "continue"}))
    result = GroupRunner().execute(group(bad, PipelineStep("after", "t.count", depends_on=["bad"]), **how))
    assert result.completed_steps == ("after",)
    assert result.failed_steps == ("bad",)


def test_a_dispatcher_runs_the_pipelines_elsewhere():
    asked = []

    class Elsewhere:
        def dispatch(self, pipeline, params):
            asked.append((pipeline, dict(params), threading.current_thread() is threading.main_thread()))
            return PipelineResult(metrics={"id": len(asked)})

    flow = PipelineGroup("g", [PipelineStep("a", "far.away"), PipelineStep("b", "far.off", depends_on=["a"])])
    result = GroupRunner(dispatcher=Elsewhere()).execute(flow, {"n": 1})
    assert result.success
    assert asked == [("far.away", {"n": 1}, False), ("far.off", {"n": 1}, False)]
    assert result.results["b"].metrics == {"id": 2}


def test_a_gate_holds_in_a_group_too():
    gate = QualityThresholds(min_record_count=99, on_breach="quarantine")
    result = GroupRunner().execute(group(PipelineStep("a", "t.count", quality_thresholds=gate)))
    assert result.status == RunStatus.QUARANTINED
    assert "record_count is 10" in result.error


async def test_a_group_may_be_given_to_an_app():
    flow = group(*DIAMOND)
    async with App("memory://", [flow]) as app:
        run = await app.start(flow, {"rows": 2})
        assert await run.result("30s") == {"record_count": 2, "tier": None}
        assert {row.step for row in await app.quality(flow)} == {"a", "b", "c", "d"}
        (kept,) = await app.store.definitions()
        assert kept.kind == "group"


@pytest.mark.parametrize(
    ("steps", "error", "says"),
    [
        ([PipelineStep("a", "x", depends_on=["b"]), PipelineStep("b", "x", depends_on=["a"])], GraphError, "a.*b"),
        ([PipelineStep("a", "x", depends_on=["bb"]), PipelineStep("b", "x")], GraphError, "bb"),
        ([PipelineStep("a", "x"), PipelineStep("a", "x")], GraphError, "two steps are called 'a'"),
        ([Step.lambda_("a", run)], TypeError, "is not a PipelineStep"),
    ],
)
def test_a_group_that_does_not_fit_is_refused(steps, error, says):
    with pytest.raises(error, match=says):
        PipelineGroup("g", steps)


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: PipelineStep("a", 3), TypeError, "neither a registered name nor a Pipeline class"),
        (lambda: PipelineStep("a", "x", depends_on="b"), TypeError, r"write depends_on=\['b'\]"),
        (lambda: PipelineStep("a b", "x"), ValueError, "is not a name"),
        (lambda: Workflow("w", [PipelineStep("a", "x", depends_on=["b"])]), ValueError, "is for a PipelineGroup"),
        (lambda: GroupRunner().execute(Count), TypeError, "neither a PipelineGroup nor its plan"),
        (lambda: GroupRunner().execute(PlanResolver().resolve(group(*DIAMOND)), {}), TypeError, "resolve it anew"),
    ],
)
def test_what_does_not_fit_is_refused(make, error, says):
    with pytest.raises(error, match=says):
        make()


def test_statuses_are_the_contracts():
    assert StepStatus.SKIPPED == "skipped"
    assert list(PipelineStatus) == ["completed", "failed"]
