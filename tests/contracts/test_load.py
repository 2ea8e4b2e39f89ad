"""Definitions in order are loaded, and their resolved body loads as the same definition."""

import pytest

from ripresa.author.templates import Template
from ripresa.contracts.errors import SpecInvalid
from ripresa.contracts.spec import load, load_job, load_workflow
from tests.docs.pages import ROOT

EXAMPLE = (ROOT / "tests" / "data" / "contract.yaml").read_text("utf-8")
ALLUDED_TO = """\
    - job: {name: list, image: lakehouse/list:1.0, outputs: {files: array}}
    - job: {name: undo_extract, image: lakehouse/undo:1.0}
    - job: {name: fast, image: lakehouse/fast:1.0}
    - job: {name: full, image: lakehouse/full:1.0}
    - job: {name: report, image: lakehouse/report:1.0}
"""


def whole_example():
    """The contract's example, with one of the schedules that it shows, and with the jobs that it alludes to."""
    text = EXAMPLE.replace("    trigger:", "    # trigger:").replace("    source: s3", "    # source: s3")
    return text.replace("  finally:", ALLUDED_TO + "  finally:")


def test_the_contracts_example_is_refused_only_for_what_it_shows_twice_or_alludes_to():
    with pytest.raises(SpecInvalid) as caught:
        load(EXAMPLE, "contract.yaml", templates=Template.parse)
    assert [(one.code, one.path.removeprefix("workflow.")) for one in caught.value.problems] == [
        ("unknown_reference", "output"),
        ("given_twice", "schedule.trigger"),
        ("unknown_reference", "jobs[0].for_each"),
        ("unknown_entry", "jobs[0].compensate"),
        ("unknown_entry", "jobs[3].choice.cases[0].then"),
        ("unknown_entry", "jobs[3].choice.else"),
    ]


def test_the_contracts_example_made_whole_is_accepted():
    spec = load_workflow(whole_example(), "contract.yaml", templates=Template.parse).spec
    assert spec.name == "daily_sales_pipeline"
    assert spec.version == "2.1"
    assert spec.schedule.cron == "0 2 * * *"
    extract, score, *_ = spec.jobs
    assert (extract.kind, extract.name, extract.work.args) == ("job", "extract_sales", ["--date", "{{ ds }}"])
    assert spec.retry_of(extract).attempts == 3
    assert spec.timeout_of(extract).attempt == "30m"
    assert spec.timeout_of(score).attempt == "1h"
    assert spec.retry_of(score).attempts == 3
    assert [entry.kind for entry in spec.jobs[1:7]] == ["python", "pipeline", "choice", "wait", "signal", "workflow"]
    assert spec.retry_of(spec.jobs[4]) is None
    assert spec.jobs[3].work.targets == ["fast", "full"]
    assert spec.finally_[0].name == "clean_up"
    assert spec.runtime_of(spec.finally_[0].work) == "container"


def test_a_body_loads_again_as_the_same_definition():
    loaded = load_workflow(whole_example(), "contract.yaml")
    again = load_workflow(loaded.body, "body.json")
    assert (again.spec, again.version, again.body) == (loaded.spec, loaded.version, loaded.body)


def test_comments_spacing_and_the_order_of_keys_make_no_version():
    one = load_job("job: {name: a, image: b, env: {X: '1', Y: '2'}}")
    two = load_job("# hello\njob:\n  image: b\n  env:\n    Y: '2'\n    X: '1'\n  name: a\n")
    three = load_job("job: {name: a, image: b, env: {X: '1', Y: '3'}}")
    assert one.version == two.version != three.version


@pytest.mark.parametrize(
    ("retry", "attempts", "multiplier"),
    [
        ("{}", 3, 1.0),
        ("{max_attempts: 5}", 5, 1.0),
        ("{max_retries: 4}", 5, 1.0),
        ("{max_retries: 0}", 1, 1.0),
        ("{exponential_backoff: true}", 3, 2.0),
        ("{backoff_multiplier: 3}", 3, 3.0),
        ("{exponential_backoff: true, backoff_multiplier: 1.5}", 3, 1.5),
    ],
)
def test_retry_counts_are_totals(retry, attempts, multiplier):
    found = load_job(f"job: {{name: a, image: b, retry: {retry}}}").spec.retry
    assert (found.attempts, found.multiplier) == (attempts, multiplier)


# --- includes -------------------------------------------------------------------------------------

WITH_INCLUDE = "workflow:\n  name: w\n  jobs:\n    - job: {from: jobs/a.yaml}\n    - job: {name: b, image: c}\n"


def reading(**files):
    def read(name):
        if name not in files:
            raise FileNotFoundError(2, "No such file", name)
        return files[name].encode()

    return read


