"""Jobs as steps of a workflow."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel

import ripresa
from ripresa import App, Retry, StepFailed, job, step, workflow
from ripresa.blocking import job as blocking_job

SH = ["/bin/sh", "-c"]


class Rows(BaseModel):
    rows: int
    region: str


COUNT = """
import json, os
json.dump({"rows": 3, "region": os.environ["PARAM_REGION"]}, open(os.environ["JOB_OUTPUT"], "w"))
"""
count = job("count", "here", command=[sys.executable, "-c", COUNT], outputs={"rows": "integer"}, runtime="process")
typed = job("count", "here", command=[sys.executable, "-c", COUNT], outputs=Rows, runtime="process")
plain = blocking_job("count", "here", command=[sys.executable, "-c", COUNT], outputs=Rows, runtime="process")


def shell(name, script, **options):
    return job(name, "here", command=[*SH, script], **{"runtime": "process", **options})


@pytest.fixture
async def run_of(tmp_path, monkeypatch):
    """Run a workflow to its end in an App whose images lie in `tmp_path`; gives the run and the App."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ripresa.toml").write_text('[runtimes.process.images]\n"*" = "."\n')
    apps = []

    async def run(definition, *args, **options):
        app = await App("memory://", workflows=[definition], config=options).open()
        apps.append(app)
        return await app.start(definition, *args), app

    yield run
    for app in apps:
        await app.close()


async def operations(app, run):
    return [event.operation for event in await app.history(run) if event.operation]


@workflow
async def awaits(region: str) -> list[object]:
    called = await count(region=region)
    declared = await job("echo", "here", command=["true"], runtime="process")
    model = await typed(region=region)
    return [called, declared, called.exit_code, called.skipped, model.region]


@workflow
def waits(region: str) -> list[object]:
    return [count(region=region)["rows"], plain(region=region).rows, count.start(region=region).result()["rows"]]


@workflow
async def in_parallel(regions: list[str]) -> list[str]:
    done = await asyncio.gather(*(count(region=region) for region in regions), count.start(region="started"))
    await asyncio.gather(shell("a", "exit 0"), shell("b", "exit 0"))
    return [one["region"] for one in done]


async def test_a_job_is_awaited_like_a_step(run_of):
    run, _ = await run_of(awaits, "eu")
    assert await run.result("60s") == [{"rows": 3, "region": "eu"}, {}, 0, False, "eu"]


async def test_in_a_plain_workflow_a_job_is_called_like_a_step(run_of):
    run, _ = await run_of(waits, "eu")
    assert await run.result("60s") == [3, 3, 3]


async def test_jobs_run_in_parallel_under_names_of_their_own(run_of):
    run, app = await run_of(in_parallel, ["eu", "us"])
    assert await run.result("60s") == ["eu", "us", "started"]
    assert sorted(await operations(app, run)) == ["a", "b", "count", "count#2", "count#3"]


async def test_a_job_outside_of_a_workflow_says_where_it_belongs():
    with pytest.raises(ripresa.NotInWorkflow, match="job count works only inside a workflow"):
        await count(region="eu")


@workflow
async def fails() -> None:
    await shell("extract", "echo no such table >&2; exit $ATTEMPT", retry=Retry(max_attempts=3, delay=0))


async def test_a_job_that_fails_is_tried_again_and_its_failure_is_told(run_of):
    run, app = await run_of(fails)
    with pytest.raises(ripresa.RunFailed, match="ended with exit code 3: no such table"):
        await run.result("60s")
    attempts = await app.store.attempts(run.row.id)
    assert [(one.number, one.status) for one in attempts] == [(1, "failed"), (2, "failed"), (3, "failed")]


@workflow
async def slow() -> str:
    try:
        await shell("slow", "exec sleep 600", timeout="100ms")
    except StepFailed as error:
        return error.cause.code
    return "?"


async def test_an_attempt_that_takes_too_long_is_ended(run_of):
    run, _ = await run_of(slow)
    assert await run.result("60s") == "timeout"


@workflow
async def slow_in_all() -> str:
    try:
        await shell("slow", "sleep 0.05; exit 1", retry=Retry(max_attempts=1000, delay=0), timeout={"total": "300ms"})
    except TimeoutError as error:
        return str(error)
    return "?"


async def test_all_attempts_together_may_take_so_long(run_of):
    run, _ = await run_of(slow_in_all)
    assert await run.result("60s") == "job 'slow' took longer than 300ms in all"


