"""One pipeline, written as YAML, as a graph, as context-first steps and as code: the same results and failures.

extract ──> clean (three attempts, 1 s and 2 s apart) ──> report
"""

from __future__ import annotations

import textwrap

import pytest

from ripresa import DAG, Retry, RetryPolicy, RunFailed, RunQuarantined, Step, Workflow, step, task, workflow
from ripresa.contracts.status import FailureClass
from ripresa.contracts.step_records import steps_of
from ripresa.engine.definitions import file_definition
from ripresa.testing import VirtualClock
from tests.engine.conftest import World
from tests.equivalence import pipeline

RETRY = Retry(max_attempts=3, delay="1s", multiplier=2, jitter="none")

# -- the four ways ----------------------------------------------------------------------------------------------------

FILE = """
workflow:
  name: pipeline
  output: "{{ steps.report.output }}"
  jobs:
    - python: {name: extract, call: "tests.equivalence.pipeline:extract", with: {rows: "{{ params.rows }}"}}
    - python:
        name: clean
        call: "tests.equivalence.pipeline:clean"
        with: {extract: "{{ steps.extract.output }}", trouble: "{{ params.trouble }}"}
        retry: {max_attempts: 3, delay: 1s, exponential_backoff: true, backoff_multiplier: 2, jitter: none}
      depends_on: [extract]
    - python:
        name: report
        call: "tests.equivalence.pipeline:report"
        with: {clean: "{{ steps.clean.output }}"}
      depends_on: [clean]
"""


def as_yaml(folder):
    path = folder / "pipeline.yaml"
    path.write_text(textwrap.dedent(FILE))
    return file_definition(path)


def as_graph(_):
    with DAG("pipeline") as dag:
        task(pipeline.extract) >> task(pipeline.clean, retry=RETRY) >> task(pipeline.report)
    return dag


def as_steps(_):
    def extract(context):
        return pipeline.extract(context.get_param("rows"))

    def clean(context):
        return pipeline.clean(list(context.get_output("extract")), context.get_param("trouble"))

    def report(context):
        return pipeline.report(list(context.get_output("clean")))

    policy = RetryPolicy(max_attempts=3, backoff="exponential", initial_delay=1.0)
    return Workflow(
        "pipeline",
        [Step.lambda_("extract", extract), Step.lambda_("clean", clean, retry=policy), Step.lambda_("report", report)],
    )


def as_code(_):
    extract = step(name="extract")(pipeline.extract)
    clean = step(name="clean", retry=RETRY)(pipeline.clean)
    report = step(name="report")(pipeline.report)

    @workflow(name="pipeline")
    def of_code(rows: int, trouble: str) -> dict[str, int]:
        return report(clean(extract(rows), trouble))

    return of_code


WAYS = {"yaml": as_yaml, "graph": as_graph, "steps": as_steps, "code": as_code}


@pytest.fixture(params=WAYS)
def way(request):
    return request.param


@pytest.fixture(params=["kept", "evicted"])
async def world(request, tmp_path):
    pipeline.begun.clear()
    pipeline.keys.clear()
    world = World("memory", 0 if request.param == "evicted" else "30s", tmp_path)
    yield world
    await world.close()


async def start(world, way, tmp_path, trouble):
    definition = WAYS[way](tmp_path)
    app = await world.open(definition)
    return app, await app.start(definition, *arguments(way, trouble))


def arguments(way, trouble):
    """Code has parameters of its own; the others take params."""
    return (6, trouble) if way == "code" else ({"rows": 6, "trouble": trouble},)


async def steps(app, run):
    await run.refresh()
    rows = await app.engine.store.history(run.row.id), await app.engine.store.attempts(run.row.id)
    return {one.operation: one for one in steps_of(run.row, *rows)}


# -- the same results -------------------------------------------------------------------------------------------------


