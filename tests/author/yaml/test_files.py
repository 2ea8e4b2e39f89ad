"""Definition files run: every kind of entry, its policies, and what a run goes on with when the file changes."""

from __future__ import annotations

import contextlib
import json

import pytest

from ripresa import PayloadError, RunCancelled, RunFailed, RunQuarantined, SpecInvalid, UnknownDefinition

WORK = """
def score(rows: int, factor: int = 1):
    return {"total": rows * factor, "names": ["a", "b"]}

async def greet(name):
    return f"hello {name}"

def broken():
    raise ValueError("no")
"""


async def test_every_kind_of_entry_runs(flows):
    flows.write(WORK, "work.py")
    app, run = await flows.run(
        """
        workflow:
          name: daily
          input: {type: object, properties: {region: {type: string, default: eu}}}
          output: {rows: "{{ steps.extract.output.rows }}", said: "{{ steps.greet.output }}", ds: "{{ ds }}"}
          defaults: {runtime: process}
          jobs:
            - job:
                name: extract
                image: demo/extract:1
                command: [sh, -c, 'printf "{\\"rows\\": %s}" "$PARAM_ROWS" > "$JOB_OUTPUT"; echo "$REGION $DS"']
                params: {rows: 4}
                env: {REGION: "{{ params.region }}"}
                outputs: {rows: integer}
            - python: {name: score, call: "work:score", with: {rows: "{{ steps.extract.output.rows }}", factor: 3}}
              depends_on: [extract]
            - choice: {name: route, cases: [{if: "{{ steps.score.output.total > 100 }}", then: big}], else: greet}
              depends_on: [score]
            - python: {name: big, call: "work:greet", with: {name: big}}
            - python: {name: greet, call: "work:greet", with: {name: "{{ item }}{{ index }}"}}
              for_each: "{{ steps.score.output.names }}"
              max_parallel: 1
            - wait: {name: pause, for: 1h}
              depends_on: [extract]
            - signal: {name: go}
              depends_on: [pause]
          finally:
            - python: {name: last, call: "work:greet", with: {name: "{{ steps.go.output }}"}}
        """,
        {"execution_date": "2026-03-01"},
    )
    await app.signal(run, "go", "there")
    assert await run.result("30s") == {"rows": 4, "said": ["hello a0", "hello b1"], "ds": "2026-03-01"}
    found = await flows.steps(app, run)
    assert {name: step.status for name, step in found.items()} == {
        "extract": "succeeded", "score": "succeeded", "route": "succeeded", "big": "skipped", "greet": "succeeded",
        "greet[0]": "succeeded", "greet[1]": "succeeded", "pause": "succeeded", "go": "succeeded", "last": "succeeded",
    }  # fmt: skip
    assert found["last"].output == "hello there"
    assert [line.text for _, line in await app.engine.store.logs(run.row.id)] == ["eu 2026-03-01"]


async def test_a_job_that_stands_alone_runs(flows):
    _, run = await flows.run(
        """
        job:
          name: hello
          image: demo/hello:1
          command: [sh, -c, 'echo "{\\"n\\": 1}" > $JOB_OUTPUT']
          outputs: {n: integer}
          runtime: process
        """
    )
    assert await run.result("30s") == {"n": 1}
    assert run.definition == "hello"


async def test_a_jobs_exit_code_may_skip_it_or_set_it_aside(flows):
    text = """
        workflow:
          name: codes
          defaults: {runtime: process}
          jobs:
            - job: {name: a, image: demo/a, command: [sh, -c, "exit $PARAM_CODE"], params: {code: "{{ params.code }}"},
                    exit_codes: {skip: [99], quarantine: [42], terminal: [2]}}
            - job: {name: b, image: demo/b, command: ["true"]}
              depends_on: [a]
            - job: {name: c, image: demo/c, command: ["true"]}
              depends_on: [{job: a, when: quarantined}]
        """
    definition = flows.load(text)
    app = await flows.world.open(definition)
    run = await app.start(definition, {"code": 99})
    await run.result("30s")
    found = await flows.steps(app, run)
    assert (found["a"].status, found["b"].status) == ("skipped", "skipped")
    assert found["a"].reason == "it ended with exit code 99"
    run = await app.start(definition, {"code": 2})
    with pytest.raises(RunFailed) as failed:
        await run.result("30s")
    assert failed.value.cause.code == "exit_2"
    run = await app.start(definition, {"code": 42})
    with pytest.raises(RunQuarantined):
        await run.result("30s")
    found = await flows.steps(app, run)
    assert (found["a"].status, found["c"].status, "b" in found) == ("quarantined", "succeeded", False)