@workflow
async def queues() -> list[object]:
    first = shell("first", "until [ -e go ]; do sleep 0.01; done").start()
    second = shell("second", "exit 0", timeout={"queue": "50ms"}, retry=Retry(max_attempts=3, delay=0)).start()
    try:
        await second
    except StepFailed as error:
        await shell("third", "exit 0", timeout={"queue": "1h"}, env={"GO": let_go()})
        await first
        return [error.cause.code, error.failure_class]
    return []


@step
def let_go() -> str:
    Path("go").touch()
    return "gone"


async def test_a_job_may_wait_for_a_slot_for_so_long(run_of):
    run, app = await run_of(queues, subprocesses=1)
    assert await run.result("60s") == ["queue_timeout", "terminal"]
    assert {one.operation for one in await app.store.attempts(run.row.id)} <= {"first", "third"}


@workflow
async def skips() -> list[object]:
    out = await shell("maybe", "exit 99", exit_codes={"skip": [99]})
    return [out, out.skipped, out.exit_code]


async def test_a_job_may_skip_itself(run_of):
    run, _ = await run_of(skips)
    assert await run.result("60s") == [{}, True, 99]


@workflow
async def wrongly_typed() -> None:
    await shell("count", """echo '{"rows": "many", "region": "eu"}' > $JOB_OUTPUT""", outputs=Rows)


async def test_an_output_that_its_type_does_not_fit_fails_the_job_for_good(run_of):
    run, _ = await run_of(wrongly_typed)
    with pytest.raises(ripresa.RunFailed, match="output of job count") as caught:
        await run.result("60s")
    assert caught.value.cause.code == "output_invalid"


@step
async def note(amount: int, result: dict[str, object]) -> str:
    return f"{amount} {result}"


undo = job(
    "refund", "here", command=[*SH, "echo refund $PARAM_AMOUNT $PARAM_WHY"], params={"why": "x"}, runtime="process"
)
charge = """echo '{"id": 7}' > $JOB_OUTPUT"""


@workflow
async def undoes() -> None:
    await shell("charge", charge, params={"amount": 10}, compensate=undo)
    await shell("charge", charge, params={"amount": 20}, compensate=note)
    raise ripresa.Terminal("no")


async def test_what_undoes_a_job_gets_its_parameters(run_of):
    run, app = await run_of(undoes)
    with pytest.raises(ripresa.RunFailed):
        await run.result("60s")
    done = {event.operation: event.data for event in await app.history(run)}
    assert done["undo:charge#2"] == "\"20 {'id': 7}\""
    logged = [(line.operation, line.text) for _, line in await app.store.logs(run.row.id)]
    assert logged == [("undo:charge", "refund 10 x")]


@workflow
async def dated() -> str:
    await shell("dates", "echo $DS; echo $EXECUTION_DATE; echo $TS; echo $DATA_INTERVAL_START $DATA_INTERVAL_END")
    await ripresa.sleep(0.01)
    await shell("dates", "echo $EXECUTION_DATE", key="later")
    return ""


async def test_a_run_without_a_schedule_has_the_time_of_its_start_for_its_date(run_of):
    run, app = await run_of(dated)
    await run.result("60s")
    date, *moments = [line.text for _, line in await app.store.logs(run.row.id)]
    assert len(set(" ".join(moments).split())) == 1
    assert moments[0].startswith(f"{date}T")
    assert moments[0].endswith("+00:00")


@workflow
async def elsewhere() -> None:
    await job("far", "here", runtime="celery")


async def test_a_runtime_that_is_not_set_up_is_named(run_of):
    run, _ = await run_of(elsewhere)
    with pytest.raises(ripresa.RunFailed, match=r"runtimes\.celery\.broker: it is not given") as caught:
        await run.result("60s")
    assert caught.value.cause.code == "cannot_start"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"comand": ["x"]}, 'unknown option .comand.; did you mean "command"'),
        ({"runtime": "docker"}, "runtime: 'docker' is not one of process, container"),
        ({"timeout": {"attemt": 1}}, 'did you mean "attempt"'),
        ({"outputs": Rows, "exit_codes": {"skip": [9]}}, "list its outputs by key"),
        ({"image": "x y"}, "no image name"),
    ],
)
def test_a_declaration_that_cannot_be_says_why(options, says):
    with pytest.raises((ValueError, TypeError), match=says):
        job("extract", **{"image": "here", **options})
