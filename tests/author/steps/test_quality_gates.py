"""Gates: a step's data keeps its limits, or something follows; and what was measured is kept."""

import json

import pytest

from ripresa import (
    App,
    QualityMetrics,
    QualityThresholds,
    QualityTrend,
    RunFailed,
    RunQuarantined,
    RunStatus,
    Step,
    StepResult,
    Workflow,
)
from ripresa.kernel import history as h
from tests.author.steps.test_workflow import failed, finish

LIMITS = {"min_valid_rate": 0.9, "min_record_count": 10}


def gate(on_breach):
    return QualityThresholds(on_breach=on_breach, **LIMITS)


def measure(context):
    return StepResult.ok({"rows": 100}, quality={"record_count": 100, "valid_count": context.get_param("valid")})


def measuring(on_breach, **options):
    return Step.lambda_("load", measure, quality_thresholds=gate(on_breach), **options)


async def kept(app, step="load"):
    return [(row.status, json.loads(row.metrics)) for row in await app.quality("w", step)]


async def test_data_that_keeps_its_limits_passes(every_world):
    app, _, context = await finish(every_world, measuring("fail"), params={"valid": 95})
    assert context.get_output("load") == {"rows": 100}
    assert await kept(app) == [("succeeded", {"record_count": 100, "valid_count": 95, "valid_rate": 0.95})]


async def test_a_breach_fails_the_step_for_good(every_world):
    app, run, error = await failed(every_world, measuring("fail", on_error="retry"), params={"valid": 50})
    assert "valid_rate is 0.5, and min_valid_rate is 0.9" in str(error.cause)
    assert error.cause.code == "quality"
    event = (await app.history(run))[1]
    assert event.attempt == 1
    assert json.loads(event.error)["details"]["output"] == {"rows": 100}
    assert await kept(app) == [("failed", {"record_count": 100, "valid_count": 50, "valid_rate": 0.5})]


async def test_a_breach_may_be_passed_over(memory):
    _, _, context = await finish(memory, measuring("fail", on_error="continue"), params={"valid": 50})
    assert context.get_output("load") == {"rows": 100}


async def test_a_breach_may_only_warn(every_world):
    app, _, context = await finish(every_world, measuring("warn"), params={"valid": 50})
    assert context.get_output("load") == {"rows": 100}
    (event,) = await app.store.outgoing(limit=9)
    assert event.type == "quality_breached"
    told = json.loads(event.data)
    assert told["step"] == "load"
    assert told["breaches"] == [{"limit": "min_valid_rate", "metric": "valid_rate", "bound": 0.9, "value": 0.5}]
    assert (await kept(app))[0][0] == "succeeded"


async def test_a_breach_may_set_the_run_aside(every_world):
    flow = Workflow("w", [measuring("quarantine"), Step.lambda_("after", lambda context: context.get_output("load"))])
    app = await every_world.open(flow)
    run = await app.start(flow, {"valid": 50})
    with pytest.raises(RunQuarantined, match=r"valid_rate is 0\.5"):
        await run.result("30s")
    assert (await kept(app))[0][0] == "quarantined"
    await app.release(run, output={"rows": 7})
    context = await run.result("30s")
    assert context.get_output("after") == {"rows": 7}


async def test_a_person_may_say_what_a_step_set_aside_did_in_full(memory):
    flow = Workflow("w", [measuring("quarantine")])
    app = await memory.open(flow)
    run = await app.start(flow, {"valid": 50})
    with pytest.raises(RunQuarantined):
        await run.result("30s")
    await app.release(run, output={"success": True, "output": 1, "context_updates": {"by": "hand"}})
    context = await run.result("30s")
    assert (context.get_output("load"), context.params) == (1, {"valid": 50, "by": "hand"})


async def test_a_person_may_discard_it(memory):
    flow = Workflow("w", [measuring("quarantine")])
    app = await memory.open(flow)
    run = await app.start(flow, {"valid": 50})
    with pytest.raises(RunQuarantined):
        await run.result("30s")
    await app.release(run, discard=True)
    with pytest.raises(RunFailed):
        await run.result("30s")


async def test_a_gate_does_not_pass_what_was_not_measured(memory):
    step = Step.lambda_("load", lambda _: 1, quality_thresholds=gate("fail"))
    _, _, error = await failed(memory, step)
    assert "valid_rate was not measured" in str(error.cause)


