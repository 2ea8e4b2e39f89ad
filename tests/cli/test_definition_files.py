"""Definition files on the command line: they run, are drawn, and tell what they would do."""

import json
import xml.dom.minidom

import pytest

DAILY = """
workflow:
  name: daily
  input: {type: object, properties: {region: {type: string, default: eu}, limit: {type: integer, default: 2}}}
  output: {said: "{{ steps.greet.output }}", ds: "{{ ds }}", endpoint: "{{ config.endpoint }}"}
  defaults: {runtime: process}
  jobs:
    - job:
        name: extract
        image: demo/extract:1
        command: [sh, -c, 'echo "got $REGION"; echo "{\\"rows\\": 2}" > "$JOB_OUTPUT"']
        env: {REGION: "{{ params.region }}"}
        secrets: {TOKEN: "env:DEMO_TOKEN"}
        outputs: {rows: integer}
    - choice: {name: route, cases: [{if: "{{ steps.extract.output.rows > params.limit }}", then: many}], else: greet}
      depends_on: [extract]
    - python: {name: many, call: "work:greet", with: {name: many}}
    - python: {name: greet, call: "work:greet", with: {name: "{{ params.region }}"}}
  finally:
    - job: {name: clean, image: "demo/clean:1", command: ["true"]}
"""
HELLO = "job: {name: hello, image: 'demo/hello:1', command: [sh, -c, 'echo hi'], runtime: process}\n"
DAG = """
from ripresa import DAG, task

def double(n: int) -> int:
    return n * 2

with DAG("doubling") as dag:
    a = task(double)
    a >> task(lambda double: double + 1, "plus")
"""
SETTINGS = """
[runtimes.process.images]
"demo/*" = "jobs"

[config]
endpoint = "http://trino"
"""


@pytest.fixture
def flows(shop):
    (shop.folder / "jobs").mkdir()
    (shop.folder / "daily.yaml").write_text(DAILY)
    (shop.folder / "hello.yaml").write_text(HELLO)
    (shop.folder / "dags.py").write_text(DAG)
    (shop.folder / "work.py").write_text("def greet(name):\n    return f'hello {name}'\n")
    (shop.folder / "ripresa.toml").write_text(SETTINGS)
    return shop


def test_a_file_runs_and_its_steps_are_shown(flows):
    done = flows(
        "run", "daily.yaml", "-p", "region=us", "--date", "2026-03-01", "--id", "d1", "-o", "json", DEMO_TOKEN="t"
    )
    assert json.loads(done.stdout) == {"said": "hello us", "ds": "2026-03-01", "endpoint": "http://trino"}
    assert "got us" in done.stderr
    shown = json.loads(flows("runs", "show", "d1", "-o", "json").stdout)
    steps = {step["operation"]: step for step in shown["steps"]}
    assert {name: step["status"] for name, step in steps.items()} == {
        "extract": "succeeded", "route": "succeeded", "many": "skipped", "greet": "succeeded", "clean": "succeeded",
    }  # fmt: skip
    assert steps["many"]["reason"] == "route chose greet"
    assert steps["extract"]["output"] == {"rows": 2}


def test_a_file_of_a_job_alone_runs(flows):
    assert "hello | hi" in flows("run", "hello.yaml").stderr


def test_a_dag_runs(flows):
    assert flows("run", "dags.py:dag", "-p", "n=4").stdout == "9\n"
    assert flows("run", "dags.py", "-p", "n=4").stdout == "9\n"


def test_a_run_that_was_left_to_an_engine_needs_the_file_no_more(flows):
    flows("run", "hello.yaml", "--id", "h1", "--detach")
    (flows.folder / "hello.yaml").write_text(HELLO.replace("echo hi", "echo changed"))
    done = flows("run", "hello.yaml", "--id", "h1")
    assert "hello | hi" in done.stderr


def test_a_run_may_be_put_on_another_runtime(flows):
    (flows.folder / "hello.yaml").write_text(HELLO.replace("process", "container"))
    assert "hello | hi" in flows("run", "hello.yaml", "--runtime", "process").stderr


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("run", "daily.yaml", "-p", "regio=us"), 'did you mean "region"'),
        (("run", "daily.yaml", "-p", "limit=many"), "limit: 'many' is not an integer"),
        (("run", "daily.yaml", "--date", "soon"), "'soon' is no date"),
        (("run", "daily.yaml", "--runtime", "moon"), "moon"),
        (("run", "shop.py:text", "--runtime", "process"), "shop.py:text is code"),
        (("run", "shop.py:text", "--date", "2026-01-01"), "text has no logical date"),
        (("run", "shop.py:text", "--dry-run"), "text is code"),
        (("graph", "shop.py:text"), "text is code and has no graph"),
        (("run", "states.asl.json"), "state machines come with a later release"),
        (("run", "lost.yaml"), "lost.yaml: No such file"),
    ],
)
def test_what_does_not_fit_is_told_with_its_place(flows, args, said):
    assert said in flows(*args, code=2).stderr


