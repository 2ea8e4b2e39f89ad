"""Context-first workflows under faults: every kind of fault at every effect point, and what holds all the same."""

import pytest

from ripresa import ErrorPolicy, QualityTrend, Step, StepResult, Workflow
from ripresa.testing import Scenario, Simulation, enumerate_faults
from ripresa.testing.faults import ENUMERATED as KINDS


async def count(context):
    n = context.get_param("n") + 1
    return StepResult.ok(n, context_updates={"n": n}, quality={"record_count": n}, events=["counted"])


async def square(context):
    return context.item**2


async def partial(context):
    return StepResult.fail("half of it", "validation", output=context.get_output("squares"))


FLOW = Workflow(
    "shapes",
    [
        Step.lambda_("count", count, quality_trend=QualityTrend(runs=2, min_runs=1)),
        Step.choice("enough", "params.n >= 2", then_step="squares", else_step="count"),
        Step.map("squares", "[1, 2, 3]", square, max_parallel=2),
        Step.wait("cool", "1s"),
        Step.lambda_("partial", partial, on_error=ErrorPolicy.CONTINUE),
    ],
)


async def drive(client):
    await client.start(FLOW, {"n": 0}, id="r")
    context = await client.result("r")
    assert context.outputs == {
        "count": 2,
        "enough": True,
        "squares": [1, 4, 9],
        "partial": [1, 4, 9],
    }, context
    assert context.params == {"n": 2}


SHAPES = Scenario(name="shapes", workflows=[FLOW], drive=drive)


def test_every_fault_at_every_point():
    found = enumerate_faults(SHAPES).require()
    assert found.runs == found.faults == len(found.points) * len(KINDS)
    assert {"commit", "quality"} <= set(found.points)


@pytest.mark.parametrize("first", range(0, 200, 50))
def test_every_law_holds_whatever_goes_wrong(first):
    for seed in range(first, first + 50):
        assert Simulation(seed).run(SHAPES).require().faults_fired