@pytest.mark.also_on_postgres
async def test_the_outcome_is_the_same(world, way, tmp_path):
    app, run = await start(world, way, tmp_path, "none")
    result = await run.result("60s")
    told = await steps(app, run)
    if way == "steps":  # a context-first run gives its whole context; what the last step left is in it
        result = told["report"].output["output"]
    assert result == {"rows": 3, "sum": 9}
    assert pipeline.begun == [("extract", 1), ("clean", 1), ("report", 1)]
    assert [told[name].status for name in ("extract", "clean", "report")] == ["succeeded"] * 3


async def test_retries_are_the_same(world, way, tmp_path):
    before = world.clock.now()
    app, run = await start(world, way, tmp_path, "flaky")
    await run.result("60s")
    assert pipeline.begun == [("extract", 1), ("clean", 1), ("clean", 2), ("clean", 3), ("report", 1)]
    assert len(pipeline.keys["clean"]) == 1
    assert (await steps(app, run))["clean"].attempts == 3
    assert 3_000_000 <= world.clock.now() - before < 3_500_000  # 1 s, then 2 s


# -- the same failures ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("trouble", "attempts", "kind"), [("exhausted", 3, "Retryable"), ("terminal", 1, "Terminal")])
async def test_failures_are_the_same(world, way, tmp_path, trouble, attempts, kind):  # noqa: PLR0917 - fixtures and cases
    app, run = await start(world, way, tmp_path, trouble)
    with pytest.raises(RunFailed) as failed:
        await run.result("60s")
    failure = failed.value.cause
    assert failure.step == "clean"
    assert failure.attempts == attempts
    assert f"ripresa.{kind}: the " in failure.message
    assert failure.failure_class is FailureClass.TERMINAL
    assert pipeline.begun == [("extract", 1), *(("clean", n) for n in range(1, attempts + 1))]
    told = await steps(app, run)
    assert told["clean"].status == "failed"
    assert "report" not in told or told["report"].status == "skipped"


async def test_a_quarantine_is_the_same_and_a_release_tries_again(world, way, tmp_path):
    app, run = await start(world, way, tmp_path, "quarantine")
    with pytest.raises(RunQuarantined, match="somebody has to look"):
        await run.result("60s")
    assert (await steps(app, run))["clean"].status == "quarantined"
    await app.release(run)
    with pytest.raises(RunQuarantined):
        await run.result("60s")
    assert [name for name, _ in pipeline.begun] == ["extract", "clean", "clean"]


async def test_a_retry_of_the_run_goes_on_with_what_failed(world, way, tmp_path, monkeypatch):
    app, run = await start(world, way, tmp_path, "terminal")
    with pytest.raises(RunFailed):
        await run.result("60s")
    monkeypatch.setattr(pipeline, "Terminal", _Mended)
    pipeline.begun.clear()
    await app.retry(run)
    with pytest.raises(RunFailed, match="mended"):
        await run.result("60s")
    assert {name for name, _ in pipeline.begun} == {"clean"}


class _Mended(Exception):
    def __init__(self, said):
        super().__init__(f"mended: {said}")


@pytest.mark.also_on_postgres
async def test_a_crash_repeats_nothing_that_was_recorded(world, way, tmp_path):
    definition = WAYS[way](tmp_path)
    clock = VirtualClock(autojump=False)
    app = await world.open(definition, clock=clock)
    run = await app.start(definition, *arguments(way, "flaky"), id="r")
    while not any(attempt.status == "failed" for attempt in await app.store.attempts(run.row.id)):
        await clock.advance(seconds=0.01)
    app = await world.crash(app, definition, clock=clock)
    await clock.advance(seconds=0.5)
    assert pipeline.begun == [("extract", 1), ("clean", 1)]  # the second attempt is due a second after the first
    while ("report", 1) not in pipeline.begun:
        await clock.advance(seconds=1)
    await (await app.get("r")).result("60s")
    assert pipeline.begun == [("extract", 1), ("clean", 1), ("clean", 2), ("clean", 3), ("report", 1)]