async def test_python_may_be_a_step_and_the_entry_has_the_last_word(flows):
    flows.write(
        """
        from ripresa import step, Retry, context
        @step(retry=Retry(max_attempts=5, delay="1h"))
        def often():
            if context().attempt < 3:
                raise OSError("again")
            return context().attempt
        """,
        "work2.py",
    )
    text = """
        workflow:
          name: tries
          jobs:
            - python: {name: often, call: "work2:often"%s}
        """
    _, run = await flows.run(text % "")
    assert await run.result("30s") == 3
    definition = flows.load(text % ", retry: {max_attempts: 2, delay: 1s}", "other.yaml")
    app = await (await _reopened(flows)).open(definition)
    run = await app.start(definition)
    with pytest.raises(RunFailed):
        await run.result("30s")


async def _reopened(flows):
    await flows.world.close()
    return flows.world


async def test_a_pipeline_that_is_registered_beside_the_file_runs(flows):
    flows.write(
        """
        from ripresa import Pipeline, PipelineResult, register_pipeline

        @register_pipeline("finra_of_test.load_week")
        class LoadWeek(Pipeline):
            def run(self):
                return PipelineResult(metrics={"record_count": 7, "tier": self.params["tier"]})
        """,
        "finra_of_test.py",
    )
    _, run = await flows.run(
        """
        workflow:
          name: weekly
          jobs:
            - pipeline: {name: load, pipeline: finra_of_test.load_week, params: {tier: "{{ params.tier }}"}}
        """,
        {"tier": "T1"},
    )
    assert await run.result("30s") == {"record_count": 7, "tier": "T1"}


async def test_a_pipeline_that_nobody_registers_fails_its_entry(flows):
    _, run = await flows.run(
        """
        workflow:
          name: weekly
          jobs: [{pipeline: {name: load, pipeline: nowhere_at_all}}]
        """
    )
    with pytest.raises(RunFailed, match="no pipeline is registered as 'nowhere_at_all'"):
        await run.result("30s")


@pytest.mark.parametrize(
    ("on_breach", "ends"), [("fail", "failed"), ("quarantine", "quarantined"), ("warn", "succeeded")]
)
async def test_quality_is_judged_before_the_outcome_counts(flows, on_breach, ends):
    flows.write("def measure():\n    return {'record_count': 10, 'valid_rate': 0.5}\n", "measures.py")
    _, run = await flows.run(
        f"""
        workflow:
          name: gates
          jobs:
            - python: {{name: measure, call: "measures:measure"}}
              quality: {{min_valid_rate: 0.95, on_breach: {on_breach}}}
        """
    )
    with contextlib.suppress(RunFailed, RunQuarantined):
        await run.result("30s")
    await run.refresh()
    assert run.status == ends


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ({"record_count": 10, "valid_count": 11}, "valid_count: 11 is more than record_count=10"),
        ({"record_count": "many"}, "record_count: 'many' is not a whole number"),
        ({"record_count": 10, "custom_metrics": 5}, "custom_metrics: 5 is no mapping"),
    ],
)
@pytest.mark.parametrize(
    "breach", [("fail", "failed"), ("quarantine", "quarantined"), ("warn", "succeeded")], ids=lambda breach: breach[0]
)
async def test_numbers_that_cannot_be_do_not_pass_a_gate(flows, caplog, numbers, said, breach):
    on_breach, ends = breach
    flows.write(f"def measure():\n    return {numbers!r}\n", "measures.py")
    app, run = await flows.run(
        f"""
        workflow:
          name: gates
          jobs:
            - python: {{name: measure, call: "measures:measure", retry: {{max_attempts: 3, delay: 0s}}}}
              quality: {{min_valid_rate: 0.95, on_breach: {on_breach}}}
        """
    )
    with contextlib.suppress(RunFailed, RunQuarantined):
        await run.result("30s")
    await run.refresh()
    step = (await flows.steps(app, run))["measure"]
    assert (run.status, step.attempts) == (ends, 1)
    told = caplog.text if ends == "succeeded" else step.error.message
    assert "quality: " in told
    assert said in told
    assert await app.quality("gates") == []


