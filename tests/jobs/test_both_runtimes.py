"""One definition file, on processes and on containers: the same results and the same history."""

from __future__ import annotations

import pytest

from ripresa import App
from ripresa.engine.definitions import file_definition

FLOW = """
workflow:
  name: daily_sales_pipeline
  input: {type: object, properties: {region: {type: string, default: eu}}}
  output: "{{ steps.report.output }}"
  schedule: {cron: "0 2 * * *", timezone: Europe/Paris}
  defaults: {retry: {max_attempts: 3, delay: 10ms}, timeout: 1m}
  jobs:
    - job:
        name: extract_sales
        image: lakehouse/box:1.0
        command: [sh, -c, 'echo "$1 $2"; [ $ATTEMPT -gt 1 ] || exit 7; echo "{\\"rows\\": 7, \\"record_count\\": 7, \\"files\\": [\\"a b\\", \\"$PARAM_REGION\\"]}" > $JOB_OUTPUT']
        args: [job, "--date", "{{ ds }}; rm -rf $HOME"]
        params: {region: "{{ params.region }}"}
        env: {ENDPOINT: "trino for {{ params.region }}"}
        outputs: {rows: integer, record_count: integer, files: array}
      when: "{{ params.region != 'none' }}"
      quality: {min_record_count: 5, on_breach: fail}
    - job:
        name: load
        image: lakehouse/box:1.0
        command: [sh, -c, 'echo "item $1" >&2; echo "{\\"item\\": \\"$1\\", \\"ds\\": \\"$DS\\"}" > $JOB_OUTPUT', job]
        args: ["{{ item }}"]
      for_each: "{{ steps.extract_sales.output.files }}"
    - job:
        name: closed
        image: lakehouse/box:1.0
        command: [sh, -c, "exit 99"]
        exit_codes: {skip: [99]}
    - choice: {name: route, cases: [{if: "{{ steps.extract_sales.output.rows > 5 }}", then: report}], else: nothing}
    - job:
        name: report
        image: lakehouse/box:1.0
        command: [sh, -c, 'echo "{\\"loaded\\": $PARAM_LOADED}" > $JOB_OUTPUT']
        params: {loaded: "{{ steps.load.output | length }}"}
    - job: {name: nothing, image: "lakehouse/box:1.0", command: ["true"]}
  finally:
    - job: {name: clean_up, image: "lakehouse/box:1.0", command: [sh, -c, "echo cleaned"]}
"""  # noqa: E501 - a script is a line


@pytest.fixture
def folder(engine, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flow.yaml").write_text(FLOW)
    (tmp_path / "box").mkdir()
    (tmp_path / "ripresa.toml").write_text(
        f'[runtimes.process.images]\n"lakehouse/*" = "{{name}}"\n'
        f'[runtimes.container]\nhost = "{engine.host}"\nnetwork = "none"\npull = "never"\n'
    )
    return tmp_path


async def told(folder, runtime, params):
    """What a run comes to: its output, its history without times, its attempts and its lines."""
    definition = file_definition(folder / "flow.yaml", runtime=runtime)
    async with App(f"sqlite:///{folder / runtime}.db", workflows=[definition]) as app:
        run = await app.start(definition, {"execution_date": "2024-03-05", **params}, id="r")
        output = await run.result("90s")
        history = await app.store.history(run.row.id)
        attempts = await app.store.attempts(run.row.id)
        lines = [line for _, line in await app.store.logs(run.row.id)]
    return {
        "output": output,
        "history": sorted((e.kind, e.operation or "", _timeless(e)) for e in history),
        "attempts": sorted((a.operation, a.number, a.status) for a in attempts),
        "lines": sorted((line.operation or "", line.attempt or 0, line.stream, line.text) for line in lines),
    }


def _timeless(event):
    return "" if event.operation is None or '"started_at"' in (event.data or "") else event.data or ""


async def test_results_history_and_output_are_the_same(folder):
    by_process = await told(folder, "process", {})
    assert by_process["output"] == {"loaded": 2}
    assert ("extract_sales", 1, "stdout", "--date 2024-03-05; rm -rf $HOME") in by_process["lines"]
    assert ("load[0]", 1, "stderr", "item a b") in by_process["lines"]
    assert {(a[0], a[1]) for a in by_process["attempts"] if a[2] == "failed"} == {("extract_sales", 1)}
    in_containers = await told(folder, "container", {})
    for what, wanted in by_process.items():
        if what != "attempts":  # those that succeed in a moment have no row of their own
            assert in_containers[what] == wanted
    assert {a for a in in_containers["attempts"] if a[2] == "failed"} == {("extract_sales", 1, "failed")}


async def test_what_is_skipped_is_the_same(folder):
    skipped = [await told(folder, runtime, {"region": "none"}) for runtime in ("process", "container")]
    assert skipped[0]["output"] is None
    assert skipped[0]["history"] == skipped[1]["history"]