def test_a_file_that_is_wrong_is_told_with_line_and_column(flows):
    (flows.folder / "wrong.yaml").write_text("workflow:\n  name: a\n  jobs:\n    - wait: {name: w, fro: 1s}\n")
    said = flows("run", "wrong.yaml", code=2).stderr
    assert "wrong.yaml:4:" in said
    assert "workflow.jobs[0].wait.fro: unknown field" in said


# --- dry runs -----------------------------------------------------------------------------------


def test_a_dry_run_tells_everything_and_does_nothing(flows):
    done = flows("run", "daily.yaml", "--dry-run", "--date", "2026-03-01", "-o", "json", DEMO_TOKEN="very-secret")
    plan = json.loads(done.stdout)
    assert [step["name"] for step in plan["steps"]] == ["extract", "route", "many", "greet"]
    extract = plan["steps"][0]
    assert (extract["environment"]["REGION"], extract["environment"]["DS"]) == ("eu", "2026-03-01")
    assert extract["secrets"] == {"TOKEN": "••• (env:DEMO_TOKEN)"}
    assert plan["steps"][1]["cases"][0]["if"] == "{{ steps.extract.output.rows > params.limit }}"
    assert plan["config"] == {"endpoint": "http://trino"}
    assert "very-secret" not in done.stdout + done.stderr
    assert not (flows.folder / ".ripresa").exists()


def test_a_dry_run_for_people(flows):
    said = flows("run", "daily.yaml", "--dry-run").stdout
    assert "  1. extract (job)\n" in said
    assert "  2. route (choice)  after extract\n" in said
    assert "       REGION: eu\n" in said
    assert "finally:" in said


def test_a_dry_run_of_a_dag(flows):
    assert "  2. plus (python)  after double\n" in flows("run", "dags.py:dag", "-p", "n=4", "--dry-run").stdout


# --- drawings -----------------------------------------------------------------------------------


def test_a_graph_is_drawn_layer_under_layer(flows):
    drawn = flows("graph", "daily.yaml").stdout
    assert drawn.startswith("daily\n")
    rows = {name: next(row for row, line in enumerate(drawn.splitlines()) if f" {name} " in line) for name in (
        "extract", "route", "many", "greet", "clean")}  # fmt: skip
    assert rows["extract"] < rows["route"] < rows["many"] == rows["greet"] < rows["clean"]
    assert "▼" in drawn
    assert "── finally ──" in drawn


def test_a_drawing_shows_how_a_run_stands(flows):
    flows("run", "daily.yaml", "--id", "d1", DEMO_TOKEN="t")
    drawn = flows("graph", "daily.yaml", "--run", "d1").stdout
    assert drawn.startswith("daily, run d1: succeeded\n")
    assert "✓ extract" in drawn
    assert "○ many" in drawn


def test_a_drawing_in_mermaid_and_svg(flows):
    mermaid = flows("graph", "daily.yaml", "-o", "mermaid").stdout
    assert mermaid.startswith("flowchart TD\n")
    assert "-->|chosen|" in mermaid
    picture = xml.dom.minidom.parseString(flows("graph", "daily.yaml", "-o", "svg").stdout)
    texts = set()
    for text in picture.getElementsByTagName("text"):
        texts.add("".join(node.data for node in text.childNodes if node.nodeType == node.TEXT_NODE).strip())
    assert {"extract", "many", "greet", "clean"} <= texts


def test_a_drawing_as_data(flows):
    told = json.loads(flows("graph", "daily.yaml", "-o", "json").stdout)
    assert {"from": "route", "to": "greet", "when": "chosen"} in told["edges"]
    assert told["layers"]["jobs"] == [["extract"], ["route"], ["many", "greet"]]


# --- how many at a time ---------------------------------------------------------------------------

QUEUE = """
workflow:
  name: one_by_one
  concurrency: {limit: 1}
  idempotency_key: "{{ params.n }}"
  jobs: [{signal: {name: go}}]
"""


def test_a_run_that_waits_for_its_turn_says_so(flows):
    (flows.folder / "queue.yaml").write_text(QUEUE)
    first = flows.start("run", "queue.yaml", "-p", "n=1")
    flows.until("one_by_one:1", "waiting")
    flows("run", "queue.yaml", "-p", "n=2", "--detach")
    again = flows("run", "queue.yaml", "-p", "n=2", "--detach").stdout
    assert again == "one_by_one:2\n"
    flows.until("one_by_one:2", "queued")
    told = flows.json("runs", "show", "one_by_one:2")
    while told["reason"] is None:
        told = flows.json("runs", "show", "one_by_one:2")
    assert told["reason"] == "1 of 1 of one_by_one go on"
    flows("runs", "signal", "one_by_one:1", "go", "1")
    assert first.communicate(timeout=60)[0] == b"1\n"
