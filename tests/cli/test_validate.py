"""`ripresa validate`: files and folders, for people and for programs."""

import json
import os

WORKFLOW = """
workflow:
  name: demo
  schedule: {cron: "30 2 * * *", timezone: Europe/Paris}
  jobs:
    - job: {from: jobs/extract.yaml}
    - python: {name: score, call: "pkg.mod:score", with: {rows: "{{ steps.extract.output.rows }}"}}
      depends_on: [extract]
"""


def write(shop, **files):
    for name, text in files.items():
        path = shop.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def demo(shop):
    write(shop, **{
        "flows/demo/workflow.yaml": WORKFLOW,
        "flows/demo/jobs/extract.yaml": "job: {name: extract, image: a/b:1, outputs: {rows: integer}}",
    })  # fmt: skip


def test_what_is_in_order_is_told_in_a_line_a_file(shop):
    demo(shop)
    done = shop("validate", "flows")
    job, workflow = sorted(done.stdout.splitlines())
    assert job.startswith("ok  flows/demo/jobs/extract.yaml: job extract, version ")
    assert workflow.startswith("ok  flows/demo/workflow.yaml: workflow demo, version ")
    assert ", 2 jobs, next 2" in workflow
    assert done.stderr == ""


def test_every_problem_is_told_with_its_line_and_the_code_is_two(shop):
    write(shop, **{"a.yaml": "job:\n  name: a/b\n  imgae: b:1\n  env: {DB_PASSWORD: hunter2}\n"})
    done = shop("validate", "a.yaml", code=2)
    assert done.stdout == ""
    assert "a.yaml:2:9: job.name: '/' may not stand in a name" in done.stderr
    assert '    = did you mean "image"?' in done.stderr
    assert "4 problems in 1 of 1 file" in done.stderr
    assert "hunter2" not in done.stderr
    (report,) = json.loads(shop("validate", "a.yaml", "-o", "json", code=2).stdout)
    assert report["ok"] is False
    assert {one["code"] for one in report["problems"]} == {
        "missing", "name_invalid", "unknown_field", "hardcoded_secret"
    }  # fmt: skip
    assert all(one["line"] and one["column"] and one["message"] for one in report["problems"])
    assert "hunter2" not in json.dumps(report)


def test_what_is_not_portable_is_told_when_asked(shop):
    demo(shop)
    done = shop("validate", "flows/demo/workflow.yaml", "--portable", code=2)
    assert "workflow.jobs[1].python: not portable: a `python:` entry" in done.stderr
    assert "workflow.jobs[1].python.with.rows: not portable: templates of step outputs" in done.stderr
    write(shop, **{"a.yaml": "job: {name: a, image: b}"})
    assert shop("validate", "a.yaml", "--portable").stderr == ""


def test_a_workflow_that_requires_a_target_must_fit_it(shop):
    text = WORKFLOW.replace("  jobs:\n", "  portability: {require: [argo], allow: exact}\n  jobs:\n", 1)
    demo(shop)
    write(shop, **{"flows/demo/workflow.yaml": text})
    done = shop("validate", "flows/demo/workflow.yaml", code=2)
    assert "argo does not have a `python:` entry" in done.stderr


def test_a_folder_is_given_for_its_workflow_and_a_link_out_of_it_is_refused(shop):
    demo(shop)
    write(shop, **{"outside.yaml": "job: {name: extract, image: a/b:1}"})
    (shop.folder / "flows/demo/jobs/extract.yaml").unlink()
    (shop.folder / "flows/demo/jobs/extract.yaml").symlink_to(shop.folder / "outside.yaml")
    done = shop("validate", "flows/demo/workflow.yaml", code=2)
    assert "it is a link that leads out of the definition's folder" in done.stderr


def test_what_is_no_file_is_usage(shop):
    assert "no such file" in shop("validate", "none.yaml", code=2).stderr
    (shop.folder / "empty").mkdir()
    assert "no .yaml" in shop("validate", "empty", code=2).stderr
    os.mkfifo(shop.folder / "pipe.yaml")
    assert "no regular file" in shop("validate", "pipe.yaml", code=2).stderr


def test_an_older_file_is_shown_changed_and_then_changed(shop):
    write(shop, **{"a.yaml": "contract: '0.9'\njob:\n  name: a\n  image: b\n  retries: 2  # or so\n"})
    assert "ripresa migrate --write" in shop("validate", "a.yaml", code=2).stderr
    shown = shop("migrate", "a.yaml")
    assert "-  retries: 2  # or so\n+  retry: {max_retries: 2}  # or so\n" in shown.stdout
    assert "0.9" in (shop.folder / "a.yaml").read_text()
    done = shop.json("migrate", "a.yaml", "--write")
    assert done["written"] is True
    assert "retry: {max_retries: 2}  # or so" in (shop.folder / "a.yaml").read_text()
    shop("validate", "a.yaml")
    assert "nothing to migrate" in shop("migrate", "a.yaml").stderr


def test_an_argument_that_may_become_an_option_is_warned_of_and_refuses_nothing(shop):
    arguments = """["--day", "{{ ds }}", "{{ params.file }}", "--to={{ params.to }}", "--", "{{ params.rest }}"]"""
    write(shop, **{"a.yaml": f"job: {{name: a, image: b:1, args: {arguments}}}"})
    done = shop("validate", "a.yaml")
    assert done.stdout.startswith("ok  a.yaml: job a, version ")
    assert done.stderr.startswith("warning: a.yaml:1:")
    assert "job.args[2]: its value may begin with `-`, and be read as an option" in done.stderr
    assert done.stderr.count("may begin") == 1
    (report,) = json.loads(shop("validate", "a.yaml", "-o", "json").stdout)
    assert report["ok"] is True
    assert [one["code"] for one in report["warnings"]] == ["may_be_an_option"]