async def test_a_step_may_fail_its_data_itself(memory):
    step = Step.lambda_(
        "load",
        lambda _: StepResult.ok(quality=QualityMetrics(passed=False)),
        quality_thresholds=QualityThresholds(on_breach="fail"),
    )
    _, _, error = await failed(memory, step)
    assert "the step itself says" in str(error.cause)


async def test_quality_is_listed_newest_first(every_world):
    flow = Workflow(
        "w", [measuring("warn"), Step.lambda_("other", lambda _: StepResult.ok(quality={"null_rate": 0.5}))]
    )
    app = await every_world.open(flow)
    for valid in (91, 92, 93):
        await (await app.start(flow, {"valid": valid})).result("30s")
    assert [metrics["valid_count"] for _, metrics in await kept(app)] == [93, 92, 91]
    assert len(await app.quality(flow)) == 6
    assert len(await app.quality(flow, limit=4)) == 4
    assert await app.quality("unknown") == []
    with pytest.raises(ValueError, match="limit: 0"):
        await app.quality(flow, limit=0)


async def test_every_item_of_a_map_is_measured(memory):
    each = Step.lambda_("each", lambda context: StepResult.ok(quality={"record_count": context.item}))
    step = Step.map("all", [90, 91], each)
    app, _, _ = await finish(memory, step)
    found = {row.operation: json.loads(row.metrics) for row in await app.quality("w", "each")}
    assert found == {"all[0]/each": {"record_count": 90}, "all[1]/each": {"record_count": 91}}


# --- trend -------------------------------------------------------------------------------------


async def degraded(app):
    return [json.loads(one.data) for one in await app.store.outgoing(limit=99) if one.type == "quality_degraded"]


async def test_data_that_has_become_worse_is_told(every_world):
    flow = Workflow("w", [Step.lambda_("load", measure)])
    app = await every_world.open(flow)
    for valid in (97, 98, 99, 98, 97):
        await (await app.start(flow, {"valid": valid})).result("30s")
    assert await degraded(app) == []
    run = await app.start(flow, {"valid": 60}, id="bad")
    await run.result("30s")
    assert run.status == RunStatus.SUCCEEDED
    (told,) = await degraded(app)
    assert told["run_id"] == "bad"
    assert told["step"] == "load"
    (fall,) = told["degraded"]
    assert (fall["metric"], fall["value"], fall["median"], fall["runs"]) == ("valid_rate", 0.6, 0.98, 5)


async def test_what_was_compared_with_is_in_the_journal(every_world):
    flow = Workflow("w", [Step.lambda_("load", measure), Step.wait("cool", "1h")])
    app = await every_world.open(flow)
    for valid in (97, 98, 99, 98, 97):
        await (await app.start(flow, {"valid": valid})).result("30s")
    run = await app.start(flow, {"valid": 60}, id="bad")
    app = await every_world.crash(app)
    run = await app.get("bad")
    await run.result("30s")
    assert len(await degraded(app)) == 1
    (read,) = [event for event in await app.history(run) if event.operation == "load/quality_trend"]
    assert [one["valid_count"] for one in json.loads(read.data)] == [97, 98, 99, 98, 97]


async def test_runs_that_failed_the_gate_are_not_compared_with(memory):
    flow = Workflow("w", [measuring("fail", quality_trend=QualityTrend(min_runs=1))])
    app = await memory.open(flow)
    for valid in (99, 10, 10, 10):
        run = await app.start(flow, {"valid": valid})
        if valid < 90:
            with pytest.raises(RunFailed):
                await run.result("30s")
        else:
            await run.result("30s")
    await (await app.start(flow, {"valid": 92})).result("30s")
    (told,) = await degraded(app)
    assert told["degraded"][0]["median"] == 0.99


async def test_a_trend_may_be_switched_off(memory):
    flow = Workflow("w", [Step.lambda_("load", measure, quality_trend=None)])
    app = await memory.open(flow)
    run = await app.start(flow, {"valid": 60})
    await run.result("30s")
    assert [event.kind for event in await app.history(run)] == [h.RUN_STARTED, h.STEP_COMPLETED, h.FINISHED]


async def test_a_trend_that_cannot_be_read_does_not_stop_the_run(memory, monkeypatch):
    async def broken(*_, **__):
        raise OSError("the disk is gone")

    monkeypatch.setattr(type(App(memory.store())._make_store()), "quality", broken)
    app, run, context = await finish(memory, Step.lambda_("load", measure), params={"valid": 99})
    assert context.get_output("load") == {"rows": 100}
    assert h.STEP_FAILED in [event.kind for event in await app.history(run)]