def test_an_included_job_is_in_the_body_and_its_places_are_those_of_its_file():
    loaded = load(WITH_INCLUDE, "w.yaml", read=reading(**{"jobs/a.yaml": "job:\n  name: a\n  image: b:1\n"}))
    assert loaded.spec.jobs[0].work.image == "b:1"
    assert loaded.files == ("w.yaml", "jobs/a.yaml")
    assert load(loaded.body, "body.json").version == loaded.version
    with pytest.raises(SpecInvalid) as caught:
        load(WITH_INCLUDE, "w.yaml", read=reading(**{"jobs/a.yaml": "job:\n  name: a\n  imgae: b:1\n"}))
    told = {(one.file, one.line, one.path, one.code) for one in caught.value.problems}
    assert told == {
        ("jobs/a.yaml", 3, "workflow.jobs[0].job.imgae", "unknown_field"),
        ("jobs/a.yaml", 1, "workflow.jobs[0].job.image", "missing"),
    }


@pytest.mark.parametrize(
    ("given", "file", "code"),
    [
        ("jobs/none.yaml", "", "include_unavailable"),
        ("../a.yaml", "", "include_invalid"),
        ("/etc/passwd", "", "include_invalid"),
        ("jobs/../../a.yaml", "", "include_invalid"),
        ("jobs\\a.yaml", "", "include_invalid"),
        ("jobs/a.txt", "", "include_invalid"),
        ("[jobs/a.yaml]", "", "include_invalid"),
        ("jobs/a.yaml, image: x", "job: {name: a, image: b}", "include_invalid"),
        ("jobs/a.yaml", "workflow: {name: a, jobs: []}", "include_invalid"),
        ("jobs/a.yaml", "job: {from: jobs/b.yaml}", "include_invalid"),
        ("jobs/a.yaml", "job: [", "yaml_syntax"),
        ("jobs/a.yaml", "job: {name: a, image: b}\nother: 1", "unknown_field"),
        ("jobs/a.yaml", "job: {name: b, image: b}", "duplicate_name"),
    ],
)
def test_an_include_that_cannot_be_is_told(given, file, code):
    text = WITH_INCLUDE.replace("jobs/a.yaml", given)
    with pytest.raises(SpecInvalid) as caught:
        load(text, "w.yaml", read=reading(**({"jobs/a.yaml": file} if file else {})))
    assert code in {one.code for one in caught.value.problems}
    assert all(one.remedy for one in caught.value.problems)


def test_a_text_without_a_folder_includes_nothing():
    with pytest.raises(SpecInvalid) as caught:
        load(WITH_INCLUDE, "w.yaml")
    assert [one.code for one in caught.value.problems] == ["include_unavailable"]


# --- versions of the contract ---------------------------------------------------------------------


def test_a_newer_minor_version_is_read_as_long_as_it_uses_nothing_new():
    assert load_job("contract: '1.7'\njob: {name: a, image: b}").spec.name == "a"


IMPLIED = """
workflow:
  name: w
  jobs:
    - job: {name: report, image: b:1, args: ["{{ steps.clean.output.rows }}", "{{ steps.clean.status }}"]}
    - job: {name: clean, image: b:1, env: {N: "{{ steps.extract.output.rows | default(0) }}"}}
    - job: {name: told, image: b:1}
      when: "{{ steps.report.status == 'failed' }}"
    - job: {name: extract, image: b:1}
    - job: {name: late, image: b:1, args: ["{{ steps.extract.output.rows }}"]}
      depends_on: [{job: report, when: done}]
      compensate: undo_late
    - job: {name: undo_late, image: b:1, args: ["{{ steps.extract.output.rows }}"]}
  finally:
    - job: {name: bye, image: b:1, args: ["{{ steps.extract.output.rows }}"]}
"""


def test_what_a_template_reads_comes_first():
    loaded = load_workflow(IMPLIED, templates=Template.parse)
    entries = {one.name: one for one in (*loaded.spec.jobs, *loaded.spec.finally_)}
    assert {name: [(d.job, d.when) for d in one.depends_on] for name, one in entries.items()} == {
        "report": [("clean", None)],
        "clean": [("extract", "done")],
        "told": [("report", "done")],
        "extract": [],
        "late": [("report", "done"), ("extract", None)],
        "undo_late": [],
        "bye": [],
    }
    again = load_workflow(loaded.body, templates=Template.parse)
    assert (again.version, again.spec) == (loaded.version, loaded.spec)


def test_two_that_read_each_other_are_a_cycle():
    text = """
    workflow:
      name: w
      jobs:
        - job: {name: a, image: b:1, args: ["{{ steps.b.output.x }}"]}
        - job: {name: b, image: b:1, args: ["{{ steps.a.output.x }}"]}
    """
    with pytest.raises(SpecInvalid, match="a cycle of 2: a needs b needs a"):
        load(text, templates=Template.parse)