async def test_a_skipped_job_has_no_quality_to_judge(flows):
    app, run = await flows.run(
        """
        workflow:
          name: closed
          jobs:
            - job: {name: extract, image: demo/a, command: [sh, -c, "exit 99"], runtime: process,
                    exit_codes: {skip: [99]}}
              quality: {min_valid_rate: 0.95, min_record_count: 100}
        """
    )
    await run.result("30s")
    assert (await flows.steps(app, run))["extract"].status == "skipped"
    assert await app.quality("closed") == []


async def test_a_function_that_measures_nothing_does_not_pass_a_gate(flows):
    flows.write("def measure():\n    return None\n", "measures.py")
    _, run = await flows.run(
        """
        workflow:
          name: silent
          jobs:
            - python: {name: measure, call: "measures:measure"}
              quality: {min_record_count: 1}
        """
    )
    with pytest.raises(RunFailed, match="record_count was not measured"):
        await run.result("30s")


async def test_another_workflow_runs_as_a_child(flows):
    flows.write(WORK, "work.py")
    inner = flows.load(
        """
        workflow:
          name: inner
          input: {type: object, properties: {n: {type: integer}}, required: [n]}
          jobs: [{python: {name: one, call: "work:score", with: {rows: "{{ params.n }}"}}}]
        """,
        "inner.yaml",
    )
    _, run = await flows.run(
        """
        workflow:
          name: outer
          jobs: [{workflow: {name: sub, definition: inner, params: {n: 5}}}]
        """,
        with_=(inner,),
    )
    assert (await run.result("30s"))["total"] == 5


async def test_what_undoes_a_job_runs_when_the_run_fails(flows):
    flows.write(WORK, "work.py")
    app, run = await flows.run(
        """
        workflow:
          name: undoing
          defaults: {runtime: process}
          jobs:
            - job: {name: book, image: demo/a, command: [sh, -c, 'echo "{\\"seat\\": \\"12A\\"}" > $JOB_OUTPUT'],
                    outputs: {seat: string}}
              compensate: unbook
            - job: {name: unbook, image: demo/a, command: [sh, -c, "echo free $PARAM_SEAT"],
                    params: {seat: "{{ steps.book.output.seat }}"}}
            - python: {name: bad, call: "work:broken"}
              depends_on: [book]
        """
    )
    with pytest.raises(RunFailed):
        await run.result("30s")
    assert (await flows.steps(app, run))["book"].status == "compensated"
    assert [line.text for _, line in await app.engine.store.logs(run.row.id)] == ["free 12A"]


# --- params, settings, dates --------------------------------------------------------------------

PARAMS = """
    workflow:
      name: params
      input:
        type: object
        required: [region]
        properties:
          region: {type: string, enum: [eu, us]}
          limit: {type: integer, default: 5, minimum: 1}
      output: "{{ params.region }}-{{ params.limit }}"
      jobs: [{wait: {name: w, for: 1ms}}]
"""


async def test_params_are_checked_and_have_defaults(flows):
    definition = flows.load(PARAMS)
    app = await flows.world.open(definition)
    run = await app.start(definition, {"region": "eu"})
    assert await run.result("30s") == "eu-5"
    for params, said in (
        ({}, "region is missing"),
        ({"region": "mars"}, "'mars' is not one of 'eu', 'us'"),
        ({"region": "eu", "limit": "many"}, "limit: 'many' is not an integer"),
        ({"region": "eu", "limit": 0}, "limit: 0 is less than 1"),
        ({"region": "eu", "limits": 3}, "there is no param 'limits'"),
        ({"region": "eu", "execution_date": "soon"}, "'soon' is no date"),
    ):
        with pytest.raises(PayloadError, match=said.replace("'", ".")):
            await app.start(definition, params)


async def test_the_settings_of_the_start_hold_for_the_whole_run(flows):
    text = """
        workflow:
          name: settings
          output: "{{ config.endpoint }}"
          jobs: [{wait: {name: w, for: 1h}}]
        """
    before = flows.load(text, config={"endpoint": "old", "other": 1})
    clock = flows.world.clock_that_stands()
    app = await flows.world.open(before, clock=clock)
    run = await app.start(before, id="r")
    assert json.loads(run.row.input) == {"config": {"endpoint": "old"}}
    after = flows.load(text, config={"endpoint": "new"})
    app = await flows.world.crash(app, after, clock=clock)
    await clock.advance(hours=2)
    assert await (await app.get("r")).result("30s") == "old"


async def test_dates_are_those_of_the_schedule(flows):
    _, run = await flows.run(
        """
        workflow:
          name: dates
          schedule: {cron: "0 2 * * *", timezone: Europe/Paris}
          output: ["{{ ts }}", "{{ data_interval_end }}", "{{ prev_execution_date }}"]
          jobs: [{wait: {name: w, for: 1ms}}]
        """,
        {"execution_date": "2026-07-01"},
    )
    assert await run.result("30s") == [
        "2026-07-01T02:00:00+02:00", "2026-07-02T02:00:00+02:00", "2026-06-30T02:00:00+02:00",
    ]  # fmt: skip


# --- files and bodies ---------------------------------------------------------------------------

WAITS = """
    workflow:
      name: waits
      output: "{out}"
      jobs: [{{wait: {{name: w, for: 1h}}}}]
"""


async def test_a_run_goes_on_with_the_body_that_it_was_started_with(flows):
    definition = flows.load(WAITS.format(out="old"))
    clock = flows.world.clock_that_stands()
    app = await flows.world.open(definition, clock=clock)
    run = await app.start(definition, id="r")
    changed = flows.load(WAITS.format(out="new"))
    assert changed.version != definition.version
    app = await flows.world.crash(app, changed, clock=clock)
    new = await app.start(changed, id="n")
    await clock.advance(hours=2)
    assert await (await app.get("r")).result("30s") == "old"
    assert await new.result("30s") == "new"
    assert run.id == "r"


async def test_a_run_goes_on_though_no_definition_is_given(flows):
    definition = flows.load(WAITS.format(out="old"))
    clock = flows.world.clock_that_stands()
    app = await flows.world.open(definition, clock=clock)
    await app.start(definition, id="r")
    await app.crash()
    app = await flows.world.open(clock=clock)
    await clock.advance(hours=2)
    assert await (await app.get("r")).result("30s") == "old"


async def test_an_app_takes_the_path_of_a_file(flows):
    path = flows.write(WAITS.format(out="here"))
    app = await flows.world.open(path)
    assert await (await app.start("waits")).result("30s") == "here"


def test_python_that_is_not_there_is_told_when_the_file_is_loaded(flows):
    text = """
        workflow:
          name: lost
          jobs: [{python: {name: a, call: "nowhere_at_all:f"}}]
        """
    with pytest.raises(UnknownDefinition, match="nowhere_at_all"):
        flows.load(text)


def test_a_file_that_is_wrong_tells_all_of_it(flows):
    with pytest.raises(SpecInvalid) as refused:
        flows.load("workflow:\n  name: a\n  jobs: [{wait: {name: a, fro: 1s}}, {wait: {name: b, for: soon}}]\n")
    assert len(refused.value.problems) >= 2


async def test_the_output_of_what_was_skipped_is_null(flows):
    text = """
        workflow:
          name: nothing_to_do
          output: {report: "{{ steps.report.output }}", status: "{{ steps.report.status }}"}
          jobs:
            - wait: {name: report, for: 1ms}
              when: "{{ params.region != 'none' }}"
        """
    definition = flows.load(text)
    app = await flows.world.open(definition)
    run = await app.start(definition, {"region": "none"})
    assert await run.result("30s") == {"report": None, "status": "skipped"}


# --- how many at a time ---------------------------------------------------------------------------


async def test_concurrency_priority_and_idempotency_are_read_from_the_file(flows):
    definition = flows.load(
        """
        workflow:
          name: one_by_one
          priority: 3
          concurrency: {key: "{{ params.region }}", limit: 1, policy: skip}
          idempotency_key: "{{ params.region }}:{{ params.n }}"
          jobs: [{signal: {name: go}}]
        """
    )
    app = await flows.world.open(definition)
    first = await app.start(definition, {"region": "eu", "n": 1})
    assert (first.id, first.row.priority) == ("one_by_one:eu:1", 3)
    assert (await app.start(definition, {"region": "eu", "n": 1})).row.id == first.row.id
    with pytest.raises(RunCancelled, match="1 run of one_by_one:eu goes on already"):
        await (await app.start(definition, {"region": "eu", "n": 2})).result("30s")
    await app.signal(first, "go", "now")
    assert await first.result("30s") == "now"
